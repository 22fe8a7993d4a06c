"""One sweep over everything that has a deadline.

A timer handle per wait costs more than the rest of a small request; setting an attribute costs nothing. So connections
carry ``deadline_s`` and this sweep, four times a second, finds those whose time is over.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from gateway.interfaces import Timed

__all__ = ["SWEEP_INTERVAL_S", "DeadlineSweep"]

logger = logging.getLogger("gateway.runtime")

SWEEP_INTERVAL_S = 0.25
"""How late a deadline may be met. 5,000 connections cost half a millisecond a sweep."""


class DeadlineSweep:
    """Implements ``gateway.interfaces.Deadlines``. Used from one event loop.

    Args:
        clock: Monotonic seconds; tests pass a manual one.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._watched: set[Timed] = set()
        self._handle: asyncio.TimerHandle | None = None

    def watch(self, timed: Timed) -> None:
        """Include ``timed`` in the sweep."""
        self._watched.add(timed)

    def forget(self, timed: Timed) -> None:
        """Leave it out again."""
        self._watched.discard(timed)

    def sweep(self) -> None:
        """Call ``deadline_passed`` on everything whose time is over."""
        now_s = self._clock()
        for timed in [timed for timed in self._watched if timed.deadline_s <= now_s]:
            try:
                timed.deadline_passed()
            except Exception:
                logger.exception("a deadline could not be enforced on %r", timed)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Sweep from now on."""

        def again() -> None:
            self._handle = loop.call_later(SWEEP_INTERVAL_S, again)
            self.sweep()

        self._handle = loop.call_later(SWEEP_INTERVAL_S, again)

    def stop(self) -> None:
        """Sweep no more."""
        if self._handle is not None:
            self._handle.cancel()


if TYPE_CHECKING:
    from gateway.interfaces import Deadlines

    _: type[Deadlines] = DeadlineSweep
