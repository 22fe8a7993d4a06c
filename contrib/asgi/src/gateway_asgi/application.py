"""The application."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from gateway.embedding import Gateway
    from gateway_asgi.adapter import AsgiAdapter
    from gateway_asgi.protocol import Application, Receive, Scope, Send

__all__ = ["asgi_app"]

logger = logging.getLogger("gateway.plugins.gateway-asgi")

NOT_IMPLEMENTED = 501
_NO_WEBSOCKETS = b"WebSockets are served on the gateway's own port only\n"


def asgi_app(gateway: Gateway) -> Application:
    """Return the gateway as an ASGI 3 application.

    It starts and stops with the server's lifespan, so it needs a server that has one; inside another application, that
    one has to pass the lifespan on, or to enter the gateway itself.

    Args:
        gateway: The gateway, whose configuration has a block ``frontend.asgi``. Entered by the application, unless it
            was before.
    """
    return _Application(gateway)


class _Application:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._adapter().handle(scope, receive, send)
        elif scope["type"] == "websocket":
            await _refuse_websocket(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            raise NotImplementedError(f"the gateway does not serve ASGI's {scope['type']!r}")

    def _adapter(self) -> AsgiAdapter:
        if not self._gateway.is_entered:
            msg = "the gateway was not started: the server passes no lifespan on to it (uvicorn: --lifespan on)"
            raise RuntimeError(msg)
        # A reload may have made another one.
        return cast("AsgiAdapter", self._gateway.adapter("asgi"))

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        is_ours = not self._gateway.is_entered
        try:
            if is_ours:
                await self._gateway.__aenter__()
            problem = self._problem()
        except Exception as error:  # whatever keeps it from starting is for the server to say
            logger.exception("the gateway could not be started")
            problem, is_ours = str(error), False
        if problem:
            await self._end(is_ours=is_ours)
            await send({"type": "lifespan.startup.failed", "message": problem})
            return
        try:
            await send({"type": "lifespan.startup.complete"})
            await receive()
        finally:
            await self._end(is_ours=is_ours)
        await send({"type": "lifespan.shutdown.complete"})

    def _problem(self) -> str:
        try:
            self._adapter()
        except LookupError:
            return "gateway.frontend.asgi is not on; add 'asgi: {}' below 'frontend'"
        return ""

    async def _end(self, *, is_ours: bool) -> None:
        if is_ours:
            await self._gateway.__aexit__(None, None, None)


async def _refuse_websocket(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse a WebSocket: the gateway passes on its bytes, and ASGI shows only its messages."""
    await receive()
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1000})  # before it is accepted: the server answers 403
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(_NO_WEBSOCKETS))]
    await send({"type": "websocket.http.response.start", "status": NOT_IMPLEMENTED, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": _NO_WEBSOCKETS})
