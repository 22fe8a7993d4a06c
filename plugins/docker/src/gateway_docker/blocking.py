"""Calls that block, each in a thread of its own, so that the event loop never does."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BlockingCalls", "StuckCallsError"]

T = TypeVar("T")

MAX_STUCK = 4
"""How many calls that were given up may still hang in their threads before no more are begun."""


class StuckCallsError(Exception):
    """Too many calls that were given up still hang."""


class BlockingCalls:
    """Runs calls that block, with a deadline over the whole of each.

    In daemon threads rather than ``asyncio.to_thread``: the loop waits for those of its executor when it ends, so that
    one call that hangs would keep the gateway from stopping.

    Args:
        name: What the threads are called.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._stuck: list[threading.Thread] = []

    async def run(self, call: Callable[[], T], timeout_s: float, give_up: Callable[[], None]) -> T:
        """Return what ``call`` returns.

        Args:
            call: What to do.
            timeout_s: How long it may take in all.
            give_up: Called when it takes longer, or nobody waits any more; should make it end soon.

        Raises:
            TimeoutError: If it takes too long.
            StuckCallsError: If too many earlier calls still hang.
        """
        self._stuck = [thread for thread in self._stuck if thread.is_alive()]
        if len(self._stuck) >= MAX_STUCK:
            msg = f"{len(self._stuck)} earlier calls still hang"
            raise StuckCallsError(msg)
        loop = asyncio.get_running_loop()
        result: asyncio.Future[T] = loop.create_future()
        thread = threading.Thread(target=_work, args=(call, loop, result), name=self._name, daemon=True)
        thread.start()
        try:
            async with asyncio.timeout(timeout_s):
                return await result
        except (TimeoutError, asyncio.CancelledError):
            if thread.is_alive():
                give_up()
                self._stuck.append(thread)
            raise


def _work(call: Callable[[], T], loop: asyncio.AbstractEventLoop, result: asyncio.Future[T]) -> None:
    try:
        value = call()
    except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to the caller
        _tell(loop, _fail, result, error)
    else:
        _tell(loop, _succeed, result, value)


def _tell(loop: asyncio.AbstractEventLoop, what: Callable[..., None], *args: object) -> None:
    try:
        loop.call_soon_threadsafe(what, *args)
    except RuntimeError:  # the loop is closed: nobody waits any more
        return


def _succeed(result: asyncio.Future[T], value: T) -> None:
    if not result.done():
        result.set_result(value)


def _fail(result: asyncio.Future[T], error: Exception) -> None:
    if not result.done():
        result.set_exception(error)
