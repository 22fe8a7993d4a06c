"""``gateway schema``: the JSON Schema of the core and everything installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.cli.arguments import add_configuration_flags
from gateway.cli.loading import discover_plugins
from gateway.config import configuration_schema
from gateway.errors import ConfigurationError

if TYPE_CHECKING:
    import argparse

    from gateway.cli.arguments import Parser
    from gateway.cli.context import CommandContext

__all__ = ["add_arguments", "run"]


def add_arguments(parser: Parser) -> None:
    """Declare the flags of ``gateway schema``."""
    add_configuration_flags(parser)


def run(args: argparse.Namespace, context: CommandContext) -> int:
    """Print the schema; the configuration need not be valid, it only says which plugins there are.

    Raises:
        ConfigurationError: If two plugins get in each other's way.
    """
    host = discover_plugins(args.config, args.plugin_files, context.entry_points)
    if host.problems:
        raise ConfigurationError(host.problems)
    for warning in host.warnings:
        context.err.line(str(warning), "yellow")
    context.out.json(configuration_schema(host))
    return 0
