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


class LoopWatchdog:
    """A thread that looks at the event loop's thread when its heart stops.

    Args:
        loop: The loop to watch; ``start`` is called from its thread.
        blame: Names the plugin a frame belongs to, or ``None``.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, blame: Callable[[FrameType | None], str | None]) -> None:
        self._loop = loop
        self._blame = blame
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
        reported_beat_s = 0.0
        while not self._stopped.wait(BEAT_INTERVAL_S):
            beat_s = self._last_beat_s
            if time.monotonic() - beat_s < BLOCKED_AFTER_S + BEAT_INTERVAL_S or beat_s == reported_beat_s:
                continue
            reported_beat_s = beat_s
            frame = sys._current_frames().get(self._thread_id)  # noqa: SLF001 - the documented way to see another thread
            culprit = _describe(frame, self._blame(frame))
            # It still stands there; wait for it, so that the line says how long it took.
            while self._last_beat_s == beat_s and not self._stopped.wait(BEAT_INTERVAL_S / 4):
                pass
            blocked_ms = (time.monotonic() - beat_s) * 1000
            logger.warning("%s blocked the event loop for %.0f ms", culprit, blocked_ms)


def _describe(frame: FrameType | None, plugin: str | None) -> str:
    if frame is None:
        return "something"
    who = f"plugin {plugin!r}" if plugin else "the gateway"
    return f"{who} ({frame.f_code.co_qualname} at {frame.f_code.co_filename}:{frame.f_lineno})"
