"""The routes of one host, found by path."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Generic, TypeVar

from gateway.routing.leaf import UNRANKED, Candidate, Leaf
from gateway.routing.pattern import GlobSegment, Wildcard

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator
    from re import Pattern as Regex

    from gateway.routing.conditions import HeaderLookup
    from gateway.routing.glob import Glob
    from gateway.routing.pattern import Pattern, Segment

__all__ = ["PathTrie"]

T = TypeVar("T")


class _Node(Generic[T]):
    """A place in the trie: the segments that lead here.

    Attributes:
        best: The lowest rank here and below.
        literals: Where a segment leads that is known.
        wildcard: Where every segment leads that is not empty.
        globs: Where segments lead that match a glob; ``None`` if there are none.
        leaf: The routes whose pattern ends here.
        rest: The routes whose pattern takes everything from here.
    """

    __slots__ = ("best", "globs", "leaf", "literals", "rest", "wildcard")

    def __init__(self) -> None:
        self.best = UNRANKED
        self.literals: dict[str, _Node[T]] = {}
        self.wildcard: _Node[T] | None = None
        self.globs: _Globs[T] | None = None
        self.leaf: Leaf[T] | None = None
        self.rest: Leaf[T] | None = None

    def child(self, segment: Segment) -> _Node[T]:
        """Return the node to which a segment of a pattern leads, made if need be."""
        match segment:
            case str():
                return self.literals.setdefault(segment, _Node())
            case Wildcard():
                self.wildcard = self.wildcard or _Node()
                return self.wildcard
        self.globs = self.globs or _Globs()
        return self.globs.child(segment.glob)


class _Globs(Generic[T]):
    """Where segments lead that match a glob, found by how they begin and end, so that many globs cost what few do.

    Attributes:
        beginnings: The characters that segments begin with that may lead somewhere; ``None`` means every character.
    """

    __slots__ = ("_by_ends", "_nodes", "beginnings")

    def __init__(self) -> None:
        self.beginnings: set[str] | None = set()
        self._nodes: dict[Glob, _Node[T]] = {}
        # By the lengths of beginning and end, then by both put together; with the least length of what matches, and
        # with the glob itself where that and the ends do not say everything.
        self._by_ends: dict[tuple[int, int], dict[str, list[tuple[int, Glob | None, _Node[T]]]]] = {}

    def child(self, glob: Glob) -> _Node[T]:
        """Return the node to which a glob leads, made if need be."""
        if glob not in self._nodes:
            self._nodes[glob] = _Node()
            self._index(glob)
        return self._nodes[glob]

    def _index(self, glob: Glob) -> None:
        first, last = glob.runs[0], glob.runs[-1]
        if not first:
            self.beginnings = None
        elif self.beginnings is not None:
            self.beginnings.add(first[0])
        by_ends = self._by_ends.setdefault((len(first), len(last)), {})
        inner = glob if len(glob.runs) > 2 else None
        by_ends.setdefault(first + last, []).append((glob.least_length, inner, self._nodes[glob]))

    def push(self, part: str, at: int, pending: list[tuple[_Node[T], int]]) -> None:
        """Put every node to which a segment of a path leads on a stack, with the number of the segment after it."""
        length = len(part)
        for (first, last), by_ends in self._by_ends.items():
            for least, glob, node in by_ends.get(part[:first] + part[length - last :], ()):
                if length >= least and (glob is None or glob.matches(part)):
                    pending.append((node, at))


class PathTrie(Generic[T]):
    """Finds the routes whose pattern matches a path.

    Patterns without wildcard are looked up in one step, the others segment by segment. No node is visited twice for a
    path, since only one sequence of segments leads there: no path can make a search exponential.

    Args:
        candidates: The routes, in order of rank.
        uses_of_get: Methods that are a GET to routes which do not name them.

    Attributes:
        best: The lowest rank of all.
    """

    __slots__ = ("_best_regex", "_exact", "_regexes", "_root", "best")

    def __init__(self, candidates: Iterable[Candidate[T]], uses_of_get: frozenset[str]) -> None:
        self.best = UNRANKED
        self._exact: dict[str, Leaf[T]] = {}
        self._root: _Node[T] = _Node()
        # In order of rank, because the candidates are.
        self._regexes: list[tuple[Regex[str], Leaf[T]]] = []
        places: defaultdict[Hashable, list[Candidate[T]]] = defaultdict(list)
        for candidate in candidates:
            places[_place(candidate.entry.pattern)].append(candidate)
        for group in places.values():
            self._add(group[0].entry.pattern, Leaf(group, uses_of_get))
        self._best_regex = self._regexes[0][1].best if self._regexes else UNRANKED

    def _add(self, pattern: Pattern, leaf: Leaf[T]) -> None:
        self.best = min(self.best, leaf.best)
        if pattern.regex is not None:
            self._regexes.append((pattern.regex, leaf))
        elif pattern.exact_path is not None:
            self._exact[pattern.exact_path] = leaf
        else:
            self._plant(pattern, leaf)

    def _plant(self, pattern: Pattern, leaf: Leaf[T]) -> None:
        node = self._root
        node.best = min(node.best, leaf.best)
        for segment in pattern.segments:
            node = node.child(segment)
            node.best = min(node.best, leaf.best)
        if pattern.rest is None:
            node.leaf = leaf
        else:
            node.rest = leaf

    def find(self, method: str, path: str, query: str, headers: HeaderLookup, bound: int) -> Candidate[T] | None:
        """Return the route with the lowest rank that matches, or ``None`` if there is none with a rank below ``bound``.

        Args:
            method: As sent.
            path: In the form in which paths are compared.
            query: As sent.
            headers: Only looked at if a condition asks.
            bound: Routes with this rank or a higher one do not count.
        """
        leaf = self._exact.get(path)
        found = leaf.choose(method, query, headers, bound) if leaf is not None else None
        if found is not None:
            bound = found.rank
        if self._root.best < bound:
            for leaf in reversed(self._search(path, bound)):  # the longest literal text is last, and most often wins
                if leaf.best < bound and (chosen := leaf.choose(method, query, headers, bound)) is not None:
                    found, bound = chosen, chosen.rank
        if self._best_regex < bound:
            found = self._find_regex(method, path, query, headers, bound) or found
        return found

    def _search(self, path: str, bound: int) -> list[Leaf[T]]:
        """Return what matches a path in the trie, and perhaps has a rank below ``bound``."""
        parts = path.split("/")
        end = len(parts)
        leaves = []
        pending: list[tuple[_Node[T], int]] = []
        node, at = self._root, 1
        while True:
            following = None
            if node.rest is not None:
                leaves.append(node.rest)
            if at < end:
                part = parts[at]
                at += 1
                globs = node.globs
                if globs is not None and (globs.beginnings is None or part[:1] in globs.beginnings):
                    globs.push(part, at, pending)
                following = node.literals.get(part)
                if node.wildcard is not None and part:
                    if following is None:
                        following = node.wildcard
                    else:
                        pending.append((node.wildcard, at))
            elif node.leaf is not None:
                leaves.append(node.leaf)
            while following is None or following.best >= bound:
                if not pending:
                    return leaves
                following, at = pending.pop()
            node = following

    def _find_regex(self, method: str, path: str, query: str, headers: HeaderLookup, bound: int) -> Candidate[T] | None:
        found = None
        for regex, leaf in self._regexes:
            if leaf.best >= bound:
                break
            # Cheap before dear: an expression is only tried for a request that the rest of the rule accepts.
            chosen = leaf.choose(method, query, headers, bound)
            if chosen is not None and regex.fullmatch(path):
                found, bound = chosen, chosen.rank
        return found

    def leaves(self, path: str) -> Iterator[Leaf[T]]:
        """Yield everything that matches a path, whatever the method."""
        leaf = self._exact.get(path)
        if leaf is not None:
            yield leaf
        yield from self._search(path, UNRANKED)
        for regex, leaf in self._regexes:
            if regex.fullmatch(path):
                yield leaf


def _place(pattern: Pattern) -> Hashable:
    """Return what patterns have in common that match the same paths: everything but the names."""
    if pattern.regex is not None:
        return pattern.text, "regex"
    segments = tuple(_nameless(segment) for segment in pattern.segments)
    return segments, pattern.rest is not None


def _nameless(segment: Segment) -> str | Glob | None:
    match segment:
        case str():
            return segment
        case GlobSegment():
            return segment.glob
    return None
