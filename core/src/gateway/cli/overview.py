"""What ``gateway --help`` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.cli.arguments import Parser
from gateway.cli.commands import BUILT_IN, DEFAULT_COMMAND
from gateway.cli.plugin_commands import find_commands, host_for, shadowing
from gateway.logs import escape_controls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.cli.context import CommandContext
    from gateway.pluginhost import PluginHost

__all__ = ["overview", "print_overview"]

_SUMMARY = """\
An API gateway made of plugins. Without a command it runs: with the configuration that is named, else with
gateway.yaml or configs/gateway.yaml, else with what the plugins propose."""

_HINTS = """
'gateway COMMAND --help' tells more about a command. Long flags may be written with one dash: -config FILE."""


def print_overview(words: Sequence[str], context: CommandContext) -> int:
    """Print it, with a line about every command that cannot be used; always 0.

    Args:
        words: The command line, which may name a configuration or plugin files.
        context: Where to print.
    """
    host = host_for(words, context)
    context.out.text(overview(host))
    for problem in shadowing(host):
        context.err.line(str(problem), "red")
    return 0


def overview(host: PluginHost) -> str:
    """Return the commands, those of plugins too, and the flags of ``gateway run``.

    Args:
        host: The plugins.
    """
    built_in = [(command.name, command.summary) for command in BUILT_IN.values()]
    of_plugins = [
        (command.name, f"{command.summary} ({plugin.distribution})".lstrip()) for command, plugin in find_commands(host)
    ]
    width = max(len(name) for name, _ in (*built_in, *of_plugins))
    parts = [*_listed("commands:", built_in, width), *_listed("commands of plugins:", of_plugins, width)]
    parser = Parser(
        "gateway", "\n".join([_SUMMARY, *parts]), usage="gateway [COMMAND] [FLAGS]", epilog=_HINTS.lstrip("\n")
    )
    DEFAULT_COMMAND.load().add_arguments(parser)
    return parser.format_help()


def _listed(title: str, commands: Sequence[tuple[str, str]], width: int) -> list[str]:
    if not commands:
        return []
    # argparse reads '%' in a description as the beginning of a name.
    lines = [f"  {name:<{width}}  {escape_controls(summary)}" for name, summary in commands]
    return ["", title, *(line.replace("%", "%%") for line in lines)]
