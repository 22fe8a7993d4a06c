"""What a rule matches and how it changes the path: from its keys to the types of ``gateway.routing``."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from gateway.routing import (
    RouteEntry,
    build_rewrite,
    find_conflicts,
    parse_header_conditions,
    parse_host,
    parse_pattern,
    parse_query_conditions,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.config.draft import Draft
    from gateway.config.model import RuleConfig
    from gateway.config.places import Place
    from gateway.config.report import Report
    from gateway.routing import Pattern

__all__ = ["Matching", "name_rule", "report_conflicts"]

T = TypeVar("T")


class Matching:
    """Reads the keys of one rule that say what it matches; what is wrong with them is reported.

    Args:
        draft: The rule.
        report: Takes the problems.
    """

    def __init__(self, draft: Draft, report: Report) -> None:
        self._draft = draft
        self._rule = draft.rule
        self._report = report

    def pattern(self) -> Pattern | None:
        """Return the pattern, or ``None`` if it is wrong."""
        return self._try("path", lambda: parse_pattern(self._rule.path, self._rule.path_type))

    def entry(self, pattern: Pattern, position: int) -> RouteEntry[int] | None:
        """Return what the rule matches, leading to its position, or ``None`` if that is wrong."""
        rule = self._rule
        headers = self._try("headers", lambda: parse_header_conditions(rule.headers))
        query = self._try("queryParams", lambda: parse_query_conditions(rule.query_params))
        hosts = self._hosts()
        if headers is None or query is None or hosts is None:
            return None
        return RouteEntry(
            id=str(rule.id),
            pattern=pattern,
            target=position,
            hosts=hosts,
            methods=frozenset(rule.methods) if rule.methods is not None else None,
            headers=headers,
            query=query,
            priority=rule.priority,
        )

    def rewrite(self, pattern: Pattern) -> Callable[[str], str] | None:
        """Return what changes the path, or ``None`` if nothing does."""
        rule = self._rule
        strip = rule.strip_prefix if isinstance(rule.strip_prefix, str) else None
        if rule.strip_prefix is True:
            strip = pattern.literal_prefix
            if not strip:
                message = "has no effect, because nothing stands before the first wildcard"
                self._report.warn(message, key=self._draft.place("stripPrefix"))
        key = "stripPrefix" if isinstance(rule.strip_prefix, str) else "addPrefix"
        return self._try(key, lambda: build_rewrite(strip, rule.add_prefix))

    def _hosts(self) -> tuple[str, ...] | None:
        named = [("host", self._rule.host)] if self._rule.host else []
        named += [("hosts", host) for host in self._rule.hosts]
        hosts = [self._try(key, lambda host=host: parse_host(host)) for key, host in named]  # type: ignore[misc]
        found = tuple(host for host in hosts if host is not None)
        return found if len(found) == len(hosts) else None

    def _try(self, key: str, parse: Callable[[], T]) -> T | None:
        try:
            return parse()
        except ValueError as error:
            self._report.error(str(error), value=self._draft.place(key))
            return None


def name_rule(rule: RuleConfig, taken: set[str]) -> str:
    """Return an id for a rule that has none: its methods, host and path, and a number if others have the same.

    Args:
        rule: The rule.
        taken: The ids of other rules; the new one is added.
    """
    methods = f"{','.join(rule.methods)} " if rule.methods else ""
    base = name = f"{methods}{rule.host or ','.join(rule.hosts)}{rule.path}"
    number = 1
    while name in taken:
        number += 1
        name = f"{base}#{number}"
    taken.add(name)
    return name


def report_conflicts(entries: Sequence[RouteEntry[int]], places: Mapping[str, Place], report: Report) -> None:
    """Report rules between which nothing decides.

    Args:
        entries: What the rules match; their ids are unique.
        places: Where the rules stand, by id.
        report: Takes the problems.
    """
    for conflict in find_conflicts(entries):
        first, second = (places[id_] for id_ in conflict.ids)
        report.error(f"{conflict}; the other stands at {first.at_key}", key=second)
