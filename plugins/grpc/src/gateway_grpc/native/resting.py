"""Streams that rest: neither side has to send something all the time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import Body

if TYPE_CHECKING:
    from gateway import Exchange, Handler, Request, Response

__all__ = ["RestingStreams", "let_rest"]


class RestingStreams:
    """Stands before a route that takes gRPC alone.

    Args:
        call_next: Reaches an instance.
        idle_s: How long a stream may be silent; ``None`` is as long as it likes.
    """

    def __init__(self, call_next: Handler, idle_s: float | None) -> None:
        self._next = call_next
        self._idle_s = idle_s

    async def handle(self, exchange: Exchange) -> Response:
        """Answer an exchange."""
        let_rest(exchange.request, self._idle_s)
        response = await self._next(exchange)
        let_rest(response, self._idle_s)
        return response


def let_rest(message: Request | Response, idle_s: float | None) -> None:
    """Allow whoever sends one side of a call so much silence; ``None`` is as much as it likes.

    What bounds the client's other requests, and the pieces of other answers, would cut streams.
    """
    body = message.body
    if type(body) is not bytes and isinstance(body, Body) and not body.is_over:
        body.set_idle_timeout(idle_s)
