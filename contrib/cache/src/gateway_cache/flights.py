"""One fetch for all who want the same at the same time.

The first who misses fetches; the others wait until what came is stored and look again. Nobody is given anything but
from the store, by the rules of the store: so what turns out to be for one only is seen by one only, and then each goes
alone, at once. The same holds for a fetch that fails, and for one that takes too long.
"""

from __future__ import annotations

import asyncio
import enum
from collections import OrderedDict
from typing import TYPE_CHECKING

from gateway import Waiter

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

__all__ = ["Flight", "Flights", "Landing"]

MAX_MARKS = 16384
MARK_S = 30.0
"""How long it is remembered that an answer was not for all, so that nobody waits for the next one. Varnish calls it
hit-for-miss, and remembers for two minutes."""


class Landing(enum.Enum):
    """How a flight ended."""

    STORED = enum.auto()
    NOT_SHARED = enum.auto()
    FAILED = enum.auto()
    LATE = enum.auto()
    """It has not ended in time."""


class Flight:
    """A fetch that is under way.

    Args:
        uri: The target URI.
        key: What it is known by; ``None`` if nobody waits for it.

    Attributes:
        is_void: What it brings was invalidated meanwhile, and must not be stored.
    """

    __slots__ = ("_waiters", "is_void", "key", "landing", "uri")

    def __init__(self, uri: str, key: Hashable | None) -> None:
        self.uri = uri
        self.key = key
        self.is_void = False
        self.landing: Landing | None = None
        self._waiters: list[Waiter[Landing]] = []

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits for it."""
        return bool(self._waiters)

    async def wait(self, timeout_s: float) -> Landing:
        """Return how it ended."""
        if self.landing is not None:
            return self.landing
        waiter: Waiter[Landing] = Waiter()
        timer = asyncio.get_running_loop().call_later(timeout_s, waiter.set_result, Landing.LATE)
        self._waiters.append(waiter)
        try:
            return await waiter
        finally:
            timer.cancel()
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def land(self, landing: Landing) -> None:
        """Tell all who wait; later calls are ignored."""
        if self.landing is None:
            self.landing = landing
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                waiter.set_result(landing)


class Flights:
    """All fetches that are under way in a worker.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._by_key: dict[Hashable, Flight] = {}
        self._all: set[Flight] = set()
        # By hash: two that share one are not coalesced for a while, which does no harm.
        self._marks: OrderedDict[int, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._all)

    def find(self, key: Hashable) -> Flight | None:
        """Return the fetch to wait for, if there is one."""
        return self._by_key.get(key)

    def begin(self, uri: str, key: Hashable | None) -> Flight:
        """Begin a fetch that others wait for, or nobody if there is one already or ``key`` is ``None``."""
        flight = Flight(uri, None if key in self._by_key else key)
        self._all.add(flight)
        if flight.key is not None:
            self._by_key[flight.key] = flight
        return flight

    def end(self, flight: Flight, landing: Landing) -> None:
        """End a fetch; later calls are ignored."""
        if flight.landing is not None:
            return
        self._all.discard(flight)
        if flight.key is not None:
            del self._by_key[flight.key]
            if landing is Landing.NOT_SHARED:
                self._mark(flight.key)
        flight.land(landing)

    def is_marked(self, key: Hashable) -> bool:
        """Say whether the last answer was not for all."""
        until_s = self._marks.get(hash(key))
        return until_s is not None and self._clock() < until_s

    def void(self, uri: str | None = None) -> None:
        """Have nothing stored of what is under way: for a URI, or at all."""
        for flight in self._all:
            if uri is None or flight.uri == uri:
                flight.is_void = True

    def _mark(self, key: Hashable) -> None:
        self._marks[hash(key)] = self._clock() + MARK_S
        self._marks.move_to_end(hash(key))
        if len(self._marks) > MAX_MARKS:
            self._marks.popitem(last=False)
