"""The gateway behind an adapter, as a test wants it: answers exchanges, and keeps what it was given."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.body import Body
from gateway.errors import GatewayError
from gateway.interfaces import Route
from gateway.messages import Response
from gateway.testing.contracts.expectation import PATIENCE_S, expect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.exchange import Exchange, Handler

__all__ = ["Answering"]

MAX_BODY_BYTES = 64 * 1024 * 1024
_ROUTE = Route(id="route", path="/*")


class Answering:
    """Answers exchanges; what an adapter finds behind ``context.serve`` and ``context.refuse``.

    Attributes:
        answer: Makes the response. By itself it is the path, then the body of the request.
        begun: Every exchange that was served, in order.
        refused: Every exchange that was refused.
        finished_ones: Every exchange that is over, in order.
    """

    # What an exchange wants to know of its route.
    route = _ROUTE
    needs_task = True

    def __init__(self) -> None:
        self.answer: Callable[[Exchange], Awaitable[Response]] = echo
        self.begun: list[Exchange] = []
        self.refused: list[Exchange] = []
        self.finished_ones: list[Exchange] = []
        self.handler: Handler = self._handle

    def serve(self, exchange: Exchange) -> None:
        """Answer an exchange."""
        self.begun.append(exchange)
        exchange.start(self)

    def refuse(self, exchange: Exchange, error: GatewayError) -> None:
        """Answer an exchange with an error."""
        self.refused.append(exchange)
        exchange.start(_Refusing(self, error))

    def fail(self, exchange: Exchange, error: BaseException) -> Response:
        """Return what is answered in place of an error."""
        exchange.error = error
        status = error.type.status if isinstance(error, GatewayError) else 500
        return Response.text("it failed", status=status)

    def finished(self, exchange: Exchange) -> None:
        """Take note of an exchange that is over."""
        self.finished_ones.append(exchange)

    async def _handle(self, exchange: Exchange) -> Response:
        return await self.answer(exchange)

    async def until(self, is_so: Callable[[], object], otherwise: str) -> None:
        """Wait until something is so, or fail the test.

        Args:
            is_so: What must become true.
            otherwise: What is wrong if it does not.
        """
        deadline_s = asyncio.get_running_loop().time() + PATIENCE_S
        while not is_so():
            expect(asyncio.get_running_loop().time() < deadline_s, otherwise)
            await asyncio.sleep(0.002)


class _Refusing:
    """The route of an exchange that is refused."""

    route = _ROUTE
    needs_task = True

    def __init__(self, answering: Answering, error: GatewayError) -> None:
        self._error = error
        self.handler: Handler = self._refuse
        self.fail = answering.fail
        self.finished = answering.finished

    async def _refuse(self, exchange: Exchange) -> Response:
        raise self._error


async def echo(exchange: Exchange) -> Response:
    """Answer with the path, then the body of the request."""
    body = exchange.request.body
    content = await body.read(MAX_BODY_BYTES) if isinstance(body, Body) else body
    return Response(200, body=exchange.request.path.encode() + content)
