"""Numbers as text, with what stands before them. To look one up takes a sixth of what formatting it takes."""

from __future__ import annotations

__all__ = ["TABLE_LENGTH", "durations", "seconds", "whole"]

TABLE_LENGTH = 4096
"""Numbers that tables have: the bytes of most answers, and durations of up to 41 ms."""


def whole(beginning: str) -> tuple[str, ...]:
    """Return a table of whole numbers from 0."""
    return tuple(f"{beginning}{number}" for number in range(TABLE_LENGTH))


def durations(beginning: str) -> tuple[str, ...]:
    """Return a table of durations, each ten microseconds longer than the one before."""
    return tuple(seconds(beginning, number / 100_000) for number in range(TABLE_LENGTH))


def seconds(beginning: str, duration_s: float) -> str:
    """Return a duration of any length, to ten microseconds."""
    return f"{beginning}{duration_s:.5f}"
