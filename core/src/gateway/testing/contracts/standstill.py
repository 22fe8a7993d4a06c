"""How long the event loop stands still, and because of whom."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Self

from gateway.testing.contracts.expectation import expect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import FrameType, TracebackType

__all__ = ["LoopWatch", "expect_a_running_loop", "fastest_s"]

MAX_STANDSTILL_S = 0.1
"""So long every other request of the worker would wait. Asyncio's own debug mode warns from there on."""
_BEAT_S = 0.01
_TRIES = 3
"""A crowded machine can hold up any thread; what blocks, blocks each time."""


class LoopWatch:
    """``with LoopWatch() as watch: ...``, on the event loop.

    Attributes:
        longest_s: How long the loop stood still at most.
    """

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._seen: Counter[str] = Counter()
        self._last_beat_s = 0.0
        self._handle: asyncio.TimerHandle | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="gateway testing watch", daemon=True)

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._thread_id = threading.get_ident()
        self._beat()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._note(time.monotonic())
        self._stopped.set()
        self._thread.join()

    @property
    def where(self) -> str:
        """Which line it was in most of that time."""
        return self._seen.most_common(1)[0][0] if self._seen else ""

    def _beat(self) -> None:
        now_s = time.monotonic()
        if self._last_beat_s:
            self._note(now_s)
        self._last_beat_s = now_s
        self._handle = self._loop.call_later(_BEAT_S, self._beat)

    def _note(self, now_s: float) -> None:
        self.longest_s = max(self.longest_s, now_s - self._last_beat_s - _BEAT_S)

    def _watch(self) -> None:
        while not self._stopped.wait(_BEAT_S):
            if time.monotonic() - self._last_beat_s > MAX_STANDSTILL_S:
                line = _line(sys._current_frames().get(self._thread_id))  # noqa: SLF001 - the documented way to see another thread
                self._seen[line] += bool(line)


async def expect_a_running_loop(work: Callable[[], Awaitable[object]], what: str) -> None:
    """Fail if the loop stands still each time that something is done.

    Args:
        work: Does it.
        what: What it is called, for the message.
    """
    watches = []
    for _ in range(_TRIES):
        with LoopWatch() as watch:
            await work()
        if watch.longest_s <= MAX_STANDSTILL_S:
            return
        watches.append(watch)
    # In the shortest standstill least of all was the machine's.
    watch = min(watches, key=lambda each: each.longest_s)
    blocked = f"{what} blocked the event loop for {watch.longest_s * 1000:.0f} ms at {watch.where}"
    expect(is_so=False, why=f"{blocked}; use anyio.to_thread, or what can be awaited")


def fastest_s(call: Callable[[], object], tries: int = 5) -> float:
    """Return how long a call takes when nothing else gets in the way."""
    durations = []
    for _ in range(tries):
        began_s = time.perf_counter()
        call()
        durations.append(time.perf_counter() - began_s)
    return min(durations)


def _line(frame: FrameType | None) -> str:
    """Return the innermost line that is not the standard library's."""
    while frame is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] not in sys.stdlib_module_names:
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back
    return ""
