"""``gateway new-plugin``: a distribution to begin with, which passes its own tests and checks at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.arguments import UsageError
from gateway.scaffold import described, kinds, write_plugin

if TYPE_CHECKING:
    import argparse

    from gateway.cli.arguments import Parser
    from gateway.cli.context import CommandContext

__all__ = ["add_arguments", "run"]


def add_arguments(parser: Parser) -> None:
    """Declare the arguments of ``gateway new-plugin``."""
    parser.add_argument("kind", metavar="KIND", choices=kinds(), help=f"one of {', '.join(kinds())}")
    parser.add_argument("name", metavar="NAME", help="lower-case words joined by hyphens, such as geo-block")
    parser.add_argument("--folder", type=Path, metavar="FOLDER", help="where it goes; without it ./gateway-NAME")


def run(args: argparse.Namespace, context: CommandContext) -> int:
    """Write the plugin and say what to do with it.

    Raises:
        UsageError: If the name is none, or there is something in the folder already.
    """
    folder: Path = args.folder or Path(f"gateway-{args.name}")
    try:
        files = write_plugin(args.kind, args.name, folder)
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from error
    screen = context.out
    screen.line(f"{described(args.kind)} named {args.name}, in {folder}:")
    for file in files:
        screen.line(f"  {file}")
    screen.line()
    screen.line("Next:")
    for command in (
        f"cd {folder}",
        "python -m venv .venv",
        ".venv/bin/pip install -e '.[dev]'",
        ".venv/bin/pytest && .venv/bin/ruff check . && .venv/bin/mypy",
    ):
        screen.line(f"  {command}")
    return 0
