"""Numbers as text. To look one up takes a sixth of what formatting it takes."""

from __future__ import annotations

__all__ = ["MICROSECONDS", "MILLISECONDS", "NUMBERS", "seconds"]

NUMBERS = tuple(map(str, range(4096)))
"""What most answers have bytes."""
MILLISECONDS = tuple(f"0.{number:03d}" for number in range(1000))
"""Milliseconds as seconds."""
MICROSECONDS = tuple(f"{number:03d}" for number in range(1000))
"""The further digits of a duration."""


def seconds(duration_us: int) -> str:
    """Return a duration of any length in seconds, but for the digits of ``MICROSECONDS``."""
    milliseconds = duration_us // 1000
    return f"{milliseconds // 1000}.{milliseconds % 1000:03d}"
