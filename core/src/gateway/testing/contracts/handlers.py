"""The next handler, as a test wants it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.interfaces import Endpoint, Instance
from gateway.messages import Response
from gateway.waiter import Waiter

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.exchange import Exchange

__all__ = ["Scripted"]


class Scripted:
    """A handler that stands for a service: counts its calls, waits for a moment, answers.

    Args:
        answer: Makes the response, or raises; ``None`` answers ``ok``.
        instance: Which instance it is; ``None`` is one of its own.

    Attributes:
        calls: How often it was called.
        exchanges: With what.
    """

    def __init__(
        self, answer: Callable[[Exchange], Response] | None = None, *, instance: Instance | None = None
    ) -> None:
        self.calls = 0
        self._answer = answer
        self._instance = instance or Instance("service", Endpoint(address="10.9.9.9", port=80))

    async def __call__(self, exchange: Exchange) -> Response:
        """Answer, by the one thing that may be waited for without a task."""
        self.calls += 1
        exchange.instance = self._instance
        exchange.attempts += 1
        waiter: Waiter[None] = Waiter()
        asyncio.get_running_loop().call_soon(waiter.set_result, None)
        await waiter
        return Response.text("ok") if self._answer is None else self._answer(exchange)
