"""A clock that stands still until it is moved."""

from __future__ import annotations

__all__ = ["ManualClock"]


class ManualClock:
    """Monotonic seconds that pass when the test says so; pass it where ``time.monotonic`` or ``time.time`` would go.

    Args:
        now_s: What it shows first.
    """

    def __init__(self, now_s: float = 1_000_000.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        """Return what it shows."""
        return self.now_s

    def advance(self, seconds: float) -> None:
        """Let time pass; negative seconds make a clock jump back."""
        self.now_s += seconds
