"""Work in slices, between which the event loop serves requests."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    Steps = Generator[None, None, bool]
    """Work in slices; returns whether anything changed."""

__all__ = ["SlicedWork", "done_at_once", "in_steps"]

logger = logging.getLogger("gateway.services")

T = TypeVar("T")

STEP = 128
"""Endpoints between two looks at the clock."""
SLICE_S = 0.002
"""How long the event loop is held up at a time."""


class SlicedWork:
    """What is still to be done, one after the other, a slice in each turn of the event loop."""

    def __init__(self) -> None:
        # By whom it was said; workers' names for it are empty.
        self._queue: deque[tuple[str, Iterator[None]]] = deque()

    def do(self, source: str, steps: Iterator[None], *, is_large: bool) -> None:
        """Do something now, if it is small and nothing is to be done before it, else between requests.

        Args:
            source: Who asks for it: what was asked for before and has not begun is left out. Empty: nothing is.
            steps: What to do; each step is small.
            is_large: Whether it would hold the event loop up.
        """
        if self._queue or (is_large and _has_loop()):
            self._put(source, steps)
        else:
            for _ in steps:
                pass

    async def settled(self) -> None:
        """Wait until everything is done that has been asked for so far."""
        last = self._queue[-1] if self._queue else None
        while last in self._queue:  # noqa: ASYNC110 - each turn of the event loop does a slice of it
            await asyncio.sleep(0)

    def clear(self) -> None:
        """Forget what is still to be done."""
        self._queue.clear()

    def _put(self, source: str, steps: Iterator[None]) -> None:
        queue = self._queue
        if not queue:
            asyncio.get_running_loop().call_soon(self._do_slice)
        # The first one may have begun.
        outdated = [each for each in islice(queue, 1, None) if source and each[0] == source]
        for each in outdated:
            queue.remove(each)
        queue.append((source, steps))

    def _do_slice(self) -> None:
        queue = self._queue
        until_s = time.monotonic() + SLICE_S
        while queue:
            try:
                next(queue[0][1])
            except StopIteration:
                queue.popleft()
            except Exception:
                logger.exception("what %s published could not be taken over", queue[0][0] or "the control plane")
                queue.popleft()
            if time.monotonic() >= until_s:
                break
        if queue:
            asyncio.get_running_loop().call_soon(self._do_slice)


def done_at_once(steps: Steps) -> bool:
    """Do all of it now; returns whether anything changed."""
    try:
        while True:
            next(steps)
    except StopIteration as stop:
        return bool(stop.value)


def in_steps(items: Iterable[T]) -> Iterator[T | None]:
    """Yield ``items``, and ``None`` now and then, for a look at the clock."""
    for number, item in enumerate(items, 1):
        yield item
        if not number % STEP:
            yield None


def _has_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
