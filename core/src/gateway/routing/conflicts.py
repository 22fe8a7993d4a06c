"""Routes between which nothing decides."""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations
from typing import TYPE_CHECKING, Any

from gateway.routing.hosts import ANY_HOST
from gateway.routing.pattern import GlobSegment
from gateway.routing.precedence import precedence

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Sequence

    from gateway.routing.conditions import Condition
    from gateway.routing.entry import RouteEntry
    from gateway.routing.pattern import Pattern, Segment

__all__ = ["RouteConflict", "RouteConflicts", "TakenRoutes", "find_conflicts"]


class RouteConflict(ValueError):
    """Two routes match the same requests and nothing prefers one of them, or they have the same id.

    Attributes:
        ids: Of the two routes, in the order of the table.
        shared: What they share.
    """

    def __init__(self, ids: tuple[str, str], shared: str, remedy: str) -> None:
        self.ids = ids
        self.shared = shared
        super().__init__(f"routes {ids[0]!r} and {ids[1]!r} share {shared}; {remedy}")


class RouteConflicts(ValueError):
    """A table cannot be made, because some of its routes conflict.

    Attributes:
        conflicts: All of them.
    """

    def __init__(self, conflicts: Sequence[RouteConflict]) -> None:
        self.conflicts = tuple(conflicts)
        super().__init__("\n".join(map(str, conflicts)))


class TakenRoutes:
    """Routes that are there already, to ask whether a further one can be added.

    Those that are firm keep their paths altogether: a further route for the very same path and host conflicts with them
    even where a higher priority or more conditions would decide.
    """

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self._equals: defaultdict[Hashable, list[RouteEntry[Any]]] = defaultdict(list)
        self._firm: defaultdict[Hashable, list[RouteEntry[Any]]] = defaultdict(list)

    def add(self, entry: RouteEntry[Any], *, is_firm: bool = False) -> None:
        """Add a route that conflicts with none.

        Args:
            entry: The route.
            is_firm: Whether it keeps its path altogether.
        """
        self._ids.add(entry.id)
        for host in entry.canonical_hosts:
            self._equals[_equal_key(entry, host)].append(entry)
            if is_firm:
                self._firm[_place_key(entry, host)].append(entry)

    def conflict(self, entry: RouteEntry[Any]) -> RouteConflict | None:
        """Return the conflict of a further route with the first of those that are there, or ``None``."""
        if entry.id in self._ids:
            return RouteConflict((entry.id, entry.id), "the id", "give each route its own")
        for host in entry.canonical_hosts:
            for other in (*self._firm.get(_place_key(entry, host), ()), *self._equals.get(_equal_key(entry, host), ())):
                if _overlap(other, entry):
                    return _ambiguity(other, entry, [host])
        return None


def find_conflicts(entries: Iterable[RouteEntry[Any]]) -> list[RouteConflict]:
    """Return every conflict among the entries of a table, in their order.

    Raises:
        ValueError: If a host of an entry is not a host.
    """
    entries = tuple(entries)
    return [*_repeated_ids(entries), *_ambiguities(entries)]


def _repeated_ids(entries: Iterable[RouteEntry[Any]]) -> Iterator[RouteConflict]:
    seen = set()
    for entry in entries:
        if entry.id in seen:
            yield RouteConflict((entry.id, entry.id), "the id", "give each route its own")
        seen.add(entry.id)


def _ambiguities(entries: Sequence[RouteEntry[Any]]) -> Iterator[RouteConflict]:
    hosts_of: defaultdict[tuple[int, int], list[str]] = defaultdict(list)
    for host, group in _equals(entries):
        for first, second in combinations(group, 2):
            if _overlap(entries[first], entries[second]):
                hosts_of[first, second].append(host)
    for (first, second), hosts in sorted(hosts_of.items()):
        yield _ambiguity(entries[first], entries[second], hosts)


def _equals(entries: Sequence[RouteEntry[Any]]) -> Iterator[tuple[str, list[int]]]:
    """Yield a host and the positions of its routes that match some paths in common and are equally preferred.

    Comparing outlines is enough: two templates are equally preferred only if their literal text is in the same places
    and of the same length, so a path that matches both has the same text there.
    """
    groups: defaultdict[tuple[str, Hashable, Hashable], list[int]] = defaultdict(list)
    for position, entry in enumerate(entries):
        for host in entry.canonical_hosts:
            groups[_equal_key(entry, host)].append(position)
    for (host, _, _), group in groups.items():
        yield host, group


def _equal_key(entry: RouteEntry[Any], host: str) -> tuple[str, Hashable, Hashable]:
    return host, precedence(entry, host), _outline(entry.pattern)


def _place_key(entry: RouteEntry[Any], host: str) -> tuple[str, Hashable, bool]:
    return host, _outline(entry.pattern), entry.pattern.rest is not None


def _outline(pattern: Pattern) -> Hashable:
    """Return what the patterns of one preference have in common that overlap.

    Of a segment with wildcards in it only the beginning and the end count: whatever the patterns require in between,
    some text has it all.
    """
    if pattern.regex is not None:
        return pattern.text
    return tuple(map(_segment_outline, pattern.segments))


def _segment_outline(segment: Segment) -> str | tuple[str, str] | None:
    match segment:
        case str():
            return segment
        case GlobSegment():
            return segment.glob.runs[0], segment.glob.runs[-1]
    return None


def _overlap(first: RouteEntry[Any], second: RouteEntry[Any]) -> bool:
    """Say whether a request can meet the methods and conditions of both."""
    if first.methods is not None and second.methods is not None and not first.methods & second.methods:
        return False
    return not (_differ(first.headers, second.headers) or _differ(first.query, second.query))


def _differ(first: Iterable[Condition], second: Sequence[Condition]) -> bool:
    return any(one.name == other.name and one.is_told_apart_from(other) for one in first for other in second)


def _ambiguity(first: RouteEntry[Any], second: RouteEntry[Any], hosts: Sequence[str]) -> RouteConflict:
    shared = f"the path {first.pattern.text!r}"
    if second.pattern.text != first.pattern.text:
        shared += f" (the other writes {second.pattern.text!r})"
    if hosts != [ANY_HOST]:
        shared += f", the host {' and '.join(hosts)}"
    if first.methods is not None and second.methods is not None:
        shared += f", the method {' and '.join(sorted(first.methods & second.methods))}"
    return RouteConflict(
        (first.id, second.id),
        shared,
        "a request can meet the conditions of both; give one a higher priority, or conditions that exclude the other's",
    )
