"""Notices when something blocks the event loop, and names the plugin that does."""

from __future__ import annotations

import logging
import sys
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from types import FrameType

__all__ = ["LoopWatchdog"]

logger = logging.getLogger("gateway.watchdog")

BEAT_INTERVAL_S = 0.1
BLOCKED_AFTER_S = 0.25
"""How long the loop may stand still unnoticed; every connection of the worker waits meanwhile."""
PATIENCE_S = 2.0
"""How long the end is waited for, so that one line says how long it took; then it is said that there is no end."""


class LoopWatchdog:
    """A thread that looks at the event loop's thread when its heart stops.

    Args:
        loop: The loop to watch; ``start`` is called from its thread.
        owner: Names the plugin that a module belongs to, by its dotted name; ``None`` if it belongs to none. Called
            from the watchdog's thread.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, owner: Callable[[str], str | None]) -> None:
        self._loop = loop
        self._owner = owner
        self._last_beat_s = time.monotonic()
        self._thread_id = 0
        self._handle: asyncio.TimerHandle | None = None
        self._stopped = threading.Event()

    def start(self) -> None:
        """Watch from now on."""
        self._thread_id = threading.get_ident()
        self._beat()
        threading.Thread(target=self._watch, name="gateway watchdog", daemon=True).start()

    def stop(self) -> None:
        """Watch no more."""
        self._stopped.set()
        if self._handle is not None:
            self._handle.cancel()

    def _beat(self) -> None:
        self._last_beat_s = time.monotonic()
        self._handle = self._loop.call_later(BEAT_INTERVAL_S, self._beat)

    def _watch(self) -> None:
        while not self._stopped.wait(BEAT_INTERVAL_S):
            beat_s = self._last_beat_s
            if time.monotonic() - beat_s >= BLOCKED_AFTER_S + BEAT_INTERVAL_S:
                culprit = self._culprit()
                if not self._wait_for_the_end(beat_s, PATIENCE_S):
                    blocked_ms = (time.monotonic() - beat_s) * 1000
                    logger.warning("%s has blocked the event loop for %.0f ms, and does still", culprit, blocked_ms)
                    self._wait_for_the_end(beat_s)
                blocked_ms = (time.monotonic() - beat_s) * 1000
                if not self._stopped.is_set():
                    logger.warning("%s blocked the event loop for %.0f ms", culprit, blocked_ms)

    def _wait_for_the_end(self, beat_s: float, patience_s: float = float("inf")) -> bool:
        """Wait until the loop goes on; returns whether it does."""
        deadline_s = time.monotonic() + patience_s
        while self._last_beat_s == beat_s and not self._stopped.wait(BEAT_INTERVAL_S / 4):
            if time.monotonic() > deadline_s:
                return False
        return True

    def _culprit(self) -> str:
        """Say who stands there: the innermost frame that belongs to a plugin, else the innermost of all."""
        innermost = frame = sys._current_frames().get(self._thread_id)  # noqa: SLF001 - the documented way to see another thread
        while frame is not None:
            plugin = self._owner(frame.f_globals.get("__name__", ""))
            if plugin is not None:
                return f"plugin {plugin!r} ({_describe(frame)})"
            frame = frame.f_back
        return f"the gateway ({_describe(innermost)})" if innermost is not None else "something"


def _describe(frame: FrameType) -> str:
    return f"{frame.f_code.co_qualname} at {frame.f_code.co_filename}:{frame.f_lineno}"
