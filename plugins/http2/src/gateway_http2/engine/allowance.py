"""How much of something a peer may do that costs more than it should."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Allowance"]


class Allowance:
    """A token bucket that looks at the clock only when it seems empty.

    Args:
        burst: How much at once.
        per_s: How much more a second.
        clock: Monotonic seconds.
    """

    __slots__ = ("_burst", "_clock", "_filled_s", "_left", "_per_s")

    def __init__(self, burst: int, per_s: float, clock: Callable[[], float]) -> None:
        self._burst = float(burst)
        self._left = float(burst)
        self._per_s = per_s
        self._clock = clock
        self._filled_s = clock()

    def spend(self) -> bool:
        """Take one; returns whether there was one left."""
        if self._left < 1:
            now_s = self._clock()
            self._left = min(self._burst, self._left + (now_s - self._filled_s) * self._per_s)
            self._filled_s = now_s
            if self._left < 1:
                return False
        self._left -= 1
        return True

    def earn(self, amount: int) -> None:
        """Give some back: the peer has good reason for more."""
        self._left = min(self._burst, self._left + amount)
