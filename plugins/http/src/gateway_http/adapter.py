"""The adapter ``http``: what listens for clients, and the limits they are held to."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gateway import ErrorType, GatewayError
from gateway.forwarding import Hop, TrustedProxies
from gateway.handover import ClientLimits, Handover
from gateway.interfaces import Listener
from gateway.tls import obtain_client_tls
from gateway_http.client_certificate import certificate_fields
from gateway_http.client_connection import ClientConnection
from gateway_http.lingering import Lingering

if TYPE_CHECKING:
    import asyncio
    import ssl
    from collections.abc import Callable, Sequence

    from gateway import BuildContext, Exchange
    from gateway.handover import ClientConnection as Connected
    from gateway.handover import Takeover
    from gateway.tls import ClientTls
    from gateway_http.config import FrontendHttpConfig

__all__ = ["HttpAdapter"]


class HttpAdapter:
    """Speaks HTTP/1.1 with clients.

    Args:
        config: The block ``frontend.http``.
        context: The gateway.

    Attributes:
        is_draining: Whether connections are closed after the answer that is under way.
        takeovers: Which connections are handed over, and to whom.
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
        self._limits = ClientLimits(
            read_timeout_s=self.read_timeout_s,
            write_timeout_s=self.write_timeout_s,
            idle_timeout_s=self.idle_timeout_s,
            max_request_bytes=self.max_request_size,
            max_header_bytes=self.max_header_bytes,
            max_headers=self.max_headers,
            max_uri_bytes=self.max_uri_bytes,
        )
        self.is_draining = False
        self.takeovers: Sequence[Takeover] = ()
        self._trusted_proxies = TrustedProxies(config.trusted_proxies)
        self._config = config
        self._context = context
        self._deadlines = context.deadlines
        self._connections: set[Connected] = set()
        self._lingering: set[Connected] = set()  # those of them that only wait for the client to go
        tls = config.tls
        self._tls = obtain_client_tls(tls, context) if tls is not None and tls.enabled else None
        self._listeners = _listeners(config, self._tls)

    def listeners(self) -> Sequence[Listener]:
        """Return the addresses to serve."""
        return self._listeners

    def connection(self, listener: Listener) -> asyncio.BaseProtocol:
        """Return the protocol of a new connection."""
        return ClientConnection(self, "http" if listener.tls is None else "https", listener.serve or self.serve)

    def hand_over_to(self, takeovers: Sequence[Takeover]) -> None:
        """Hand connections over from now on as ``takeovers`` say, and offer their protocols to clients."""
        self.takeovers = tuple(takeovers)
        protocols = [protocol for takeover in takeovers for protocol in takeover.alpn]
        if self._tls is not None:
            self._tls.offer([*protocols, "http/1.1"])

    def is_current(self) -> bool:
        """Tell whether the files of certificates are still the ones that were loaded; asked at a reload."""
        return self._tls is None or self._tls.is_current(self._context)

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

    def hand_over(
        self,
        connection: Connected,
        takeover: Takeover,
        transport: asyncio.Transport,
        hop: Hop,
        serve: Callable[[Exchange], None],
        received: bytes = b"",
    ) -> bool:
        """Have somebody else go on with what ``connection`` turned out to be; returns whether they do."""
        handover = Handover(
            transport=transport,
            received=received,
            hop=hop,
            limits=self._limits,
            serve=serve,
            is_draining=self.is_draining,
            forget=self.forget,
            linger=lambda successor: self.linger(successor, transport),
        )
        successor = takeover.take(handover)
        if successor is None:
            return False
        self.replace(connection, successor)
        if received:
            successor.data_received(received)
        return True

    def hop(self, peer: str, scheme: str, tls: ssl.SSLObject | None = None) -> Hop:
        """Return what services are told about a connection from ``peer``; ``tls`` is what encrypts it."""
        config = self._config
        hop = Hop(peer, scheme, trusted=self._trusted_proxies, has_forwarded=config.forwarded, via=config.via)
        if config.forward_client_cert != "none":
            hop.believes_certificates = peer in self._trusted_proxies
        certificate = tls.getpeercert() if tls is not None else None
        if tls is not None and certificate:
            hop.peer_certificate = certificate
            hop.certificate_fields = certificate_fields(tls, config.forward_client_cert)
        return hop

    def guarded(
        self, serve: Callable[[Exchange], None], tls: ssl.SSLObject | None, hop: Hop
    ) -> Callable[[Exchange], None]:
        """Return what answers the exchanges of a connection: ``serve``, unless some hosts need a client certificate.

        Args:
            serve: Answers those that may pass.
            tls: What encrypts the connection; over a plain one nobody can show a certificate.
            hop: Of the connection.
        """
        guard = self._tls
        if guard is None or not guard.has_guarded_names or hop.peer_certificate is not None:
            return serve
        shown = tls.context if tls is not None else None

        def serve_guarded(exchange: Exchange) -> None:
            is_misdirected = guard.is_misdirected(exchange.request.host, shown)
            if is_misdirected is None:
                serve(exchange)
            elif is_misdirected:
                self.refuse(exchange, GatewayError(ErrorType.MISDIRECTED, "this connection is not for this host"))
            else:
                self.refuse(exchange, GatewayError(ErrorType.FORBIDDEN, "a client certificate is needed"))

        return serve_guarded

    def _watch(self, connection: Connected) -> None:
        self._connections.add(connection)
        self._deadlines.watch(connection)


def _listeners(config: FrontendHttpConfig, client_tls: ClientTls | None) -> list[Listener]:
    tls = config.tls
    if tls is None or client_tls is None:
        return [Listener(host=config.host, port=config.port)]
    secure = Listener(
        host=config.host,
        port=config.port if tls.port is None else tls.port,
        tls=client_tls.context,
        reuse_key=client_tls.fingerprint,
        handshake_timeout_s=tls.handshake_timeout,
    )
    return [secure] if tls.port is None else [Listener(host=config.host, port=config.port), secure]


if TYPE_CHECKING:
    from gateway.interfaces import Adapter

    _: type[Adapter] = HttpAdapter
