"""Writes ``cli.md`` from the commands and ``cli.md.in``; ``--check`` only says whether it is up to date.

Summaries, arguments and what they mean come from the commands; what the template lacks, or an argument without a help
text, is an error.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from writing import ROOT, cell, write

from gateway.cli.arguments import Parser, add_configuration_flags
from gateway.cli.commands import BUILT_IN
from gateway.cli.plugin_commands import find_commands
from gateway.pluginhost import PluginHost

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TARGET = Path(__file__).with_name("cli.md")
TEMPLATE = Path(__file__).with_name("cli.md.in")

_MARK = re.compile(r"^@(everywhere|command|plugin)(?: ([\w-]+))?@$", re.MULTILINE)


def render() -> str:
    """Return the page."""
    template = TEMPLATE.read_text(encoding="utf-8")
    sections = dict(_sections())
    marks = [mark.group() for mark in _MARK.finditer(template)]
    if sorted(marks) != sorted(sections):
        msg = (
            f"{TEMPLATE.name} lacks {sorted(sections.keys() - set(marks))}, or has what there is not or twice: {marks}"
        )
        raise ValueError(msg)
    return _MARK.sub(lambda mark: sections[mark.group()], template)


def _sections() -> Iterator[tuple[str, str]]:
    """Yield what stands in place of each mark."""
    common = Parser("gateway", has_help=False)
    add_configuration_flags(common)
    yield "@everywhere@", table(common).rstrip()
    for command in BUILT_IN.values():
        parser = command.parser(command.load())
        yield f"@command {command.name}@", _section(parser, command.name, command.summary)
    ours = {f"gateway-{manifest.parent.name}" for manifest in ROOT.glob("*/*/pyproject.toml")}
    for registration, plugin in find_commands(PluginHost.discover()):
        if plugin.distribution in ours:
            parser = Parser(f"gateway {registration.name}", registration.summary)
            registration.add_arguments(parser)
            summary = f"{registration.summary} From `{plugin.distribution}`."
            yield f"@plugin {registration.name}@", f"#{_section(parser, registration.name, summary)}"


def _section(parser: Parser, name: str, summary: str) -> str:
    # A command that reads a configuration for what it is about has other flags of the same names.
    everywhere = [] if name == "check-plugin" else ["--config", "--plugin"]
    return f"## `gateway {name}`\n\n{summary}\n\n{table(parser, without=everywhere)}".rstrip()


def table(parser: argparse.ArgumentParser, *, without: Sequence[str] = ()) -> str:
    """Return the table of a command's arguments; nothing if it has none.

    Args:
        parser: What reads them.
        without: The flags to leave out, by one of their names.

    Raises:
        ValueError: If one of them is not explained.
    """
    rows = []
    for action in parser._actions:  # noqa: SLF001 - argparse has no other way to list them
        if isinstance(action, argparse._HelpAction) or set(without) & set(action.option_strings):  # noqa: SLF001 - as above
            continue
        name = _name(action)
        if not action.help:
            msg = f"{name} of {parser.prog} is not explained; add help='...'"
            raise ValueError(msg)
        text = action.help % {"default": action.default, "prog": parser.prog}
        rows.append(f"| `{name}` | {cell(text)} |\n")
    return "".join(["| argument | |\n|---|---|\n", *rows]) if rows else ""


def _name(action: argparse.Action) -> str:
    """Return how an argument is written."""
    value = action.metavar if isinstance(action.metavar, str) else ""
    if not value and action.choices is not None:
        value = "|".join(map(str, action.choices))
    value = value.replace("|", " or ")
    if not action.option_strings:
        shown = value or action.dest
        return {"?": f"[{shown}]", "*": f"[{shown}...]", "+": f"{shown}..."}.get(str(action.nargs), shown)
    return ", ".join(f"{flag} {value}".rstrip() for flag in action.option_strings)


if __name__ == "__main__":
    sys.exit(write(TARGET, render, __file__, sys.argv[1:]))
