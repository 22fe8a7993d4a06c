"""The sliding window counter: two fixed windows, of which the earlier one counts as far as it still overlaps.

An approximation that takes what was used in the earlier window as evenly spread over it (Cloudflare, "How we built rate
limiting capable of scaling to millions of domains", 2017, found 0.003 % of decisions wrong).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway_ratelimit.algorithms.algorithm import Algorithm, State, Verdict

__all__ = ["SlidingWindow"]


class SlidingWindow:
    """See ``Algorithm``. The state is the end of the window after this one, and what was used in this and the earlier.

    Args:
        limit: How much is allowed in a window.
        window: In ticks.
    """

    state_size = 3

    def __init__(self, limit: int, window: int) -> None:
        self.quota = limit
        self._window = window

    @property
    def arguments(self) -> tuple[int | float, ...]:
        """The limit, and the window in ticks."""
        return self.quota, self._window

    def take(self, state: State | None, now: int, cost: int) -> Verdict:
        """Decide about a request that takes ``cost``; see ``Algorithm``."""
        window, limit = self._window, self.quota
        fresh_at, current, earlier = self._at(state, now)
        # How much of this window is left is how much of the earlier one counts.
        left = fresh_at - window - now
        weighted = earlier * left + current * window
        used = -(-weighted // window)
        if weighted + cost * window > limit * window:
            reset = fresh_at - now if current else left
            corrected = (fresh_at, current, earlier) if state is not None and state[0] > fresh_at else None
            return False, corrected, max(0, limit - used), reset, self._wait(current, earlier, left, cost)
        return True, (fresh_at, current + cost, earlier), limit - used - cost, fresh_at - now, 0

    def give_back(self, state: State, now: int, cost: int) -> State:
        """Return the state without ``cost``; see ``Algorithm``."""
        fresh_at, current, earlier = self._at(state, now)
        return fresh_at, max(0, current - cost), earlier

    def _at(self, state: State | None, now: int) -> tuple[int, int, int]:
        """Return the state as it is now."""
        window = self._window
        latest = now + 2 * window
        if state is None or state[0] <= now:
            return latest, 0, 0
        fresh_at, current, earlier = state
        if fresh_at - window <= now:
            return fresh_at + window, 0, current
        return min(fresh_at, latest), current, earlier

    def _wait(self, current: int, earlier: int, left: int, cost: int) -> int:
        window, free = self._window, self.quota - cost
        if current <= free:
            # In this window, when less of the earlier one counts; earlier is not 0, or it would be allowed now.
            return left - (free - current) * window // earlier
        # In the next one, in which this one is the earlier.
        return left + window - free * window // current


if TYPE_CHECKING:
    _: type[Algorithm] = SlidingWindow
