"""The route table: compiled once, asked for every request."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from gateway.routing.conditions import Facts
from gateway.routing.conflicts import RouteConflicts, find_conflicts
from gateway.routing.hosts import ANY_HOST, HostIndex
from gateway.routing.leaf import UNRANKED, Candidate
from gateway.routing.path import comparison_form
from gateway.routing.precedence import precedence
from gateway.routing.trie import PathTrie

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from gateway.routing.conditions import HeaderLookup
    from gateway.routing.entry import RouteEntry

__all__ = ["Miss", "RouteTable"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Miss:
    """No route matches.

    Attributes:
        allowed: The methods with which the request would have matched, sorted, for 405 and its ``Allow`` field
            (RFC 9110 sections 15.5.6 and 10.2.1); empty when there are none, for 404.
    """

    allowed: tuple[str, ...] = ()


class RouteTable(Generic[T]):
    """Finds the route of a request by host, path, method, header fields and query.

    Immutable, so any number of tasks and threads may ask it at once. The time a match takes depends on the length of
    the path and on how many routes share its pattern, not on how many there are; only regexes are tried one by one.

    Args:
        entries: The routes, in any order.
        pseudo_methods: Names in the methods of routes that are no methods but uses of GET, such as ``WEBSOCKET``.

    Attributes:
        entries: The routes, those with precedence first.

    Raises:
        RouteConflicts: If some of the entries conflict; names them all.
        ValueError: If a host of an entry is not a host.
    """

    __slots__ = ("_only", "_pseudo_methods", "_tries", "entries")

    def __init__(self, entries: Iterable[RouteEntry[T]], *, pseudo_methods: Collection[str] = ()) -> None:
        entries = tuple(entries)
        self._pseudo_methods = frozenset(pseudo_methods)
        # A HEAD request is a GET whose response has no content (RFC 9110 section 9.3.2).
        uses_of_get = self._pseudo_methods | {"HEAD"}
        if conflicts := find_conflicts(entries):
            raise RouteConflicts(conflicts)
        ranked = _rank(entries)
        self.entries = tuple({candidate.entry.id: candidate.entry for _, candidate in ranked}.values())
        by_host: defaultdict[str, list[Candidate[T]]] = defaultdict(list)
        for host, candidate in ranked:
            by_host[host].append(candidate)
        tries = {host: PathTrie(candidates, uses_of_get) for host, candidates in by_host.items()}
        self._tries = HostIndex(tries)
        # Most tables ask for no host, and then there is nothing to look up.
        self._only = tries[ANY_HOST] if tries.keys() == {ANY_HOST} else None

    def match(
        self, method: str, host: str, path: str, query: str, headers: HeaderLookup
    ) -> tuple[T, Mapping[str, str]] | Miss:
        """Return the target of the route for a request and the values of its parameters, or a ``Miss``.

        Args:
            method: As sent, or a pseudo method. Routes that name HEAD or a pseudo method come first, then those for
                GET.
            host: As sent; case, port and trailing dot do not matter. Empty if there is none.
            path: In canonical form, as ``normalise_path`` makes it.
            query: As sent, without ``?``.
            headers: Only asked if a route that matches otherwise has a condition on header fields.

        Returns:
            The target and the parameters, percent-decoded: for plugins to use, not to build paths of.
        """
        if "%" in path:
            path = comparison_form(path)
        if self._only is not None:
            found = self._only.find(method, path, query, headers, UNRANKED)
        else:
            found = self._find(method, host, path, query, headers)
        if found is None:
            return self._miss(host, path, Facts(query, headers))
        if found.capture is None:
            return found.plain
        return found.entry.target, found.capture(path)

    def _find(self, method: str, host: str, path: str, query: str, headers: HeaderLookup) -> Candidate[T] | None:
        found, bound = None, UNRANKED
        for trie in self._tries.find(host):
            if trie.best < bound:
                candidate = trie.find(method, path, query, headers, bound)
                if candidate is not None:
                    found, bound = candidate, candidate.rank
        return found

    def _miss(self, host: str, path: str, facts: Facts) -> Miss:
        allowed: set[str] = set()
        for trie in self._tries.find(host):
            for leaf in trie.leaves(path):
                allowed |= leaf.allowed(facts)
        return Miss(tuple(sorted(allowed - self._pseudo_methods)))  # which a client could not be told about


def _rank(entries: Iterable[RouteEntry[T]]) -> list[tuple[str, Candidate[T]]]:
    """Compile each entry for each of its hosts, those with precedence first; equals have the same rank."""
    keyed = [(precedence(entry, host), host, entry) for entry in entries for host in entry.canonical_hosts]
    # Equals that are no conflict, such as different regexes for one header field, go by id, not by place in the file.
    keyed.sort(key=lambda item: (item[0], item[2].id))
    ranks: dict[tuple[object, ...], int] = {}
    return [(host, Candidate(entry, ranks.setdefault(key, len(ranks)))) for key, host, entry in keyed]
