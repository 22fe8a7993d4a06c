"""The moving window: in no window, wherever it begins, is more than the limit. A log of what was taken when.

The log is bounded: up to ``MAX_ENTRIES`` requests are kept with their exact times. Larger limits keep them in as many
steps of a window, and count a step until the last request that may be in it has left the window: they never allow more
than the limit either, and refuse up to a sixtieth of a window too long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway_ratelimit.algorithms.algorithm import Algorithm, State, Verdict

__all__ = ["MAX_ENTRIES", "MovingWindow"]

MAX_ENTRIES = 60
"""How finely a window is resolved: seconds of a minute, minutes of an hour."""


class MovingWindow:
    """See ``Algorithm``.

    The state is when all is forgotten, how many entries follow, and these, oldest first: a time, what was taken then.

    Args:
        limit: How much is allowed in a window.
        window: In ticks.
    """

    # A step of its own for what is just now.
    state_size = 2 + 2 * (MAX_ENTRIES + 1)

    def __init__(self, limit: int, window: int) -> None:
        self.quota = limit
        self._window = window
        self._step = 1 if limit <= MAX_ENTRIES else -(-window // MAX_ENTRIES)

    @property
    def arguments(self) -> tuple[int | float, ...]:
        """The limit, the window and the step in ticks."""
        return self.quota, self._window, self._step

    def take(self, state: State | None, now: int, cost: int) -> Verdict:
        """Decide about a request that takes ``cost``; see ``Algorithm``."""
        window = self._window
        newest = -(-now // self._step) * self._step
        log = self._log(state, now, newest)
        used = sum(log[1::2])
        if used + cost > self.quota:
            corrected = self._state(log) if state is not None and state[0] > newest + window else None
            wait = self._wait(log, used + cost, now)
            return False, corrected, max(0, self.quota - used), log[-2] + window - now, wait
        if log and log[-2] == newest:
            log[-1] += cost
        else:
            log += (newest, cost)
        return True, self._state(log), self.quota - used - cost, newest + window - now, 0

    def give_back(self, state: State, now: int, cost: int) -> State:
        """Return the state without ``cost``; see ``Algorithm``."""
        log = list(state[2 : 2 + 2 * state[1]])
        while cost and log:
            back = min(cost, log[-1])
            cost -= back
            log[-1] -= back
            if not log[-1]:
                del log[-2:]
        return self._state(log) if log else (now, 0)

    def _state(self, log: list[int]) -> State:
        return log[-2] + self._window, len(log) // 2, *log

    def _log(self, state: State | None, now: int, newest: int) -> list[int]:
        """Return what still counts."""
        if state is None or state[0] <= now or not state[1]:
            return []
        log = list(state[2 : 2 + 2 * state[1]])
        gone = 0
        while log[gone] + self._window <= now:
            gone += 2
        del log[:gone]
        if log[-2] > newest:
            # The clock jumped back: all of it counts as of now.
            log = [newest, sum(log[1::2])]
        return log

    def _wait(self, log: list[int], wanted: int, now: int) -> int:
        for time, count in zip(log[::2], log[1::2], strict=True):  # pragma: no branch - the last one always suffices
            wanted -= count
            if wanted <= self.quota:
                return time + self._window - now
        raise AssertionError("a cost within the quota fits an empty window")


if TYPE_CHECKING:
    _: type[Algorithm] = MovingWindow
