"""The balancer ``response_time``: the one of two that is likely to answer sooner."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from gateway_balancers.candidates import candidates, weight_of
from gateway_balancers.latency_table import LatencyTable
from gateway_balancers.power_of_two import PowerOfTwo

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway import Instance
    from gateway_balancers.candidates import Take

__all__ = ["ResponseTime"]


class ResponseTime(PowerOfTwo):
    """Draws two instances and takes the one with the lower expected wait for its weight, in O(log n).

    The wait is the latency (peak EWMA, see ``LatencyTable``) for everybody in flight there and the new attempt. The
    best of all would be found by every worker at once, and be overrun; the better of two by lot is nearly as good
    (Mitzenmacher 2001), as in Finagle and Linkerd.

    An instance of which nothing is known is asked once, and again when it has answered.

    Args:
        decay_s: In this time the weight of what was measured falls to 1/e.
        random: Where chance comes from.
        take: Says who takes traffic.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        decay_s: float,
        random: Callable[[], float] = random.random,
        take: Take = candidates,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(random, take)
        self._latencies = LatencyTable(decay_s, clock)

    def _better(self, first: int, second: int) -> Instance:
        one, other = self._candidates[first], self._candidates[second]
        return one if self._cost(one) <= self._cost(other) else other

    def _adopt(self, instances: Sequence[Instance]) -> None:
        super()._adopt(instances)
        self._latencies.keep(instances)

    def _cost(self, instance: Instance) -> float:
        latency_s = self._latencies.latency_s(instance)
        if not latency_s and instance.in_flight:
            return float("inf")
        return latency_s * (instance.in_flight + 1) / weight_of(instance)
