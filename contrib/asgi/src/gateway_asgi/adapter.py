"""The adapter ``asgi``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import ErrorType, GatewayError, Response
from gateway.forwarding import UNKNOWN, Hop, TrustedProxies
from gateway.semantics import count_forwards
from gateway_asgi.exchange import AsgiExchange
from gateway_asgi.fields import content_length_of, read_request

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from gateway import BuildContext, Request
    from gateway.interfaces import Listener
    from gateway_asgi.config import AsgiConfig
    from gateway_asgi.protocol import Receive, Scope, Send

__all__ = ["AsgiAdapter"]


class AsgiAdapter:
    """Takes requests from an ASGI server: it has no addresses of its own.

    Args:
        config: The block ``frontend.asgi``.
        context: The gateway.
    """

    def __init__(self, config: AsgiConfig, context: BuildContext) -> None:
        self._config = config
        self._context = context
        self._trusted = TrustedProxies(config.trusted_proxies)
        self._open: set[AsgiExchange] = set()
        self._is_draining = False

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; returns when the whole answer is sent."""
        first = await receive()
        if first["type"] == "http.disconnect":
            return
        request, fault = read_request(scope, self._hop(scope), self._config.max_uri_bytes)
        exchange = AsgiExchange(request, receive, send, self._config)
        fault = fault or self._overload() or exchange.begin(first, content_length_of(scope))
        self._open.add(exchange)
        try:
            await exchange.run(lambda: self._serve(exchange, fault))
        finally:
            self._open.discard(exchange)

    def _serve(self, exchange: AsgiExchange, fault: GatewayError | None) -> None:
        try:
            if fault is not None:
                raise fault
            is_for_us = _is_about_us(exchange.exchange.request)
        except GatewayError as error:
            self._context.refuse(exchange.exchange, error)
            return
        if is_for_us:
            # It asks about the gateway itself (RFC 9110 section 9.3.7).
            exchange.exchange.response = Response()
            exchange.respond(exchange.exchange, exchange.exchange.response)
            return
        self._context.serve(exchange.exchange)

    def _hop(self, scope: Scope) -> Hop:
        client = scope.get("client")
        return Hop(
            client[0] if client else UNKNOWN,
            "https" if scope.get("scheme") == "https" else "http",
            trusted=self._trusted,
            has_forwarded=self._config.forwarded,
            via=self._config.via,
        )

    def _overload(self) -> GatewayError | None:
        if self._is_draining:
            return GatewayError(ErrorType.UNAVAILABLE, "the gateway is shutting down")
        if len(self._open) >= self._config.max_requests:
            return GatewayError(ErrorType.UNAVAILABLE, "too many requests at once")
        return None

    # gateway.interfaces.Adapter

    def listeners(self) -> Sequence[Listener]:
        """Return none: the server listens."""
        return []

    def connection(self, listener: Listener) -> asyncio.BaseProtocol:
        """Never called: there is no listener."""
        msg = f"an ASGI server accepts the connections, not {listener}"
        raise RuntimeError(msg)

    def drain(self) -> None:
        """Answer no more than what is under way."""
        self._is_draining = True

    def connections(self) -> int:
        """Return how many requests are under way."""
        return len(self._open)

    def close(self) -> None:
        """Cut what is under way."""
        for exchange in list(self._open):
            exchange.cut()


def _is_about_us(request: Request) -> bool:
    return request.path == "*" or count_forwards(request)


if TYPE_CHECKING:
    from gateway.interfaces import Adapter

    _: type[Adapter] = AsgiAdapter
