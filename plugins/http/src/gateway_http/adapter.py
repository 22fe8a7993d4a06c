"""The adapter ``http``: what listens for clients, and the limits they are held to."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from gateway.interfaces import Listener
from gateway_http.client_connection import ClientConnection
from gateway_http.forwarding import Hop, TrustedProxies
from gateway_http.tls import client_context

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from gateway import BuildContext
    from gateway_http.config import FrontendHttpConfig

__all__ = ["HttpAdapter"]


class HttpAdapter:
    """Speaks HTTP/1.1 with clients.

    Args:
        config: The block ``frontend.http``.
        context: The gateway.

    Attributes:
        is_draining: Whether connections are closed after the answer that is under way.
    """

    def __init__(self, config: FrontendHttpConfig, context: BuildContext) -> None:
        self.serve = context.serve
        self.refuse = context.refuse
        self.outbox = context.outbox
        self.read_timeout_s = config.read_timeout or float("inf")
        self.write_timeout_s = config.write_timeout or float("inf")
        self.idle_timeout_s = config.idle_timeout or float("inf")
        self.max_request_size = config.max_request_size
        self.max_header_bytes = config.max_header_bytes
        self.max_headers = config.max_headers
        self.max_uri_bytes = config.max_uri_bytes
        self.trusted_proxies = TrustedProxies(config.trusted_proxies)
        self.is_draining = False
        self._config = config
        self._deadlines = context.deadlines
        self._connections: set[ClientConnection] = set()
        self._listeners = _listeners(config, context)

    def listeners(self) -> Sequence[Listener]:
        """Return the addresses to serve."""
        return self._listeners

    def connection(self, listener: Listener) -> asyncio.BaseProtocol:
        """Return the protocol of a new connection."""
        return ClientConnection(self, "http" if listener.tls is None else "https")

    def drain(self) -> None:
        """Close idle connections, and the others after their answer."""
        self.is_draining = True
        for connection in list(self._connections):
            connection.drain()

    def connections(self) -> int:
        """Return how many connections are open."""
        return len(self._connections)

    def close(self) -> None:
        """Cut what is still open."""
        for connection in list(self._connections):
            connection.close()

    # The connections' side.

    def admit(self, connection: ClientConnection) -> bool:
        """Take a new connection in, unless there are too many."""
        if len(self._connections) >= self._config.max_connections:
            return False
        self._connections.add(connection)
        self._deadlines.watch(connection)
        return True

    def forget(self, connection: ClientConnection) -> None:
        """Drop a connection that is gone."""
        self._connections.discard(connection)
        self._deadlines.forget(connection)

    def hop(self, peer: str, scheme: str) -> Hop:
        """Return what services are told about a connection from ``peer``."""
        return Hop(peer, scheme, has_forwarded=self._config.forwarded, via=self._config.via)


def _listeners(config: FrontendHttpConfig, context: BuildContext) -> list[Listener]:
    tls = config.tls
    if tls is None or not tls.enabled:
        return [Listener(host=config.host, port=config.port)]
    paths = [context.resolve(tls.cert_file), context.resolve(tls.key_file)]
    ssl_context = client_context(tls, context)
    fingerprint = hashlib.sha256(b"\0".join(path.read_bytes() for path in paths)).hexdigest()
    secure = Listener(
        host=config.host,
        port=config.port if tls.port is None else tls.port,
        tls=ssl_context,
        reuse_key=(fingerprint, tls.min_version, tls.max_version),
    )
    return [secure] if tls.port is None else [Listener(host=config.host, port=config.port), secure]


if TYPE_CHECKING:
    from gateway.interfaces import Adapter

    _: type[Adapter] = HttpAdapter
