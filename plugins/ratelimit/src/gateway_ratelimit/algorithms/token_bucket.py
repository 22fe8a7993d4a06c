"""The token bucket, as the generic cell rate algorithm (GCRA, ITU-T I.371 annex A): one number for each key.

The number is the theoretical arrival time: when the bucket is full again, if nothing more is taken. What is missing in
the bucket is the time until then, measured in the interval in which one token drops in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway_ratelimit.algorithms.algorithm import Algorithm, State, Verdict

__all__ = ["TokenBucket"]


class TokenBucket:
    """See ``Algorithm``. All in integers, so that a burst of 100 is exactly 100 however long the gateway runs.

    Args:
        rate: How many tokens drop in during ``window``.
        burst: How many tokens it holds.
        window: In ticks.
    """

    state_size = 1

    def __init__(self, rate: int, burst: int, window: int) -> None:
        self.quota = burst
        self._interval = max(1, round(window / rate))
        self._capacity = burst * self._interval
        # Ticks of the script are microseconds, of which a double knows sixteenths exactly for as long as it matters.
        self._script_interval = max(1, round(window * 16 / rate)) / 16

    @property
    def arguments(self) -> tuple[int | float, ...]:
        """The interval and the capacity in ticks."""
        return self._script_interval, self.quota * self._script_interval

    def take(self, state: State | None, now: int, cost: int) -> Verdict:
        """Decide about a request that takes ``cost``; see ``Algorithm``."""
        interval, limit = self._interval, now + self._capacity
        full_at, corrected = now, None
        if state is not None and state[0] > now:
            full_at = state[0]
            if full_at > limit:
                full_at = limit
                corrected = (limit,)
        taken = full_at + cost * interval
        if taken > limit:
            return False, corrected, (limit - full_at) // interval, full_at - now, taken - limit
        return True, (taken,), (limit - taken) // interval, taken - now, 0

    def give_back(self, state: State, now: int, cost: int) -> State:
        """Return the state without ``cost``; see ``Algorithm``."""
        return (max(now, state[0] - cost * self._interval),)


if TYPE_CHECKING:
    _: type[Algorithm] = TokenBucket
