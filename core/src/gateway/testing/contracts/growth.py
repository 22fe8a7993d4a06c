"""Whether what a component keeps grows with those it has met."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import math
import sys
from typing import TYPE_CHECKING

from gateway.testing.contracts.expectation import expect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

__all__ = ["expect_bounded"]

MAX_BLOCKS_PER_USE = 0.25
"""A key that is kept is a block of memory at least; what has nothing to do with the uses stays far below."""
_ROUNDS = 6
"""Caches that are emptied when they are full, and whatever else runs here, grow in some of them, and not in all."""
_SETTLE_S = 0.02


async def expect_bounded(use: Callable[[int], Awaitable[object]], remembered: int, what: str) -> None:
    """Fail if memory goes on growing with every use.

    Args:
        use: Uses the component, with another key for each number.
        remembered: How many it may remember; so many come first, and half as many again must add nothing.
        what: What it is called, for the message.
    """
    with _without_complaints():
        await _many(use, 0, remembered)
        used, count, grown = remembered, remembered // 2, 0.0
        for _ in range(_ROUNDS):
            # Blocks of the interpreter's allocator rather than bytes: counting them costs nothing.
            before = sys.getallocatedblocks()
            await _many(use, used, count)
            grown = (sys.getallocatedblocks() - before) / count
            used += count
            if grown < MAX_BLOCKS_PER_USE:
                return
    expect(
        grown < MAX_BLOCKS_PER_USE,
        f"{what}: after {used} others, each one more keeps {grown:.1f} blocks of memory; bound what is "
        "kept, or raise 'remembered' if the bound is larger",
    )


@contextlib.contextmanager
def _without_complaints() -> Iterator[None]:
    """Keep a loop in debug mode from logging that collecting garbage took long: tests that capture logs keep that."""
    loop = asyncio.get_running_loop()
    patience_s, loop.slow_callback_duration = loop.slow_callback_duration, math.inf
    try:
        yield
    finally:
        loop.slow_callback_duration = patience_s


async def _many(use: Callable[[int], Awaitable[object]], first: int, count: int) -> None:
    for number in range(first, first + count):
        await use(number)
    # For what is written in the background.
    await asyncio.sleep(_SETTLE_S)
    gc.collect()
