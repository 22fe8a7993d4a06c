"""The time of lines, as text that is made once a millisecond or second."""

from __future__ import annotations

import math
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

    Attributes:
        text: The time when it was last renewed.
        stale_at_s: The monotonic time from which on the text is not right any more: for whoever has that at hand, a
            comparison takes the place of a call.
    """

    __slots__ = ("_beginning", "_clock", "_second", "stale_at_s", "text")

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.text = ""
        self.stale_at_s = -math.inf
        self._clock = clock
        self._second = -1
        self._beginning = ""

    def renew(self, monotonic_s: float) -> None:
        """Make the text anew.

        Args:
            monotonic_s: The time now by the monotonic clock, or a moment ago.
        """
        now_s = self._clock()
        millisecond = int(now_s * 1000)
        second, fraction = divmod(millisecond, 1000)
        if second != self._second:
            self._second = second
            self._beginning = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        self.text = f"{self._beginning}.{fraction:03d}Z"
        self.stale_at_s = monotonic_s + (millisecond + 1) / 1000 - now_s


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
