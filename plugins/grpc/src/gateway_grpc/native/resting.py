"""Streams that rest: neither side has to send something all the time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import Body

if TYPE_CHECKING:
    from gateway import Exchange, Handler, Response

__all__ = ["RestingStreams", "resting"]


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
        return await resting(exchange, self._next, self._idle_s)


async def resting(exchange: Exchange, call_next: Handler, idle_s: float | None) -> Response:
    """Answer a call of a client of gRPC, in which both sides may be silent for ``idle_s`` seconds.

    What bounds the client's other requests, and the pieces of other answers, would cut streams.
    """
    body = exchange.request.body
    if isinstance(body, Body):
        body.set_idle_timeout(idle_s)
    response = await call_next(exchange)
    if isinstance(response.body, Body):
        response.body.set_idle_timeout(idle_s)
    return response
