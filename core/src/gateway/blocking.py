"""Calls that block, each in a thread of its own, so that the event loop never does.

For plugins of the control plane whose libraries know no other way, as those of Docker and Kubernetes.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any, TypeVar

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

    In daemon threads rather than those of the event loop's executor, for which the loop waits when it ends: one call
    that hangs would keep the gateway from stopping.

    Args:
        name: What the threads are called.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._given_up: list[threading.Thread] = []

    async def run(self, call: Callable[[], T], timeout_s: float, give_up: Callable[[], None] = lambda: None) -> T:
        """Return what ``call`` returns, and raise what it raises.

        Args:
            call: What to do.
            timeout_s: How long it may take in all.
            give_up: Called when nobody waits for it any more; should make it end soon.

        Raises:
            TimeoutError: If it takes too long.
            StuckCallsError: If too many earlier calls still hang.
        """
        self._given_up = [thread for thread in self._given_up if thread.is_alive()]
        if len(self._given_up) >= MAX_STUCK:
            msg = f"{len(self._given_up)} earlier calls still hang"
            raise StuckCallsError(msg)
        loop = asyncio.get_running_loop()
        result: asyncio.Future[T] = loop.create_future()

        def work() -> None:
            try:
                value = call()
            except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to the caller
                _tell(loop, result, result.set_exception, error)
            else:
                _tell(loop, result, result.set_result, value)

        thread = threading.Thread(target=work, name=self._name, daemon=True)
        thread.start()
        try:
            async with asyncio.timeout(timeout_s):
                return await result
        except (TimeoutError, asyncio.CancelledError):
            if thread.is_alive():
                give_up()
                self._given_up.append(thread)
            raise


def _tell(
    loop: asyncio.AbstractEventLoop, result: asyncio.Future[T], settle: Callable[[Any], None], outcome: object
) -> None:
    def settle_once() -> None:
        if not result.done():
            settle(outcome)

    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(settle_once)
