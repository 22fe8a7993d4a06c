"""The open WebSockets of a worker: counted, capped, and told when the gateway stops.

They outlive reloads, so they are kept for the registration; each configuration may have another policy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import GatewayError
from gateway.concurrency import ConnectionCounts
from gateway_websocket.close import CloseCode, code_label

if TYPE_CHECKING:
    from gateway.interfaces import BuildContext, Deadlines
    from gateway.metrics import Metrics
    from gateway_websocket.tunnel import WebSocketTunnel

__all__ = ["RouteSockets", "Sockets", "kept_sockets"]

MAX_REMEMBERED_ROUTES = 20_000
"""Twice the routes that a gateway is expected to have; reloads that rename them must not fill the memory."""


class Sockets:
    """All of a worker.

    Args:
        deadlines: Watches their times.
        metrics: Where they are counted.
    """

    def __init__(self, deadlines: Deadlines, metrics: Metrics) -> None:
        self.deadlines = deadlines
        self.open: set[WebSocketTunnel] = set()
        self._routes: dict[tuple[str, str], RouteSockets] = {}
        self.active = metrics.gauge("gateway_websocket_connections_active", "WebSockets that are open.", ("service",))
        self.total = metrics.counter(
            "gateway_websocket_connections_total",
            "Handshakes: established, failed (by the service or further in) or rejected (by a cap or the origin).",
            ("service", "status"),
        )
        self.received = metrics.counter(
            "gateway_websocket_messages_received_total", "Messages of clients.", ("service",)
        )
        self.sent = metrics.counter("gateway_websocket_messages_sent_total", "Messages of services.", ("service",))
        self.closed = metrics.counter(
            "gateway_websocket_closed_total",
            "WebSockets that ended, by the code of the first close frame (1006 without one) and who sent it.",
            ("service", "code", "by"),
        )

    def of_route(self, route_id: str, service: str) -> RouteSockets:
        """Return those of a route, which may be of an earlier configuration."""
        key = (route_id, service)
        if key not in self._routes:
            self._forget_empty()
            self._routes[key] = RouteSockets(self, service)
        return self._routes[key]

    def close_all(self, code: int) -> None:
        """Close all of them: the gateway stops."""
        reason = "the gateway restarts" if code == CloseCode.SERVICE_RESTART else "the gateway stops"
        for socket in list(self.open):
            socket.close(code, reason)

    def _forget_empty(self) -> None:
        """Forget routes that are gone: nobody else holds what was made for them, and no socket is open."""
        if len(self._routes) >= MAX_REMEMBERED_ROUTES:
            self._routes = {key: route for key, route in self._routes.items() if route.counts.total}


class RouteSockets:
    """Those of one route.

    Args:
        sockets: All of them.
        service: The route's service.

    Attributes:
        counts: How many are open or about to be.
        received_messages: Counts messages of clients.
        sent_messages: Counts messages of services.
    """

    def __init__(self, sockets: Sockets, service: str) -> None:
        self._sockets = sockets
        self._service = service
        self.counts = ConnectionCounts()
        self._clients: dict[WebSocketTunnel, str] = {}
        self.received_messages = sockets.received.labels(service)
        self.sent_messages = sockets.sent.labels(service)
        self._active = sockets.active.labels(service)
        self._established = sockets.total.labels(service, "established")
        self._failed = sockets.total.labels(service, "failed")
        self._rejected = sockets.total.labels(service, "rejected")

    def reserve(self, client: str, *, max_count: int, max_per_client: int) -> None:
        """Take a place for a handshake.

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
            self.reject()
            raise
        self.counts.add(client)

    def reject(self) -> None:
        """Count a handshake that was refused here."""
        self._rejected.add()

    def release(self, client: str) -> None:
        """Give a place back: the handshake failed."""
        self._failed.add()
        self.counts.remove(client)

    def opened(self, socket: WebSocketTunnel, client: str) -> None:
        """Take a socket in, for which a place was reserved."""
        self._sockets.open.add(socket)
        self._clients[socket] = client
        self._established.add()
        self._active.add()

    def watch(self, socket: WebSocketTunnel) -> None:
        """Watch its times."""
        self._sockets.deadlines.watch(socket)

    def closed(self, socket: WebSocketTunnel) -> None:
        """Drop a socket that is gone; called once."""
        self._sockets.deadlines.forget(socket)
        self._sockets.open.discard(socket)
        self._sockets.closed.labels(self._service, code_label(socket.close_code), socket.closed_by).add()
        self._active.add(-1)
        self.counts.remove(self._clients.pop(socket))


def kept_sockets(context: BuildContext) -> Sockets:
    """Return the sockets of this worker."""
    return context.keep("sockets", lambda: Sockets(context.deadlines, context.metrics))
