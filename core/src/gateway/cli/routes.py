"""``gateway routes``: the rules in the order they are tried, and which of them a request gets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.cli.arguments import UsageError, add_configuration_flags, add_json_flag
from gateway.cli.describe import by_precedence, conditions_text, duration_text, path_text, pipeline_of, rule_data
from gateway.cli.loading import load
from gateway.cli.lookup import find_rule, parse_request, verdicts
from gateway.cli.progress import progress
from gateway.cli.screen import Column

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from gateway.cli.arguments import Parser
    from gateway.cli.context import CommandContext
    from gateway.cli.lookup import Found, Verdict
    from gateway.cli.screen import Screen
    from gateway.config import ConfiguredRule

__all__ = ["add_arguments", "print_rules", "run"]

MANY = 25
"""More rules than this are too many to say of each why it does not match."""


def add_arguments(parser: Parser) -> None:
    """Declare the flags of ``gateway routes``."""
    add_configuration_flags(parser)
    add_json_flag(parser)
    parser.add_argument(
        "--match", metavar="'GET http://host/path'", help="say which rule this request gets, and why others do not"
    )
    parser.add_argument(
        "-H",
        "--header",
        dest="headers",
        action="append",
        default=[],
        metavar="'Name: value'",
        help="a header field of that request; may be repeated",
    )


def run(args: argparse.Namespace, context: CommandContext) -> int:
    """Print the rules, or what ``--match`` asks for; 1 if no rule matches.

    Raises:
        ConfigurationError: With everything that is wrong with the configuration.
    """
    if args.match is not None:
        return _match(args, context)
    rules = by_precedence(load(args, context))
    if args.as_json:
        context.out.json([rule_data(rule) for rule in rules])
    else:
        print_rules(rules, context.out)
    return 0


def print_rules(rules: Sequence[ConfiguredRule], screen: Screen) -> None:
    """Print a table of rules."""
    if not rules:
        screen.line("There are no rules.")
        return
    columns = (
        Column("METHODS"),
        Column("HOST"),
        Column("PATH", "bold"),
        Column("CONDITIONS", is_optional=True),
        Column("PRIORITY", is_optional=True),
        Column("SERVICE"),
        Column("BALANCER", gives_way=3),
        Column("TIMEOUT", gives_way=4),
        Column("POLICIES", is_optional=True),
        Column("ID", "dim", gives_way=1),
        Column("WHERE", "dim", gives_way=2),
    )
    screen.table(columns, [_row(rule) for rule in rules])


def _row(rule: ConfiguredRule) -> tuple[str, ...]:
    entry, service = rule.matches, rule.route.service
    return (
        ", ".join(rule.rule.methods or ("*",)),
        ", ".join(entry.canonical_hosts),
        path_text(rule),
        conditions_text(entry),
        str(entry.priority or ""),
        service or "-",
        rule.balancer.name if service else "-",
        duration_text(rule.route.timeout_s),
        ", ".join(step.label for step in pipeline_of(rule)),
        entry.id,
        rule.where,
    )


# Which rule a request gets.


def _match(args: argparse.Namespace, context: CommandContext) -> int:
    words = args.match.split(maxsplit=1)
    if not words:
        raise UsageError("gateway routes: --match needs a request; write --match 'GET http://host/path'")
    method, url = words if len(words) > 1 else ("GET", words[0])
    asked = parse_request(method, url, args.headers)
    configuration = load(args, context)
    found = find_rule(asked, configuration)
    with progress("looking at every rule"):
        judged = verdicts(asked, found, by_precedence(configuration)) if not found.is_final else []
    if args.as_json:
        context.out.json(_match_data(found, judged))
    else:
        _print_match(found, judged, context.out)
    return 0 if found.rule is not None else 1


def _match_data(found: Found, judged: Sequence[Verdict]) -> dict[str, Any]:
    return {
        "path": found.path,
        "rule": found.rule.matches.id if found.rule is not None else None,
        "where": found.rule.where if found.rule is not None else None,
        "params": dict(found.params),
        "status": found.status or None,
        "reason": found.reason or None,
        "allowed": list(found.allowed),
        "rules": [
            {"id": each.rule.matches.id, "matches": each.is_chosen, "reasons": list(each.reasons)} for each in judged
        ],
    }


def _print_match(found: Found, judged: Sequence[Verdict], screen: Screen) -> None:
    if found.rule is not None:
        screen.line(f"{found.path} gets {found.rule.matches.id} ({found.rule.where})", "green")
    else:
        screen.line(f"{found.path or 'This'} gets no rule: {found.answer}", "red")
    shown = judged if len(judged) <= MANY else [each for each in judged if each.has_path]
    if shown:
        screen.line()
        columns = (Column("RULE", "bold"), Column("PATH"), Column("WHY NOT"), Column("WHERE", "dim"))
        screen.table(columns, [_verdict_row(each) for each in shown])
    if len(shown) < len(judged):
        screen.line(f"... and {len(judged) - len(shown):,} rules for other paths", "dim")


def _verdict_row(verdict: Verdict) -> tuple[str, ...]:
    rule = verdict.rule
    why_not = "" if verdict.is_chosen else "; ".join(verdict.reasons)
    return rule.matches.id, path_text(rule), why_not or "-", rule.where
