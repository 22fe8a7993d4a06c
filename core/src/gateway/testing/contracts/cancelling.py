"""Cancelling a coroutine at each of its awaits, one after the other."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from gateway.testing.contracts.expectation import PATIENCE_S, expect
from gateway.waiter import Waiter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Generator

T = TypeVar("T")

__all__ = ["MAX_POINTS", "Stepped", "cancel_everywhere", "expect_no_waiting"]

MAX_POINTS = 20
"""How many awaits are tried; what waits longer than that waits in a loop, and does so alike each time."""


class Stepped:
    """Awaits a coroutine and counts how often it waits.

    Args:
        coroutine: What to run.
        cancel_at: At which of its awaits the task is cancelled, from 1; ``None`` never does.

    Attributes:
        waited_for: What it waited for each time.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, Any], cancel_at: int | None = None) -> None:
        self.waited_for: list[object] = []
        self._coroutine = coroutine
        self._cancel_at = cancel_at

    @property
    def is_cancelled(self) -> bool:
        """Whether it got to the await where it was to be cancelled."""
        return self._cancel_at is not None and len(self.waited_for) >= self._cancel_at

    async def run(self) -> Any:  # noqa: ANN401 - whatever the coroutine returns
        """Return what the coroutine returns."""
        return await self

    def __await__(self) -> Generator[Any, Any, Any]:
        step: Callable[[], Any] = partial(self._coroutine.send, None)
        while True:
            try:
                waits_for = step()
            except StopIteration as stop:
                return stop.value
            self.waited_for.append(waits_for)
            task = asyncio.current_task()
            if task is not None and len(self.waited_for) == self._cancel_at:
                # When it waits, not before: so what it waits for is cancelled, too.
                asyncio.get_running_loop().call_soon(task.cancel)
            try:
                yield waits_for
            except BaseException as error:  # noqa: BLE001 - passed on as it is
                step = partial(self._coroutine.throw, error)
            else:
                step = partial(self._coroutine.send, None)


async def cancel_everywhere(
    begin: Callable[[], Coroutine[Any, Any, Any]], what: str, after: Callable[[], Awaitable[None]] | None = None
) -> int:
    """Run a coroutine again and again, each time cancelled at a later await; returns at how many.

    Args:
        begin: Makes the coroutine.
        what: What it is called, for messages.
        after: Looks after each cancellation whether everything is right.

    Raises:
        AssertionError: If it goes on although it was cancelled.
    """
    for point in range(1, MAX_POINTS + 1):
        stepped = Stepped(begin(), point)
        task = asyncio.get_running_loop().create_task(stepped.run(), name=f"{what}, to be cancelled")
        done, _ = await asyncio.wait([task], timeout=PATIENCE_S)
        if not done:
            task.cancel()
            expect(done, f"{what} did not end within {PATIENCE_S:g} s although it was cancelled at await {point}")
        if not task.cancelled():
            error = task.exception()
            if not stepped.is_cancelled:
                if error is not None:
                    raise error
                return point - 1
            outcome = f"raised {error!r}" if error is not None else f"returned {task.result()!r}"
            expect(task.cancelled(), f"{what} was cancelled at await {point} and {outcome}; let CancelledError pass")
        if after is not None:
            await after()
    return MAX_POINTS


async def expect_no_waiting(component: object, coroutine: Coroutine[Any, Any, T], what: str) -> T:
    """Return what a coroutine returns, and fail if it waits although its component says ``waits = False``.

    Only a ``gateway.Waiter`` may be waited for then: an exchange that runs without a task knows how to.
    """
    stepped = Stepped(coroutine)
    returned: T = await stepped
    if getattr(component, "waits", True) is False:
        others = [each for each in stepped.waited_for if type(each) is not Waiter]
        expect(not others, f"{what} says waits = False and waited for {others[:1]}; take the attribute away")
    return returned
