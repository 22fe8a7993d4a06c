"""``gateway graph``: the resolved chain of each route, from the listener to the instances, and why it is as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.cli.arguments import UsageError, add_configuration_flags, add_json_flag
from gateway.cli.chain import chain_of
from gateway.cli.describe import by_precedence, path_text
from gateway.cli.drawing import draw_dot, draw_mermaid
from gateway.cli.loading import load
from gateway.cli.screen import Column
from gateway.config.suggest import did_you_mean

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from gateway.cli.arguments import Parser
    from gateway.cli.chain import Link
    from gateway.cli.context import CommandContext
    from gateway.cli.screen import Screen
    from gateway.config import Configuration, ConfiguredRule

__all__ = ["add_arguments", "run"]


def add_arguments(parser: Parser) -> None:
    """Declare the flags of ``gateway graph``."""
    parser.add_argument(
        "route", nargs="?", metavar="ROUTE", help="the id or the path of a rule; without it all of them"
    )
    add_configuration_flags(parser)
    add_json_flag(parser)
    parser.add_argument(
        "--format",
        choices=("text", "mermaid", "dot"),
        default="text",
        help="text for people, mermaid for documents, dot for Graphviz",
    )


def run(args: argparse.Namespace, context: CommandContext) -> int:
    """Print the chains.

    Raises:
        ConfigurationError: With everything that is wrong with the configuration.
        UsageError: If there is no such route.
    """
    configuration = load(args, context)
    rules = _chosen(args.route, configuration)
    chains = [(rule, chain_of(rule, configuration)) for rule in rules]
    if args.as_json:
        context.out.json([_data(rule, chain) for rule, chain in chains])
    elif args.format == "text":
        _print(chains, context.out)
    else:
        draw = draw_mermaid if args.format == "mermaid" else draw_dot
        context.out.text(draw([(_title(rule), chain) for rule, chain in chains]))
    return 0


def _chosen(route: str | None, configuration: Configuration) -> list[ConfiguredRule]:
    rules = by_precedence(configuration)
    if route is None:
        return rules
    found = [rule for rule in rules if route in (rule.matches.id, rule.matches.pattern.text)]
    if not found:
        known = [rule.matches.id for rule in rules]
        raise UsageError(f"gateway graph: there is no route {route!r}; {did_you_mean(route, known)}")
    return found


def _title(rule: ConfiguredRule) -> str:
    methods = ", ".join(rule.rule.methods or ("*",))
    hosts = ", ".join(host for host in rule.matches.canonical_hosts if host != "*")
    return f"{methods} {hosts}{path_text(rule)}"


def _print(chains: Sequence[tuple[ConfiguredRule, Sequence[Link]]], screen: Screen) -> None:
    if not chains:
        screen.line("There are no rules.")
    for number, (rule, chain) in enumerate(chains):
        if number:
            screen.line()
        screen.line(f"{_title(rule)}  ({rule.matches.id}, {rule.where})", "bold")
        columns = (
            Column("STAGE", "dim"),
            Column("NAME", "bold"),
            Column("KIND"),
            Column("PLUGIN", gives_way=2),
            Column("WHERE", "dim", gives_way=1),
            Column("WHY"),
        )
        screen.table(columns, [(link.stage, link.name, link.kind, link.plugin, link.where, link.why) for link in chain])


def _data(rule: ConfiguredRule, chain: Sequence[Link]) -> dict[str, Any]:
    return {
        "route": rule.matches.id,
        "matches": _title(rule),
        "where": rule.where,
        "chain": [
            {
                "stage": link.stage or None,
                "name": link.name,
                "kind": link.kind,
                "plugin": link.plugin or None,
                "where": link.where or None,
                "why": link.why,
            }
            for link in chain
        ],
    }
