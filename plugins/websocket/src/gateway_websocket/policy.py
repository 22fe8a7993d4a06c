"""The policy ``websocket``: what a handshake must be like, how many may be open, and what frames are held to."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gateway import ErrorType, GatewayError
from gateway_websocket.handshake import accepted_rsv, check_key, keep_subprotocols, needs_upgrade
from gateway_websocket.limits import STATE_KEY, ServiceLimits, client_limits
from gateway_websocket.origins import OriginCheck
from gateway_websocket.sockets import kept_sockets
from gateway_websocket.tunnel import WebSocketTunnel

if TYPE_CHECKING:
    from gateway import BuildContext, Exchange, Handler, Response, Route
    from gateway_websocket.config import WebSocketConfig
    from gateway_websocket.sockets import RouteSockets

__all__ = ["WebSocketPolicy"]

WEBSOCKET = "websocket"


class WebSocketPolicy:
    """Wraps the tunnel of every WebSocket of a route.

    Args:
        config: The block ``frontend.websocket``, a rule's ``websocket`` over it.
        context: The gateway.
    """

    waits = False

    def __init__(self, config: WebSocketConfig, context: BuildContext) -> None:
        self._config = config
        self._sockets = kept_sockets(context)
        self._origins = OriginCheck(config.allowed_origins) if config.check_origin else None
        service = ServiceLimits()
        # All sockets share these two, unless their service has limits of its own.
        self._plain = client_limits(config, service, has_extensions=False)
        self._extended = client_limits(config, service, has_extensions=True)

    def drain(self) -> None:
        """Tell all clients that the gateway stops."""
        self._sockets.close_all(self._config.drain_code)

    def wrap(self, call_next: Handler, route: Route) -> Handler:
        """Stand before routes for WebSockets, and before others that allow them if the configuration says anything.

        By itself, ``allowUpgrade`` means a raw tunnel, whether or not this plugin is installed.
        """
        is_wanted = route.protocol == WEBSOCKET or bool(self._config.model_fields_set)
        if WEBSOCKET not in route.allow_upgrade or not is_wanted:
            return call_next
        sockets = self._sockets.of_route(route.id, route.service)
        is_for_all = route.protocol != WEBSOCKET
        config = self._config

        async def handler(exchange: Exchange) -> Response:
            request = exchange.request
            if request.upgrade != WEBSOCKET and is_for_all:
                return await call_next(exchange)
            refusal = needs_upgrade(request)
            if refusal is not None:
                return refusal
            key = check_key(request)
            if self._origins is not None and not self._origins.allows(request.headers.get_all("origin"), request.host):
                sockets.reject()
                raise GatewayError(ErrorType.FORBIDDEN, "the origin is not allowed")
            client = request.client
            sockets.reserve(client, max_count=config.max_connections, max_per_client=config.max_connections_per_client)
            try:
                response = await self._open(call_next, exchange, key, sockets)
            except BaseException:
                sockets.release(client)
                raise
            if response.tunnel is None:
                sockets.release(client)
            return response

        return handler

    async def _open(self, call_next: Handler, exchange: Exchange, key: str, sockets: RouteSockets) -> Response:
        request = exchange.request
        if not self._config.enable_compression:
            request.headers.remove("sec-websocket-extensions")
        if self._config.subprotocols:
            keep_subprotocols(request.headers, self._config.subprotocols)
        offered = request.headers
        response = await call_next(exchange)
        if response.tunnel is None:
            return response
        try:
            allowed_rsv = accepted_rsv(key, offered, response.headers)
        except GatewayError:
            response.discard()
            raise
        own = exchange.state.get(STATE_KEY)
        limits = self._extended if allowed_rsv else self._plain
        if isinstance(own, ServiceLimits):
            limits = client_limits(self._config, own, has_extensions=bool(allowed_rsv))
        expires_s = exchange.principal.deadline_s() if exchange.principal is not None else math.inf
        socket = response.tunnel = WebSocketTunnel(
            response.tunnel, limits, sockets, expires_s=expires_s, allowed_rsv=allowed_rsv
        )
        sockets.opened(socket, request.client)
        return response


if TYPE_CHECKING:
    from gateway.interfaces import Policy

    _: type[Policy] = WebSocketPolicy
