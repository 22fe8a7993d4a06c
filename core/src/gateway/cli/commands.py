"""The built-in commands."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from gateway.cli.arguments import Parser

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.cli.context import Command

__all__ = ["BUILT_IN", "DEFAULT_COMMAND", "RESERVED", "BuiltIn"]


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """A built-in command, not imported yet.

    Attributes:
        name: What is typed after ``gateway``.
        summary: One line for ``gateway --help``.
    """

    name: str
    summary: str

    def load(self) -> Command:
        """Import the module that has its name."""
        return cast("Command", importlib.import_module(f"gateway.cli.{self.name.replace('-', '_')}"))

    def parser(self, command: Command, *, prog: str | None = None) -> Parser:
        """Return what reads its flags.

        Args:
            command: Its module.
            prog: What was typed for it; ``None`` is its full name.
        """
        parser = Parser(prog or f"gateway {self.name}", self.summary)
        command.add_arguments(parser)
        return parser


_ALL = (
    BuiltIn("run", "Run the gateway; what 'gateway' does by itself."),
    BuiltIn("check", "Check a configuration without starting anything."),
    BuiltIn("routes", "List the rules as they are tried, or say which of them a request gets."),
    BuiltIn("explain", "Say what becomes of a request: its rule, its policies and their settings."),
    BuiltIn("graph", "Show what the requests of a route go through, in order, and why."),
    BuiltIn("plugins", "List the installed plugins, what they offer and what of it is used."),
    BuiltIn("new-plugin", "Write a plugin to begin with: a distribution with its tests and checks."),
    BuiltIn("check-plugin", "Say what is wrong with a plugin: its hooks, its code, and what it does when it is run."),
    BuiltIn("schema", "Print the JSON Schema of the configuration, for editors."),
)

BUILT_IN: Mapping[str, BuiltIn] = {command.name: command for command in _ALL}
DEFAULT_COMMAND = BUILT_IN["run"]
RESERVED = frozenset((*BUILT_IN, "help"))
"""Names that no plugin's command may have."""
