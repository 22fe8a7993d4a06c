"""How long to wait before a try."""

from __future__ import annotations

import random
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway_retry.config import RetrySettings

__all__ = ["backoff_s", "retry_after_s"]

MAX_DIGITS = 10


def backoff_s(tries: int, settings: RetrySettings, *, chance: Callable[[], float] = random.random) -> float:
    """Return the pause after ``tries`` tries: exponential, with full jitter unless configured otherwise.

    "Full jitter" is the best of what M. Brooker compares in "Exponential Backoff And Jitter" (AWS Architecture Blog,
    2015): ``random_between(0, min(cap, base * 2 ** attempt))``. Clients that failed together do not come back together.

    Args:
        tries: How many there were, at least 1.
        settings: Base, cap, multiplier and jitter.
        chance: Gives a number from 0 to 1.
    """
    longest_s = min(settings.max_delay, settings.initial_delay * settings.multiplier ** (tries - 1))
    return longest_s * (1.0 - settings.jitter * chance())


def retry_after_s(value: str | None, now_utc: float) -> float | None:
    """Return what a ``Retry-After`` field asks for, in seconds (RFC 9110 section 10.2.3).

    Args:
        value: Its value, seconds or a date; ``None`` if there is no such field.
        now_utc: Unix time.

    Returns:
        At least 0, or ``None`` if there is none that can be read.
    """
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value[:MAX_DIGITS]) if len(value) <= MAX_DIGITS else float("inf")
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now_utc)
    except (ValueError, OverflowError):
        return None
