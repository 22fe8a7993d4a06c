"""The time of lines, as text whose greater part is made once a second."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CombinedTime", "IsoTime"]

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class IsoTime:
    """RFC 3339 in UTC, to the millisecond: ``2026-11-23T05:20:52.123Z``.

    Args:
        clock: Seconds since 1970; tests pass a manual one.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._second = -1
        self._beginning = ""

    def __call__(self) -> str:
        """Return the time now."""
        second, millisecond = divmod(int(self._clock() * 1000), 1000)
        if second != self._second:
            self._second = second
            self._beginning = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._beginning}.{millisecond:03d}Z"


class CombinedTime:
    """The time of the common log format, in UTC: ``23/Nov/2026:05:20:52 +0000``.

    Args:
        clock: Seconds since 1970; tests pass a manual one.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._second = -1
        self._text = ""

    def __call__(self) -> str:
        """Return the time now."""
        second = int(self._clock())
        if second != self._second:
            self._second = second
            now = time.gmtime(second)
            # Not %b, which speaks the language of the locale.
            self._text = time.strftime(f"%d/{_MONTHS[now.tm_mon - 1]}/%Y:%H:%M:%S +0000", now)
        return self._text
