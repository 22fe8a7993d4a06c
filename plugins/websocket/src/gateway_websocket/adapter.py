"""The adapter ``websocket``: a port of its own, on which nothing but WebSockets is served."""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import replace
from typing import TYPE_CHECKING

from gateway import ErrorType, GatewayError
from gateway.interfaces import Listener

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence
    from pathlib import Path

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
        self._own = _OwnTls(config.tls, context) if config.tls is not None and config.tls.enabled else None

    def over(self, carrier: Adapter) -> Adapter:
        """Return the adapter whose connections ``carrier`` makes."""
        return _Port(carrier, self._listeners)

    def is_current(self) -> bool:
        """Tell whether the certificate files are still the ones that were loaded; asked at a reload."""
        return self._own is None or self._own.is_current()

    def _listeners(self, carrier: Adapter) -> Sequence[Listener]:
        if self._config.port is None:
            return []
        plain = Listener(host=self._config.host, port=self._config.port, serve=self._serve)
        if self._own is None:
            return [plain]
        if self._own.context is not None:
            return [replace(plain, tls=self._own.context, reuse_key=self._own.fingerprint)]
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
        if exchange.request.upgrade == "websocket":
            self._context.serve(exchange)
        else:
            # Whoever opens this port to others means to open nothing else.
            error = GatewayError(ErrorType.BAD_REQUEST, "only WebSockets are served here", headers=UPGRADE_FIELDS)
            self._context.refuse(exchange, error)


class _OwnTls:
    """A certificate of the port's own.

    Attributes:
        context: Shows it; ``None`` if there is none.
        fingerprint: What its files held.
    """

    def __init__(self, config: WebSocketTlsConfig, context: BuildContext) -> None:
        self._paths: tuple[Path, ...] = ()
        if config.cert_file is not None and config.key_file is not None:
            self._paths = (context.resolve(config.cert_file), context.resolve(config.key_file))
        self.fingerprint = self._digests()
        self.context: ssl.SSLContext | None = None
        if self._paths:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.minimum_version = _VERSIONS[config.min_version]
            certificate, key = self._paths
            self.context.load_cert_chain(certificate, key, password=lambda: "")
            self.context.set_alpn_protocols(["http/1.1"])

    def is_current(self) -> bool:
        """Tell whether the files are still those that were loaded."""
        return self._digests() == self.fingerprint

    def _digests(self) -> tuple[bytes | None, ...]:
        return tuple(map(_digest, self._paths))


def _digest(path: Path) -> bytes | None:
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return None


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
