"""What stops the event loop while a plugin is driven, and for how long: seen from another thread."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Collection
    from pathlib import Path

__all__ = ["LIMIT_S", "Stall", "StallWatch"]

LIMIT_S = 0.1
"""A loop that stands still for longer is told of. Every client of the worker waits meanwhile."""
TICK_S = 0.01
LEAST_SEEN = 3
"""How often the same line has to be seen. A machine that is busy stops the watching thread as well as the loop's."""


@dataclass(frozen=True, slots=True)
class Stall:
    """The loop stood still.

    Attributes:
        file: Where the plugin's code was meanwhile.
        line: The line.
        duration_s: For how long.
    """

    file: Path
    line: int
    duration_s: float


class StallWatch:
    """Asks an event loop again and again whether it still answers.

    Args:
        loop: The loop; the watch is entered in its thread.
        files: The plugin's files: of the frames there, the innermost in one of them is to blame.

    Attributes:
        stalls: The longest for each line.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, files: Collection[Path]) -> None:
        self.stalls: dict[tuple[Path, int], Stall] = {}
        self._loop = loop
        self._files = {str(file): file for file in files}
        self._stopped = threading.Event()
        self._thread_id = 0
        self._thread = threading.Thread(target=self._watch, name="check-plugin watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread_id = threading.get_ident()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(TICK_S):
            answered, asked_s = threading.Event(), time.monotonic()
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(answered.set)
            seen: Counter[tuple[Path, int]] = Counter()
            while not answered.wait(TICK_S) and not self._stopped.is_set():
                place = self._place()
                if place is not None:
                    seen[place] += 1
            self._note(seen, time.monotonic() - asked_s)

    def _note(self, seen: Counter[tuple[Path, int]], duration_s: float) -> None:
        if duration_s < LIMIT_S or not seen:
            return
        (place, times), *_ = seen.most_common(1)
        before = self.stalls.get(place)
        if times >= LEAST_SEEN and (before is None or before.duration_s < duration_s):
            self.stalls[place] = Stall(*place, duration_s)

    def _place(self) -> tuple[Path, int] | None:
        frame = sys._current_frames().get(self._thread_id)  # noqa: SLF001 - the documented way to see another thread
        while frame is not None:
            file = self._files.get(frame.f_code.co_filename)
            if file is not None:
                return file, frame.f_lineno
            frame = frame.f_back
        return None
