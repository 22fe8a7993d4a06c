"""The adapter ``websocket``: a port of its own, on which nothing but WebSockets is served."""

from __future__ import annotations

import hashlib
import ssl
from typing import TYPE_CHECKING

from gateway import ErrorType, GatewayError
from gateway.interfaces import Listener

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from gateway import BuildContext, Exchange
    from gateway.interfaces import Adapter
    from gateway_websocket.config import WebSocketConfig, WebSocketTlsConfig

__all__ = ["WebSocketPort"]

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
UPGRADE_FIELDS = ((b"upgrade", b"websocket"), (b"sec-websocket-version", b"13"))


class WebSocketPort:
    """Makes the adapter of that for HTTP, which speaks the handshake.

    Args:
        config: The block ``frontend.websocket``.
        context: The gateway.
    """

    def __init__(self, config: WebSocketConfig, context: BuildContext) -> None:
        self._config = config
        self._context = context
        self._listeners = [] if config.port is None else [self._listener(config.port)]

    def over(self, carrier: Adapter) -> Adapter:
        """Return the adapter whose connections ``carrier`` makes."""
        return _Port(carrier, self._listeners)

    def is_current(self) -> bool:
        """Tell whether the certificate files are still the ones that were loaded; asked at a reload."""
        tls = self._tls
        return tls is None or all(listener.reuse_key == self._fingerprint(tls) for listener in self._listeners)

    @property
    def _tls(self) -> WebSocketTlsConfig | None:
        tls = self._config.tls
        return tls if tls is not None and tls.enabled else None

    def _listener(self, port: int) -> Listener:
        tls = self._tls
        if tls is None:
            return Listener(host=self._config.host, port=port, serve=self._serve)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = _VERSIONS[tls.min_version]
        context.load_cert_chain(self._context.resolve(tls.cert_file), self._context.resolve(tls.key_file))
        context.set_alpn_protocols(["http/1.1"])
        return Listener(
            host=self._config.host, port=port, tls=context, reuse_key=self._fingerprint(tls), serve=self._serve
        )

    def _fingerprint(self, tls: WebSocketTlsConfig) -> tuple[str, str]:
        paths = (self._context.resolve(tls.cert_file), self._context.resolve(tls.key_file))
        return hashlib.sha256(b"\0".join(path.read_bytes() for path in paths)).hexdigest(), tls.min_version

    def _serve(self, exchange: Exchange) -> None:
        if exchange.request.upgrade == "websocket":
            self._context.serve(exchange)
        else:
            # Whoever opens this port to others means to open nothing else.
            error = GatewayError(ErrorType.BAD_REQUEST, "only WebSockets are served here", headers=UPGRADE_FIELDS)
            self._context.refuse(exchange, error)


class _Port:
    """The addresses; the connections are those of the adapter for HTTP, which counts, times and drains them."""

    def __init__(self, carrier: Adapter, listeners: Sequence[Listener]) -> None:
        self._carrier = carrier
        self._listeners = listeners

    def listeners(self) -> Sequence[Listener]:
        """Return the addresses to serve."""
        return self._listeners

    def connection(self, listener: Listener) -> asyncio.BaseProtocol:
        """Return the protocol of a new connection."""
        return self._carrier.connection(listener)

    def drain(self) -> None:
        """Leave it to the adapter for HTTP."""

    def connections(self) -> int:
        """Return 0: the adapter for HTTP counts them."""
        return 0

    def close(self) -> None:
        """Leave it to the adapter for HTTP."""


if TYPE_CHECKING:
    from gateway.interfaces import CarriedAdapter

    _: type[CarriedAdapter] = WebSocketPort
    _adapter: type[Adapter] = _Port
