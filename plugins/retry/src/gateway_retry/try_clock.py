"""How long one try may take.

A try is cut by cancelling what it waits for, so no task is needed to cancel. Requests of a route may all take equally
long, so their deadlines pass in the order in which they began: a dictionary, which keeps that order, and one timer for
the first of them replace a timer for each, which costs three times as much.
"""

from __future__ import annotations

import asyncio
import types
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from gateway import Body, ErrorType, GatewayError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator

    from gateway import Exchange, Handler, Response

__all__ = ["TryClock"]

_GONE = object()


class _Try:
    """A try that is under way.

    Attributes:
        waits_for: What it waits for at the moment.
        is_over: Whether its deadline has passed.
    """

    __slots__ = ("_exchange", "deadline_s", "is_over", "waits_for")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.waits_for: Any = None  # a Waiter, or a future of asyncio's
        self.deadline_s = 0.0
        self.is_over = False

    def cut(self) -> bool:
        """Cut it; returns whether that was possible."""
        body = self._exchange.request.body
        if isinstance(body, Body) and not body.is_over:
            return False  # it is the client whom everybody waits for
        cancel = getattr(self.waits_for, "cancel", None)
        self.is_over = cancel is not None
        return cancel is not None and bool(cancel())


class TryClock:
    """Runs tries within a time. Used from one event loop.

    Args:
        timeout_s: How long each may take.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._running: dict[_Try, object] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def run(self, handler: Handler, exchange: Exchange) -> Response:
        """Run ``handler``; the time that the client takes to send the request does not count.

        Raises:
            GatewayError: ``upstream_timeout`` if it takes longer.
        """
        one = _Try(exchange)
        self._watch(one, asyncio.get_running_loop())
        try:
            return await _seen(handler(exchange), one)
        except asyncio.CancelledError:
            if not one.is_over or exchange.is_cancelled:
                raise
            raise GatewayError(
                ErrorType.UPSTREAM_TIMEOUT,
                "the service did not answer in time",
                detail=f"{exchange.instance!r} did not answer within {self._timeout_s:.3f} s (retry)",
                plugin="retry",
            ) from None
        finally:
            self._running.pop(one, None)

    def close(self) -> None:
        """Look no more; for one that is used once."""
        if self._timer is not None:
            self._timer.cancel()

    def _watch(self, one: _Try, loop: asyncio.AbstractEventLoop) -> None:
        one.deadline_s = loop.time() + self._timeout_s
        self._running[one] = None
        if self._timer is None:
            self._timer = loop.call_at(one.deadline_s, self._look)

    def _look(self) -> None:
        """Cut what is over, and come back when the next one is."""
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        self._timer = None
        for one in list(takewhile(lambda one: one.deadline_s <= now_s, self._running)):
            if self._running.pop(one, _GONE) is not _GONE and not one.cut():
                self._watch(one, loop)
        if self._running and self._timer is None:
            self._timer = loop.call_at(next(iter(self._running)).deadline_s, self._look)


@types.coroutine
def _seen(coroutine: Coroutine[Any, Any, Response], one: _Try) -> Generator[Any, Any, Response]:
    """Run a coroutine, and remember what it waits for; everything goes straight through."""
    try:
        waits_for = coroutine.send(None)
        while True:
            one.waits_for = waits_for
            try:
                yield waits_for
            except BaseException as error:  # noqa: BLE001 - passed on as it is
                waits_for = coroutine.throw(error)
            else:
                waits_for = coroutine.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]  # what the coroutine returned
    finally:
        one.waits_for = None
