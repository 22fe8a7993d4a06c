"""A retry budget: retries may add so much to a service's load, and not more.

Each client that tries three times triples the load of a service that is down already. A budget bounds what all of them
add together: a share of the requests of the last seconds, and a floor for services that get few. It is that of Finagle
(``RetryBudget``: 20 %, at least 10 a second, of the last 10 s); Google's SRE book, chapter "Addressing Cascading
Failures", takes 10 %.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway_retry.config import BudgetConfig

__all__ = ["RetryBudget"]

BUCKETS = 10
"""In how many steps the window rolls, as Finagle's does."""


class RetryBudget:
    """Counts requests and retries of a service in a rolling window. Used from one event loop.

    Args:
        window_s: The length of the window.
        clock: Monotonic seconds; tests pass a manual one.
    """

    __slots__ = ("__weakref__", "_clock", "_end_s", "_position", "_requests", "_retries", "_width_s", "window_s")

    def __init__(self, window_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._position = 0
        self._end_s = 0.0
        self._begin(window_s)

    def fit(self, window_s: float) -> None:
        """Take over another length of the window, which then begins anew."""
        if window_s != self.window_s:
            self._begin(window_s)

    def request(self) -> None:
        """Count a request: what the ratio is of."""
        if self._clock() >= self._end_s:
            self._roll()
        self._requests[self._position] += 1

    def take(self, config: BudgetConfig) -> bool:
        """Take a retry from the budget; returns whether there was one."""
        if self._clock() >= self._end_s:
            self._roll()
        requests = sum(self._requests)
        allowed = config.ratio * requests + config.min_retries_per_second * self.window_s
        if config.enabled and requests >= config.min_requests and sum(self._retries) + 1 > allowed:
            return False
        self._retries[self._position] += 1
        return True

    def _roll(self) -> None:
        now_s = self._clock()
        steps = int((now_s - self._end_s) / self._width_s) + 1
        if steps >= BUCKETS:
            self._clear(now_s)
            return
        for _ in range(steps):
            self._position = (self._position + 1) % BUCKETS
            self._requests[self._position] = self._retries[self._position] = 0
        self._end_s += steps * self._width_s

    def _begin(self, window_s: float) -> None:
        self.window_s = window_s
        self._width_s = window_s / BUCKETS
        self._clear(self._clock())

    def _clear(self, now_s: float) -> None:
        self._requests: list[int] = [0] * BUCKETS
        self._retries = [0] * BUCKETS
        self._position = 0
        self._end_s = now_s + self._width_s
