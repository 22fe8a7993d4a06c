"""The open streams of a worker: counted, capped, and told when the gateway stops. They outlive reloads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import GatewayError
from gateway.concurrency import ConnectionCounts
from gateway_sse.stream import STOPPING

if TYPE_CHECKING:
    from gateway.interfaces import BuildContext, Deadlines
    from gateway.metrics import Metrics
    from gateway_sse.boundary import Boundaries
    from gateway_sse.stream import EventStream

__all__ = ["RouteStreams", "Streams", "kept_streams"]

MAX_REMEMBERED_ROUTES = 20_000
"""Twice the routes that a gateway is expected to have; reloads that rename them must not fill the memory."""


class Streams:
    """All of a worker.

    Args:
        deadlines: Watches their times.
        metrics: Where they are counted.
    """

    def __init__(self, deadlines: Deadlines, metrics: Metrics) -> None:
        self.deadlines = deadlines
        self.open: set[EventStream] = set()
        self._routes: dict[tuple[str, str], RouteStreams] = {}
        self.active = metrics.gauge("gateway_sse_connections_active", "Event streams that are open.", ("service",))
        self.total = metrics.counter(
            "gateway_sse_connections_total",
            "Event streams: established, or rejected by a cap.",
            ("service", "status"),
        )
        self.events = metrics.counter("gateway_sse_events_sent_total", "Events of services.", ("service",))

    def of_route(self, route_id: str, service: str) -> RouteStreams:
        """Return those of a route, which may be of an earlier configuration."""
        key = (route_id, service)
        if key not in self._routes:
            if len(self._routes) >= MAX_REMEMBERED_ROUTES:
                self._routes = {key: route for key, route in self._routes.items() if route.counts.total}
            self._routes[key] = RouteStreams(self, service)
        return self._routes[key]

    def end_all(self) -> None:
        """End all of them: the gateway stops."""
        for stream in list(self.open):
            stream.end_with(STOPPING)


class RouteStreams:
    """Those of one route.

    Args:
        streams: All of them.
        service: The route's service.

    Attributes:
        counts: How many are open.
    """

    def __init__(self, streams: Streams, service: str) -> None:
        self._streams = streams
        self.counts = ConnectionCounts()
        self._reported: dict[EventStream, int] = {}
        self._active = streams.active.labels(service)
        self._events = streams.events.labels(service)
        self._established = streams.total.labels(service, "established")
        self._rejected = streams.total.labels(service, "rejected")

    def check(self, client: str, *, max_count: int, max_per_client: int) -> None:
        """Check that there is room for one more.

        Args:
            client: The address of the client.
            max_count: The most of the route; 0 is no limit.
            max_per_client: The most of one client; 0 is no limit.

        Raises:
            GatewayError: If there is none.
        """
        try:
            self.counts.check(client, max_count=max_count, max_per_client=max_per_client)
        except GatewayError:
            self._rejected.add()
            raise

    def opened(self, stream: EventStream) -> None:
        """Take a stream in."""
        self.counts.add(stream.client)
        self._reported[stream] = 0
        self._streams.open.add(stream)
        self._streams.deadlines.watch(stream)
        self._established.add()
        self._active.add()

    def report(self, stream: EventStream, boundaries: Boundaries) -> None:
        """Count the events of a stream since the last time."""
        self._events.add(boundaries.events - self._reported[stream])
        self._reported[stream] = boundaries.events

    def closed(self, stream: EventStream) -> None:
        """Drop a stream that is over; called once."""
        self._streams.deadlines.forget(stream)
        self._streams.open.discard(stream)
        del self._reported[stream]
        self.counts.remove(stream.client)
        self._active.add(-1)


def kept_streams(context: BuildContext) -> Streams:
    """Return the streams of this worker."""
    return context.keep("streams", lambda: Streams(context.deadlines, context.metrics))
