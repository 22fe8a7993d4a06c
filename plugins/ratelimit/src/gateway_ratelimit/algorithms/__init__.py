"""How limits count, as pure functions over a few integers; nothing here knows a clock, a key or a store.

Each has a twin in ``gateway_ratelimit/scripts`` that Redis runs; a test lets both decide alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway_ratelimit.algorithms.fixed_window import FixedWindow
from gateway_ratelimit.algorithms.moving_window import MovingWindow
from gateway_ratelimit.algorithms.sliding_window import SlidingWindow
from gateway_ratelimit.algorithms.token_bucket import TokenBucket

if TYPE_CHECKING:
    from gateway_ratelimit.algorithms.algorithm import Algorithm
    from gateway_ratelimit.config import RateLimit

__all__ = ["algorithm_of"]


def algorithm_of(limit: RateLimit, ticks_per_s: int) -> Algorithm:
    """Return how ``limit`` counts.

    Args:
        limit: The limit.
        ticks_per_s: The resolution of the clock that the integers are about.
    """
    window = round(limit.window * ticks_per_s)
    match limit.algorithm:
        case "token_bucket":
            return TokenBucket(limit.rate, limit.burst, window)
        case "fixed_window":
            return FixedWindow(limit.rate, window)
        case "sliding_window":
            return SlidingWindow(limit.rate, window)
        case "moving_window":
            return MovingWindow(limit.rate, window)
