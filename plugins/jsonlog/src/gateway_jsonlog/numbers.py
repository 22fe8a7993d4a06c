"""Numbers as text. To look one up takes a sixth of what formatting it takes.

A duration in seconds is looked up in two parts: what stands before it with its milliseconds, and its microseconds.
"""

from __future__ import annotations

__all__ = ["MICROSECONDS", "NUMBERS", "less_than_a_second", "milliseconds"]

NUMBERS = tuple(map(str, range(4096)))
"""What most answers have bytes."""
MICROSECONDS = tuple(f"{number:03d}" for number in range(1000))
"""The last three digits of durations."""


def less_than_a_second(beginning: str) -> tuple[str, ...]:
    """Return the first parts of all durations of less than a second."""
    return tuple(milliseconds(beginning, number) for number in range(1000))


def milliseconds(beginning: str, duration_ms: int) -> str:
    """Return the first part of a duration of any length."""
    return f"{beginning}{duration_ms // 1000}.{duration_ms % 1000:03d}"
