"""The balancer ``adaptive``: finds out which way to choose works best here."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway import Exchange, Instance
    from gateway.interfaces import Balancer

__all__ = ["Adaptive"]

REVIEW_AFTER = 100
"""Answers between two reviews; as in the gateway that this one succeeds."""
LEAST_SHARE = 0.05
"""What even the worst way keeps: what is never tried is never found to be better."""
SHARPNESS = 3.0
"""Shares go by 1 / latency to this power: at 3 a way that takes twice as long gets an eighth."""
MEMORY = 0.5
"""How much of what was known counts at the next review."""


class Adaptive:
    """Chooses each time by one of several balancers; the ones whose choices are answered sooner are asked more often.

    It costs what those cost. What an instance answers is credited to whoever chose it last: at most one in flight
    there, that is exact, and otherwise right on average, for ways that choose well choose the instance more often.

    Args:
        ways: The balancers; at least one.
        random: Where chance comes from.

    Attributes:
        shares: How often each way is asked; their sum is 1.
    """

    def __init__(self, ways: Sequence[Balancer], random: Callable[[], float] = random.random) -> None:
        self._ways = ways
        self._random = random
        self.shares = [1 / len(ways)] * len(ways)
        # By way: the sum of the latencies, and how many they are.
        self._sums_s = [0.0] * len(ways)
        self._counts = [0.0] * len(ways)
        self._credited = 0
        self._asked: WeakKeyDictionary[Instance, tuple[int, float]] = WeakKeyDictionary()

    def select(self, instances: Sequence[Instance], exchange: Exchange) -> Instance:
        """Return an instance that one of the ways chose."""
        way = self._draw()
        instance = self._ways[way].select(instances, exchange)
        asked = self._asked.get(instance)
        if asked is not None and asked[1] is not instance.last_latency_s:
            self._credit(asked[0], instance.last_latency_s)
        if asked is None or asked[1] is not instance.last_latency_s or asked[0] != way:
            self._asked[instance] = way, instance.last_latency_s
        return instance

    def _draw(self) -> int:
        point = self._random()
        for way, share in enumerate(self.shares):
            point -= share
            if point < 0:
                return way
        return len(self.shares) - 1

    def _credit(self, way: int, latency_s: float) -> None:
        self._sums_s[way] += latency_s
        self._counts[way] += 1
        self._credited += 1
        if self._credited >= REVIEW_AFTER:
            self._review()

    def _review(self) -> None:
        self._credited = 0
        if all(self._counts):
            means_s = [max(total / count, 1e-6) for total, count in zip(self._sums_s, self._counts, strict=True)]
            best_s = min(means_s)
            scores = [(best_s / mean_s) ** SHARPNESS for mean_s in means_s]
            free = 1 - LEAST_SHARE * len(scores)
            self.shares = [LEAST_SHARE + free * score / sum(scores) for score in scores]
        self._sums_s = [total * MEMORY for total in self._sums_s]
        self._counts = [count * MEMORY for count in self._counts]


if TYPE_CHECKING:
    _: type[Balancer] = Adaptive
