"""The fixed window: so many in a window, which begins with the first request; then the next one begins.

It allows up to twice the limit around the end of a window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway_ratelimit.algorithms.algorithm import Algorithm, State, Verdict

__all__ = ["FixedWindow"]


class FixedWindow:
    """See ``Algorithm``. The state is the end of the window and what was used in it.

    Args:
        limit: How much is allowed in a window.
        window: In ticks.
    """

    state_size = 2

    def __init__(self, limit: int, window: int) -> None:
        self.quota = limit
        self._window = window

    @property
    def arguments(self) -> tuple[int | float, ...]:
        """The limit, and the window in ticks."""
        return self.quota, self._window

    def take(self, state: State | None, now: int, cost: int) -> Verdict:
        """Decide about a request that takes ``cost``; see ``Algorithm``."""
        latest = now + self._window
        ends, used = state if state is not None and state[0] > now else (latest, 0)
        corrected = None
        if ends > latest:
            ends = latest
            corrected = (ends, used)
        if used + cost > self.quota:
            return False, corrected, max(0, self.quota - used), ends - now, ends - now
        used += cost
        return True, (ends, used), self.quota - used, ends - now, 0

    def give_back(self, state: State, now: int, cost: int) -> State:
        """Return the state without ``cost``; see ``Algorithm``."""
        return state[0], max(0, state[1] - cost)


if TYPE_CHECKING:
    _: type[Algorithm] = FixedWindow
