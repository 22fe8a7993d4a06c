"""The policy ``cache``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from gateway_cache.filling import FillingBudget
from gateway_cache.flights import Flights
from gateway_cache.measures import RouteMeasures, StoreMeasures
from gateway_cache.refreshes import Refreshes
from gateway_cache.route import CachingRoute
from gateway_cache.store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway import BuildContext, Handler, Route
    from gateway_cache.config import CacheConfig

__all__ = ["CachePolicy"]

PROTOCOLS = frozenset({"http", "http2"})


class CachePolicy:
    """Answers again what a service said may be answered again. Stands behind authentication, rights and limits.

    Args:
        config: The block.
        context: The gateway.
        clock: Monotonic seconds.
        clock_utc: Unix time.

    Attributes:
        config: The block.
        store: What is stored; shared with other blocks, and over reloads.
        flights: What is under way.
        budget: How much fetches may keep together before it is stored.
        refreshes: What is fetched in the background.
        measures: How full the store is.
        clock: Monotonic seconds.
        clock_utc: Unix time.
    """

    waits = False  # but for gateway.Waiter

    def __init__(
        self,
        config: CacheConfig,
        context: BuildContext,
        clock: Callable[[], float] = time.monotonic,
        clock_utc: Callable[[], float] = time.time,
    ) -> None:
        self.config = config
        self.clock = clock
        self.clock_utc = clock_utc
        self._metrics = context.metrics
        self.store: MemoryStore = context.keep("store", MemoryStore)
        self.flights: Flights = context.keep("flights", lambda: Flights(clock))
        self.budget = FillingBudget(config.max_size)
        self.measures = StoreMeasures(context.metrics, self.store)
        self.refreshes = Refreshes(context.logger)
        context.background.start("refreshes", self.refreshes.run)
        context.expose("report", self._report)
        context.expose("purge", self._purge)

    async def __aenter__(self) -> Self:
        self.store.open(self.config.max_size)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.refreshes.close()
        self.store.close(self.config.max_size)
        self.measures.update()

    def wrap(self, call_next: Handler, route: Route) -> Handler:
        """Return the handler that looks into the cache, or ``call_next`` where there is nothing to store."""
        if not route.service or route.protocol not in PROTOCOLS:
            return call_next
        return CachingRoute(call_next, route, self, RouteMeasures(self._metrics, route.id)).handle

    def invalidate(self, uri: str) -> None:
        """Forget a URI, and do not store what is being fetched of it."""
        self.flights.void(uri)
        self.store.invalidate(uri)
        self.measures.update()

    def _purge(self, prefix: str | None, tag: str | None) -> int:
        # What is under way may be of it: its tags are not known yet.
        self.flights.void()
        gone = self.store.purge(prefix=prefix, tag=tag)
        self.measures.update()
        return gone

    def _report(self) -> dict[str, int]:
        return {
            "entries": len(self.store),
            "bytes": self.store.bytes,
            "maxBytes": self.store.capacity,
            "evictions": self.store.evictions,
        }


if TYPE_CHECKING:
    from gateway.interfaces import Policy

    _: type[Policy] = CachePolicy
