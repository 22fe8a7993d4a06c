"""The commands of plugins.

Beside the arguments that a plugin declares, its command has ``-c/--config`` and ``--plugin``, unless it declares these
itself: ``args.config`` is the file that was named, or ``None``. Words before the command are the gateway's, words after
it the plugin's: ``gateway -c gateway.yaml mint --user ann``.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

from gateway.cli.arguments import Parser, UsageError, add_configuration_flags
from gateway.cli.commands import RESERVED
from gateway.cli.loading import discover_plugins
from gateway.errors import ConfigurationError, GatewayError, Problem
from gateway.registrations import CommandRegistration

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from gateway.cli.context import CommandContext
    from gateway.pluginhost import Plugin, PluginHost

__all__ = ["find_commands", "host_for", "run_plugin_command", "shadowing"]


def host_for(words: Sequence[str], context: CommandContext) -> PluginHost:
    """Return the plugins that a command line is about, as far as that can be told before its command is known.

    Raises:
        ConfigurationError: If a plugin file that it names is missing.
        UsageError: If a flag that names one has no value.
    """
    args, _ = _common_parser("gateway").read_known(words)
    return discover_plugins(args.config, args.plugin_files, context.entry_points)


def find_commands(host: PluginHost) -> list[tuple[CommandRegistration, Plugin]]:
    """Return the commands of plugins, by name, without those whose name is taken by a built-in one."""
    return [
        (offer, host.owner(offer))
        for offer in host.of_kind("command")
        if isinstance(offer, CommandRegistration) and offer.name not in RESERVED
    ]


def shadowing(host: PluginHost) -> list[Problem]:
    """Return a problem for every command of a plugin that has the name of a built-in one."""
    return [
        Problem(
            f"the command {offer.name!r} of {host.owner(offer)} has the name of a command of gateway itself, which "
            "stays in force; uninstall the plugin, or name it in gateway.disabledPlugins"
        )
        for offer in host.of_kind("command")
        if offer.name in RESERVED
    ]


def run_plugin_command(
    name: str, before: Sequence[str], after: Sequence[str], host: PluginHost, context: CommandContext
) -> int:
    """Run a command and return its exit code.

    Args:
        name: What was typed for it.
        before: The words before it.
        after: The words after it.
        host: The plugins.
        context: Where to print what goes wrong.

    Raises:
        ConfigurationError: If two plugins offer it.
        KeyError: If none does.
        UsageError: If its arguments cannot be understood.
    """
    found = [(offer, plugin) for offer, plugin in find_commands(host) if offer.name == name]
    if not found:
        raise KeyError(name)
    if len(found) > 1:
        raise ConfigurationError(host.problems)
    registration, plugin = found[0]
    try:
        args = _read(registration, before, after)
        return registration.run(args) or 0
    except (UsageError, ConfigurationError, BrokenPipeError):
        raise
    except GatewayError as error:
        context.err.line(f"gateway {name}: {error.detail}", "red")
    except Exception as error:  # noqa: BLE001 - a plugin's bug is told as one, with its name
        for line in "".join(traceback.format_exception(error)).splitlines():
            context.err.line(line, "dim")
        context.err.line(f"gateway {name}: {plugin} failed: {type(error).__name__}: {error}", "red")
    return 1


def _read(registration: CommandRegistration, before: Sequence[str], after: Sequence[str]) -> argparse.Namespace:
    common = _common_parser("gateway").read(before)
    parser = Parser(f"gateway {registration.name}", registration.summary)
    registration.add_arguments(parser)
    add_configuration_flags(parser)
    parser.set_defaults(**vars(common))
    return parser.read(after)


def _common_parser(prog: str) -> Parser:
    parser = Parser(prog)
    add_configuration_flags(parser)
    return parser
