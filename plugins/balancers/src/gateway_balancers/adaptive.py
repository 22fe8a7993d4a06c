"""The balancer ``adaptive``: finds out which way to choose works best here."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

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
SAMPLES = 64
"""How many attempts are followed at a time: few enough to be at hand, whatever the number of instances."""
PATIENCE = 64
"""How often one of them is looked at in vain before it is given up: its instance answers nobody any more."""


class Adaptive:
    """Chooses each time by one of several balancers; the ones whose choices are answered sooner are asked more often.

    It costs what those cost. Not every attempt is followed, but a sample: an answer of the instance is credited to the
    way that chose it. Of several in flight there it may be another one's; that is right on average, for ways that
    choose well choose the instance more often.

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
        self._instances: Sequence[Instance] = ()
        self._samples: list[_Sample | None] = [None] * SAMPLES
        self._turn = 0

    def select(self, instances: Sequence[Instance], exchange: Exchange) -> Instance:
        """Return an instance that one of the ways chose."""
        if instances is not self._instances:
            self._adopt(instances)
        way = self._draw()
        instance = self._ways[way].select(instances, exchange)
        self._turn = turn = (self._turn + 1) % SAMPLES
        sample = self._samples[turn]
        if sample is None:
            self._samples[turn] = _Sample(way, instance)
        elif sample.seen is not sample.instance.latency_s:
            self._credit(sample.way, sample.instance.latency_s)
            sample.follow(way, instance)
        elif sample.patience:
            sample.patience -= 1
        else:
            sample.follow(way, instance)
        return instance

    def _adopt(self, instances: Sequence[Instance]) -> None:
        self._instances = instances
        # Those that are gone are not held, and those that do not work may not answer.
        present = set(instances)
        self._samples = [each if each is not None and each.instance in present else None for each in self._samples]

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


class _Sample:
    """An attempt that is followed.

    Attributes:
        way: Which way chose.
        instance: What it chose.
        seen: The last latency of the instance then; another object once it has answered.
        patience: How often it may still be looked at in vain.
    """

    __slots__ = ("instance", "patience", "seen", "way")

    def __init__(self, way: int, instance: Instance) -> None:
        self.follow(way, instance)

    def follow(self, way: int, instance: Instance) -> None:
        """Follow another attempt."""
        self.way = way
        self.instance = instance
        self.seen = instance.latency_s
        self.patience = PATIENCE


if TYPE_CHECKING:
    _: type[Balancer] = Adaptive
