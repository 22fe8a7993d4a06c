"""The routes that share one pattern, and choosing among them."""

from __future__ import annotations

import sys
from types import MappingProxyType
from typing import TYPE_CHECKING, Generic, TypeVar

from gateway.routing.capture import build_capture
from gateway.routing.conditions import Facts, build_test

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.routing.conditions import HeaderLookup
    from gateway.routing.entry import RouteEntry

__all__ = ["UNRANKED", "Candidate", "Leaf"]

T = TypeVar("T")

UNRANKED = sys.maxsize
NO_PARAMETERS: Mapping[str, str] = MappingProxyType({})


class Candidate(Generic[T]):
    """A route, compiled.

    Args:
        entry: The route.
        rank: Its place among all the routes of the table; the lowest that matches wins.

    Attributes:
        plain: What a match returns if the pattern has no parameters; made once.
        capture: Takes the parameters out of the path; ``None`` if there are none.
    """

    __slots__ = ("_tests", "capture", "entry", "is_conditional", "plain", "rank")

    def __init__(self, entry: RouteEntry[T], rank: int) -> None:
        self.entry = entry
        self.rank = rank
        self.plain = (entry.target, NO_PARAMETERS)
        self.capture = build_capture(entry.pattern)
        self._tests = (*map(build_test, entry.headers), *map(build_test, entry.query))
        self.is_conditional = bool(self._tests)

    def accepts(self, facts: Facts) -> bool:
        """Say whether all conditions on header fields and query hold."""
        return all(test(facts) for test in self._tests)


class Leaf(Generic[T]):
    """Routes with the same pattern, but for the names of its parameters.

    Args:
        candidates: At least one, in order of rank.
        uses_of_get: Methods that are a GET to routes which do not name them.

    Attributes:
        best: The rank of the first.
    """

    __slots__ = ("_all", "_any_method", "_by_method", "best")

    def __init__(self, candidates: Sequence[Candidate[T]], uses_of_get: frozenset[str]) -> None:
        self.best = candidates[0].rank
        self._all = tuple(candidates)
        self._any_method = tuple(candidate for candidate in candidates if candidate.entry.methods is None)
        named = {method for candidate in candidates for method in candidate.entry.methods or ()}
        if "GET" in named:
            named |= uses_of_get
        self._by_method = {
            method: self._with_method(method, "GET" if method in uses_of_get else method) for method in named
        }

    def _with_method(self, method: str, behind: str) -> tuple[Candidate[T], ...]:
        def is_for(methods: frozenset[str] | None) -> bool:
            return methods is None or method in methods or behind in methods

        # Those that name the method itself come before their equals that only accept it; sorting is stable.
        return tuple(
            sorted(
                (candidate for candidate in self._all if is_for(candidate.entry.methods)),
                key=lambda candidate: (candidate.rank, method not in (candidate.entry.methods or ())),
            )
        )

    def choose(self, method: str, query: str, headers: HeaderLookup, bound: int) -> Candidate[T] | None:
        """Return the route with the lowest rank that matches, or ``None`` if no rank is below ``bound``."""
        facts = None
        for candidate in self._by_method.get(method, self._any_method):
            if candidate.rank >= bound:
                return None
            if not candidate.is_conditional:
                return candidate
            if facts is None:
                facts = Facts(query, headers)
            if candidate.accepts(facts):
                return candidate
        return None

    def allowed(self, facts: Facts) -> set[str]:
        """Return the methods with which the request would match here, HEAD among them where GET is."""
        allowed = {
            method for candidate in self._all if candidate.accepts(facts) for method in candidate.entry.methods or ()
        }
        if "GET" in allowed:
            allowed.add("HEAD")
        return allowed
