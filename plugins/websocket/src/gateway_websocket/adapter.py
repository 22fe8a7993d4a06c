"""The adapter ``websocket``: a port of its own, on which nothing but WebSockets is served."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gateway import ErrorType, GatewayError
from gateway.interfaces import Listener
from gateway.tls import obtain_client_tls

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from gateway import BuildContext, Exchange
    from gateway.interfaces import Adapter
    from gateway_websocket.config import WebSocketConfig

__all__ = ["WebSocketPort"]

UPGRADE_FIELDS = ((b"upgrade", b"websocket"), (b"sec-websocket-version", b"13"))


class WebSocketPort:
    """Makes the adapter of that for HTTP, which speaks the handshake.

    Args:
        config: The block ``frontend.websocket``.
        context: The gateway.

    Raises:
        ValueError: If a file of its TLS cannot be used; names it.
    """

    def __init__(self, config: WebSocketConfig, context: BuildContext) -> None:
        self._config = config
        self._context = context
        self._tls = config.tls if config.tls is not None and config.tls.enabled else None
        has_own = self._tls is not None and self._tls.has_certificates
        self._own = obtain_client_tls(self._tls, context) if self._tls is not None and has_own else None

    def over(self, carrier: Adapter) -> Adapter:
        """Return the adapter whose connections ``carrier`` makes."""
        return _Port(carrier, self._listeners)

    def is_current(self) -> bool:
        """Tell whether the certificate files are still the ones that were loaded; asked at a reload."""
        return self._own is None or self._own.is_current(self._context)

    def _listeners(self, carrier: Adapter) -> Sequence[Listener]:
        if self._config.port is None:
            return []
        plain = Listener(host=self._config.host, port=self._config.port, serve=self._serve)
        if self._tls is None:
            return [plain]
        if self._own is not None:
            return [
                replace(
                    plain,
                    tls=self._own.context,
                    reuse_key=self._own.fingerprint,
                    handshake_timeout_s=self._tls.handshake_timeout,
                )
            ]
        shared = next((listener for listener in carrier.listeners() if listener.tls is not None), None)
        if shared is None:
            msg = "frontend.websocket.tls has no certFile, and frontend.http has no TLS to share; give it a certificate"
            raise ValueError(msg)
        return [
            replace(
                plain,
                tls=shared.tls,
                reuse_key=shared.reuse_key,
                handshake_timeout_s=shared.handshake_timeout_s,
            )
        ]

    def _serve(self, exchange: Exchange) -> None:
        if exchange.request.upgrade != "websocket":
            # Whoever opens this port to others means to open nothing else.
            error = GatewayError(ErrorType.BAD_REQUEST, "only WebSockets are served here", headers=UPGRADE_FIELDS)
            self._context.refuse(exchange, error)
        elif self._lacks_certificate(exchange):
            self._context.refuse(exchange, GatewayError(ErrorType.FORBIDDEN, "a client certificate is needed"))
        else:
            self._context.serve(exchange)

    def _lacks_certificate(self, exchange: Exchange) -> bool:
        """Tell whether a host is asked whose clients must show a certificate, without one."""
        own, request = self._own, exchange.request
        if own is None or not own.has_guarded_names or request.peer_certificate is not None:
            return False
        # Whatever name the connection was opened for: only with a certificate it could be another.
        return own.is_misdirected(request.host, None) is not None


class _Port:
    """The addresses; the connections are those of the adapter for HTTP, which counts, times and drains them."""

    def __init__(self, carrier: Adapter, listeners: Callable[[Adapter], Sequence[Listener]]) -> None:
        self._carrier = carrier
        self._listeners = listeners

    def listeners(self) -> Sequence[Listener]:
        """Return the addresses to serve."""
        return self._listeners(self._carrier)

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
