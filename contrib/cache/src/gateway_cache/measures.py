"""What is measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.metrics import Metrics, Series
    from gateway_cache.store import MemoryStore

__all__ = ["RESULTS", "RouteMeasures", "StoreMeasures"]

RESULTS = ("hit", "stale", "collapsed", "miss", "validated", "error", "bypass", "refreshed")


class RouteMeasures:
    """What became of the requests of a route.

    Args:
        metrics: Where it is counted.
        route: The id of the route.
    """

    def __init__(self, metrics: Metrics, route: str) -> None:
        family = metrics.counter(
            "gateway_cache_requests_total", "Requests by what the cache made of them.", ("route", "result")
        )
        self.by_result: dict[str, Series] = {result: family.labels(route, result) for result in RESULTS}


class StoreMeasures:
    """How full the store is.

    Args:
        metrics: Where it is shown.
        store: The store.
    """

    def __init__(self, metrics: Metrics, store: MemoryStore) -> None:
        self._store = store
        self._bytes = metrics.gauge("gateway_cache_size_bytes", "Memory that stored responses take.").labels()
        self._entries = metrics.gauge("gateway_cache_entries", "Responses that are stored.").labels()
        self._evictions = metrics.counter(
            "gateway_cache_evictions_total", "Responses that had to go for others."
        ).labels()

    def update(self) -> None:
        """Show how it is now."""
        self._bytes.set(self._store.bytes)
        self._entries.set(len(self._store))
        self._evictions.set(self._store.evictions)
