"""What is stored: in memory, bounded in bytes, least recently used first to go."""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gateway_cache.stored import vary_values

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway import Headers
    from gateway_cache.stored import StoredResponse

__all__ = ["MemoryStore"]

MAX_VARIANTS = 32
"""Responses of one URI that differ by ``Vary``: a stranger chooses its fields, and a look-up reads all of them."""


class MemoryStore:
    """Stored responses of one worker. Used from its event loop only.

    Attributes:
        bytes: How much they take.
        evictions: How many had to go for others.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self.evictions = 0
        self._capacities: Counter[int] = Counter()
        self._recent: OrderedDict[StoredResponse, None] = OrderedDict()
        self._by_uri: dict[str, list[StoredResponse]] = {}
        self._by_tag: dict[str, set[StoredResponse]] = {}

    def __len__(self) -> int:
        return len(self._recent)

    @property
    def capacity(self) -> int:
        """How much they may take: the most that one of its users asks for."""
        return max(self._capacities, default=0)

    def open(self, capacity: int) -> None:
        """Hold so many bytes from now on."""
        self._capacities[capacity] += 1

    def close(self, capacity: int) -> None:
        """One who asked for so many bytes is gone."""
        self._capacities[capacity] -= 1
        if not self._capacities[capacity]:
            del self._capacities[capacity]
        self._make_room(0)

    def find(self, uri: str, scope: str, headers: Headers) -> StoredResponse | None:
        """Return the response for a request."""
        for stored in self._by_uri.get(uri, ()):
            if stored.scope == scope and stored.suits(headers):
                self._recent.move_to_end(stored)
                return stored
        return None

    def knows(self, uri: str, scope: str) -> bool:
        """Say whether anything is stored for a URI, for whatever request."""
        return any(stored.scope == scope for stored in self._by_uri.get(uri, ()))

    def variant(self, uri: str, scope: str, headers: Headers) -> object:
        """Return what tells requests for a URI apart, as far as it is known from what is stored."""
        for stored in reversed(self._by_uri.get(uri, ())):
            if stored.scope == scope:
                return vary_values(tuple(name for name, _ in stored.vary), headers)
        return ()

    def put(self, stored: StoredResponse) -> bool:
        """Store a response in place of the one it replaces; returns whether there is room for it at all."""
        alike = self._by_uri.get(stored.uri, [])
        for other in [each for each in alike if each.scope == stored.scope and each.vary == stored.vary]:
            self.remove(other)
        if stored.size > self.capacity:
            return False
        self._make_room(stored.size)
        alike = self._by_uri.setdefault(stored.uri, [])
        if len(alike) >= MAX_VARIANTS:
            self.evictions += 1
            self.remove(alike[0])
            alike = self._by_uri.setdefault(stored.uri, [])
        alike.append(stored)
        self._recent[stored] = None
        for tag in stored.tags:
            self._by_tag.setdefault(tag, set()).add(stored)
        self.bytes += stored.size
        return True

    def remove(self, stored: StoredResponse) -> None:
        """Remove a response; harmless if it is not there any more."""
        if stored not in self._recent:
            return
        del self._recent[stored]
        self.bytes -= stored.size
        alike = self._by_uri[stored.uri]
        alike.remove(stored)
        if not alike:
            del self._by_uri[stored.uri]
        for tag in stored.tags:
            tagged = self._by_tag[tag]
            tagged.discard(stored)
            if not tagged:
                del self._by_tag[tag]

    def invalidate(self, uri: str) -> int:
        """Remove everything that is stored for a URI; returns how much it was."""
        return self._remove_all(self._by_uri.get(uri, ()))

    def purge(self, *, prefix: str | None = None, tag: str | None = None) -> int:
        """Remove responses; returns how many.

        Args:
            prefix: Of the path, or of the URI if it does not begin with a slash; ``None`` for any.
            tag: A word that they are tagged with; ``None`` for any.
        """
        among: Iterable[StoredResponse] = self._recent if tag is None else self._by_tag.get(tag, ())
        if prefix is None:
            return self._remove_all(among)
        if not prefix.startswith("/"):
            return self._remove_all(stored for stored in among if stored.uri.startswith(prefix))
        return self._remove_all(stored for stored in among if urlsplit(stored.uri).path.startswith(prefix))

    def _remove_all(self, responses: Iterable[StoredResponse]) -> int:
        gone = list(responses)
        for stored in gone:
            self.remove(stored)
        return len(gone)

    def _make_room(self, size: int) -> None:
        while self._recent and self.bytes + size > self.capacity:
            self.evictions += 1
            self.remove(next(iter(self._recent)))
