"""The time of lines, as text that is made once a millisecond or second."""

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
        self._millisecond = -1
        self._second = -1
        self._beginning = ""
        self._text = ""

    def __call__(self) -> str:
        """Return the time now."""
        millisecond = int(self._clock() * 1000)
        if millisecond != self._millisecond:
            self._millisecond = millisecond
            second, fraction = divmod(millisecond, 1000)
            if second != self._second:
                self._second = second
                self._beginning = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._text = f"{self._beginning}.{fraction:03d}Z"
        return self._text


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
