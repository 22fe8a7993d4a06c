"""Tells of exports that fail, without filling the log."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

__all__ = ["Reporter"]

AGAIN_AFTER_S = 300.0
"""A collector that is down is news for five minutes."""


class Reporter:
    """Logs that exports fail: when it begins, every five minutes, and when it is over.

    Args:
        what: What is exported.
        logger: Where to.
        clock: Monotonic seconds; tests pass a manual one.

    Attributes:
        last_error: Why the last export failed; empty if it did not.
    """

    def __init__(self, what: str, logger: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self.last_error = ""
        self._what = what
        self._logger = logger
        self._clock = clock
        self._quiet_until_s = 0.0

    def failed(self, error: Exception) -> None:
        """Note that an export failed."""
        now_s = self._clock()
        if not self.last_error or now_s >= self._quiet_until_s:
            self._quiet_until_s = now_s + AGAIN_AFTER_S
            self._logger.warning("%s cannot be exported: %s", self._what, error)
        self.last_error = str(error) or type(error).__name__

    def succeeded(self) -> None:
        """Note that an export was taken."""
        if self.last_error:
            self._logger.warning("%s are exported again", self._what)
        self.last_error = ""
