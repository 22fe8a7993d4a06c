"""How many of the last requests failed."""

from __future__ import annotations

__all__ = ["RollingWindow"]


class RollingWindow:
    """Counts successes and failures of the last seconds, in a ring of buckets.

    The window moves by whole buckets, as Hystrix' does: it covers the last ``interval_s``, less at most one bucket.
    Memory is the same however much is counted, and counting is one addition.

    Args:
        interval_s: Its length.
        buckets: In how many steps it moves.
        now_s: Monotonic time.
    """

    __slots__ = ("_end_s", "_failures", "_position", "_successes", "_width_s", "buckets", "interval_s")

    def __init__(self, interval_s: float, buckets: int, now_s: float) -> None:
        self.interval_s = interval_s
        self.buckets = buckets
        self._width_s = interval_s / buckets
        self.clear(now_s)

    def clear(self, now_s: float) -> None:
        """Begin anew."""
        self._successes = [0] * self.buckets
        self._failures = [0] * self.buckets
        self._position = 0
        self._end_s = now_s + self._width_s

    def succeeded(self, now_s: float) -> None:
        """Count a success."""
        if now_s >= self._end_s:
            self._roll(now_s)
        self._successes[self._position] += 1

    def failed(self, now_s: float) -> None:
        """Count a failure."""
        if now_s >= self._end_s:
            self._roll(now_s)
        self._failures[self._position] += 1

    def totals(self, now_s: float) -> tuple[int, int]:
        """Return how many requests there were, and how many of them failed."""
        if now_s >= self._end_s:
            self._roll(now_s)
        failures = sum(self._failures)
        return failures + sum(self._successes), failures

    def _roll(self, now_s: float) -> None:
        steps = int((now_s - self._end_s) / self._width_s) + 1
        if steps >= self.buckets:
            self.clear(now_s)
            return
        for _ in range(steps):
            self._position = (self._position + 1) % self.buckets
            self._successes[self._position] = self._failures[self._position] = 0
        self._end_s += steps * self._width_s
