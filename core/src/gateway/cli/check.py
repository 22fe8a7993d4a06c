"""``gateway check``: everything that a start does, up to building the components; nothing is started."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from gateway.cli.arguments import add_configuration_flags, add_json_flag, log_level
from gateway.cli.describe import by_precedence, problem_data, rule_data, services_of
from gateway.cli.loading import load
from gateway.cli.plugin_commands import shadowing
from gateway.cli.progress import progress
from gateway.cli.routes import print_rules
from gateway.cli.screen import Column
from gateway.cli.settings import block_place
from gateway.errors import ConfigurationError
from gateway.runtime.check import check

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from gateway.cli.arguments import Parser
    from gateway.cli.context import CommandContext
    from gateway.cli.screen import Screen
    from gateway.config import Configuration
    from gateway.errors import Problem

__all__ = ["add_arguments", "run"]

MANY = 25
"""How many rules are listed; who wants them all asks 'gateway routes'."""


def add_arguments(parser: Parser) -> None:
    """Declare the flags of ``gateway check``."""
    add_configuration_flags(parser)
    add_json_flag(parser)
    parser.add_argument(
        "--log-level",
        type=log_level,
        metavar="LEVEL",
        help="what is logged meanwhile; debug tells where the code of a plugin failed",
    )


def run(args: argparse.Namespace, context: CommandContext) -> int:
    """Print what is on, or every problem; 2 if there is one.

    Raises:
        ConfigurationError: With every problem, unless they are printed as JSON.
    """
    try:
        configuration = _checked(args, context)
    except ConfigurationError as error:
        if not args.as_json:
            raise
        context.out.json({"valid": False, "problems": _problem_list(error.problems)})
        return 2
    if args.as_json:
        context.out.json(_data(configuration))
    else:
        _print(configuration, context.out)
    return 0


def _checked(args: argparse.Namespace, context: CommandContext) -> Configuration:
    configuration = load(args, context)
    if problems := shadowing(configuration.host):
        raise ConfigurationError(problems)
    with progress("building every component"):
        check(configuration)
    return configuration


# JSON.


def _data(configuration: Configuration) -> dict[str, Any]:
    return {
        "valid": True,
        "file": str(configuration.path) if configuration.path is not None else None,
        "rules": [rule_data(rule) for rule in by_precedence(configuration)],
        "services": [asdict(service) for service in services_of(configuration)],
        "components": [
            {"kind": kind, "name": name, "plugin": plugin, "where": where}
            for kind, name, plugin, where in _components(configuration)
        ],
        "plugins": [
            {"name": plugin.name, "distribution": plugin.distribution, "version": plugin.version or None}
            for plugin in configuration.host.plugins
            if plugin.error is None
        ],
        "warnings": _problem_list(configuration.warnings),
    }


def _problem_list(problems: Sequence[Problem]) -> list[dict[str, str]]:
    return [problem_data(problem) for problem in problems]


# Tables.


def _print(configuration: Configuration, screen: Screen) -> None:
    screen.line(f"{configuration.path or 'The gateway without a configuration file'} is valid.", "green")
    rules = by_precedence(configuration)
    _title(screen, "Rules", len(rules))
    print_rules(rules[:MANY], screen)
    if len(rules) > MANY:
        screen.line(f"... and {len(rules) - MANY:,} more; 'gateway routes' lists them all", "dim")
    services = services_of(configuration)
    _title(screen, "Services", len(services))
    rows = [(each.name, _count(each.instances), str(len(each.rules))) for each in services[:MANY]]
    screen.table((Column("SERVICE", "bold"), Column("INSTANCES"), Column("RULES")), rows)
    if len(services) > MANY:
        screen.line(f"... and {len(services) - MANY:,} more", "dim")
    _print_plugins(configuration, screen)
    _print_warnings(configuration.warnings, screen)


def _print_plugins(configuration: Configuration, screen: Screen) -> None:
    components = _components(configuration)
    _title(screen, "Components beside the rules", len(components))
    columns = (Column("KIND"), Column("NAME", "bold"), Column("PLUGIN"), Column("WHERE", "dim"))
    screen.table(columns, components)
    plugins = [plugin for plugin in configuration.host.plugins if plugin.error is None]
    _title(screen, "Plugins", len(plugins))
    screen.line(", ".join(f"{plugin.name} ({plugin.origin})" for plugin in plugins))


def _print_warnings(warnings: Sequence[Problem], screen: Screen) -> None:
    if not warnings:
        return
    _title(screen, "Warnings", len(warnings))
    for warning in warnings:
        screen.line(str(warning), "yellow")


def _title(screen: Screen, text: str, count: int) -> None:
    screen.line()
    screen.line(f"{text}: {count:,}", "bold")


def _count(instances: int | None) -> str:
    return "found when it runs" if instances is None else str(instances)


def _components(configuration: Configuration) -> list[tuple[str, str, str, str]]:
    """Return kind, name, plugin and place of everything that is on whatever the rules say."""
    found = (
        *configuration.adapters,
        *configuration.connectors,
        *configuration.discovery,
        *configuration.health_checkers,
        *configuration.observers,
        *configuration.admin_routes,
    )
    return [
        (
            configured.registration.kind,
            configured.name,
            configured.plugin.distribution,
            block_place(configured.registration, configuration) or "by default",
        )
        for configured in found
    ]
