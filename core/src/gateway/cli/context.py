"""What every command is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from importlib.metadata import EntryPoint

    from gateway.cli.arguments import Parser
    from gateway.cli.screen import Screen

__all__ = ["Command", "CommandContext"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandContext:
    """Where a command prints, and where its plugins come from.

    Attributes:
        out: Standard output: what was asked for.
        err: Standard error: what went wrong.
        entry_points: The installed plugins; ``None`` takes those of the installed distributions.
    """

    out: Screen
    err: Screen
    entry_points: Sequence[EntryPoint] | None = None


class Command(Protocol):
    """A built-in command: the two functions that its module has."""

    def add_arguments(self, parser: Parser) -> None:
        """Declare its flags."""

    def run(self, args: argparse.Namespace, context: CommandContext) -> int:
        """Run it and return the exit code."""
        ...
