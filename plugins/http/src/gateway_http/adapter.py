"""The adapter ``http``: what listens for clients, and the limits they are held to."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Protocol

from gateway.interfaces import Listener
from gateway_http.client_connection import ClientConnection
from gateway_http.forwarding import Hop, TrustedProxies
from gateway_http.lingering import Lingering
from gateway_http.tls import client_context

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from gateway import BuildContext
    from gateway_http.config import FrontendHttpConfig

__all__ = ["Connected", "HttpAdapter"]


class Connected(Protocol):
    """A client connection, whatever stage of its life it is in."""

    deadline_s: float

    def drain(self) -> None:
        """Close if idle; else close when what is under way is over."""

    def close(self) -> None:
        """Cut whatever is under way."""

    def deadline_passed(self) -> None:
        """Act: the deadline is over."""


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
        self.read_timeout_s = config.read_timeout or math.inf
        self.write_timeout_s = config.write_timeout or math.inf
        self.idle_timeout_s = config.idle_timeout or math.inf
        self.max_request_size = config.max_request_size or math.inf
        self.max_header_bytes = config.max_header_bytes
        self.max_headers = config.max_headers
        self.max_uri_bytes = config.max_uri_bytes
        self.is_draining = False
        self._trusted_proxies = TrustedProxies(config.trusted_proxies)
        self._config = config
        self._context = context
        self._deadlines = context.deadlines
        self._connections: set[Connected] = set()
        self._lingering: set[Connected] = set()  # those of them that only wait for the client to go
        self._listeners = _listeners(config, context)

    def listeners(self) -> Sequence[Listener]:
        """Return the addresses to serve."""
        return self._listeners

    def connection(self, listener: Listener) -> asyncio.BaseProtocol:
        """Return the protocol of a new connection."""
        return ClientConnection(self, "http" if listener.tls is None else "https", listener.serve or self.serve)

    def is_current(self) -> bool:
        """Tell whether the certificate files are still the ones that were loaded; asked at a reload."""
        return [listener.reuse_key for listener in self._listeners] == [
            listener.reuse_key for listener in _listeners(self._config, self._context)
        ]

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

    def admit(self, connection: Connected) -> bool:
        """Take a new connection in; returns whether there is room for it."""
        self._watch(connection)
        return len(self._connections) - len(self._lingering) <= self._config.max_connections

    def forget(self, connection: Connected) -> None:
        """Drop a connection that is gone."""
        self._connections.discard(connection)
        self._lingering.discard(connection)
        self._deadlines.forget(connection)

    def replace(self, connection: Connected, successor: Connected) -> None:
        """Go on with what ``connection`` has become."""
        self.forget(connection)
        self._watch(successor)

    def linger(self, connection: Connected, transport: asyncio.Transport) -> None:
        """Close a connection so that the client can read the last answer."""
        if len(self._lingering) >= self._config.max_connections:
            # So many leave at once only where somebody floods us: no courtesies then.
            transport.close()
            return
        lingering = Lingering(self, transport)
        self.replace(connection, lingering)
        self._lingering.add(lingering)
        transport.set_protocol(lingering)

    def hop(self, peer: str, scheme: str) -> Hop:
        """Return what services are told about a connection from ``peer``."""
        config = self._config
        return Hop(peer, scheme, trusted=self._trusted_proxies, has_forwarded=config.forwarded, via=config.via)

    def _watch(self, connection: Connected) -> None:
        self._connections.add(connection)
        self._deadlines.watch(connection)


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
