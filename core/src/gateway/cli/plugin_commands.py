"""The commands of plugins.

Beside the arguments that a plugin declares, its command has ``-c/--config`` and ``--plugin``, unless it declares these
itself: ``args.config`` is the file that was named, or ``None``. Words before the command are the gateway's, words after
it the plugin's: ``gateway -c gateway.yaml mint --user ann``.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

from gateway.cli.arguments import Parser, UsageError, add_configuration_flags, suggestion
from gateway.cli.commands import DEFAULT_COMMAND, RESERVED
from gateway.cli.loading import discover_plugins
from gateway.errors import ConfigurationError, GatewayError, Problem
from gateway.registrations import CommandRegistration

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from gateway.cli.context import CommandContext
    from gateway.pluginhost import Plugin, PluginHost

__all__ = ["find_commands", "host_for", "run_other", "shadowing"]


def host_for(words: Sequence[str], context: CommandContext) -> PluginHost:
    """Return the plugins that a command line is about, as far as that can be told before its command is known.

    Raises:
        ConfigurationError: If a plugin file that it names is missing.
        UsageError: If a flag that names one has no value.
    """
    args, _ = _common_parser().read_known(words)
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


def run_other(name: str, before: Sequence[str], after: Sequence[str], context: CommandContext) -> int:
    """Run the command of a plugin and return its exit code.

    Args:
        name: What was typed for it.
        before: The words before it.
        after: The words after it.
        context: Where plugins come from, and where to print what goes wrong.

    Raises:
        ConfigurationError: If two plugins offer it.
        UsageError: If none does, or its arguments cannot be understood.
    """
    host = host_for([*before, *after], context)
    commands = find_commands(host)
    found = [(offer, plugin) for offer, plugin in commands if offer.name == name]
    if len(found) > 1:
        raise ConfigurationError(host.problems)
    for registration, plugin in found:
        return _run(registration, plugin, before, after, context)
    # A mistyped flag before the word may be what made a command of it.
    DEFAULT_COMMAND.parser(DEFAULT_COMMAND.load(), prog="gateway").read(before)
    remedy = _remedy(name, [*RESERVED, *(offer.name for offer, _ in commands)])
    raise UsageError(f"gateway: unknown command {name!r}; {remedy}")


def _remedy(name: str, known: Sequence[str]) -> str:
    if name.endswith((".yaml", ".yml")):
        return f"to run with this configuration: gateway -c {name}"
    return suggestion(name, known) or "see 'gateway --help'"


def _run(
    registration: CommandRegistration,
    plugin: Plugin,
    before: Sequence[str],
    after: Sequence[str],
    context: CommandContext,
) -> int:
    try:
        args = _read(registration, before, after)
        return registration.run(args) or 0 if args is not None else 0
    except (UsageError, ConfigurationError, BrokenPipeError):
        raise
    except GatewayError as error:
        context.err.line(f"gateway {registration.name}: {error.detail}", "red")
    except Exception as error:  # noqa: BLE001 - a plugin's bug is told as one, with its name
        for line in "".join(traceback.format_exception(error)).splitlines():
            context.err.line(line, "dim")
        context.err.line(f"gateway {registration.name}: {plugin} failed: {type(error).__name__}: {error}", "red")
    return 1


def _read(registration: CommandRegistration, before: Sequence[str], after: Sequence[str]) -> argparse.Namespace | None:
    """Return the arguments, or ``None`` if help was all that was wanted."""
    common = _common_parser().read(before)
    parser = Parser(f"gateway {registration.name}", registration.summary)
    registration.add_arguments(parser)
    add_configuration_flags(parser)
    parser.set_defaults(**vars(common))
    try:
        return parser.read(after)
    except SystemExit:  # how argparse ends after --help
        return None


def _common_parser() -> Parser:
    parser = Parser("gateway", has_help=False)
    add_configuration_flags(parser)
    return parser
