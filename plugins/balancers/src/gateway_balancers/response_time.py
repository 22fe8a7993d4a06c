"""The balancer ``response_time``: the one of two that is likely to answer sooner."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from gateway_balancers.candidates import candidates, weight_of
from gateway_balancers.latency_table import LatencyTable
from gateway_balancers.shares import Shares

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway import Exchange, Instance
    from gateway_balancers.candidates import Take

__all__ = ["ResponseTime"]


class ResponseTime:
    """Draws two instances and takes the one with the lower expected wait for its weight, in O(1).

    The wait is the latency (peak EWMA, see ``LatencyTable``) for everybody in flight there and the new attempt. The
    best of all would be found by every worker at once, and be overrun; the better of two by lot is nearly as good
    (Mitzenmacher 2001), as in Finagle and Linkerd. They are drawn as ``PowerOfTwo`` does.

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
        self._random = random
        self._take = take
        self._instances: Sequence[Instance] = ()
        self._shares: Shares
        self._latencies = LatencyTable(decay_s, clock)
        self._drawn: list[tuple[int, int, Instance, Instance]] = []

    def select(self, instances: Sequence[Instance], exchange: Exchange) -> Instance:
        """Return the one of two that is likely to answer sooner."""
        if instances is not self._instances:
            self._adopt(instances)
        if exchange.excluded:
            line = self._shares.line
            first, second = self._shares.draw_two_but(exchange.excluded)
            one, other = line[first], line[second]
        else:
            if not self._drawn:
                self._drawn = self._draw_pairs()
            first, second, one, other = self._drawn.pop()
        return one if self._cost(first, one) <= self._cost(second, other) else other

    def _draw_pairs(self) -> list[tuple[int, int, Instance, Instance]]:
        """Return as many pairs as are drawn at a time; of one candidate alone, pairs with itself."""
        random, line = self._random, self._shares.line
        last = len(line) - 1
        firsts = self._shares.draw_batch()
        # Of all but the last; where that is the same again, the last one instead.
        seconds = [int(random() * last) for _ in firsts]
        pairs = [(one, other if other != one else last) for one, other in zip(firsts, seconds, strict=True)]
        return [(first, second, line[first], line[second]) for first, second in pairs]

    def _adopt(self, instances: Sequence[Instance]) -> None:
        self._instances = instances
        self._shares = Shares(self._take(instances), self._random)
        self._latencies.follow(self._shares.line)
        self._drawn = []

    def _cost(self, position: int, instance: Instance) -> float:
        latency_s = self._latencies.latency_s(position)
        if not latency_s and instance.in_flight:
            return float("inf")
        return latency_s * (instance.in_flight + 1) / weight_of(instance)


if TYPE_CHECKING:
    from gateway.interfaces import Balancer

    _: type[Balancer] = ResponseTime
