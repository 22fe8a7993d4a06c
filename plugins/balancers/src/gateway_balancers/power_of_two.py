"""The balancer ``power_of_two``: the less busy of two drawn by lot."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from gateway_balancers.candidates import candidates, weight_of
from gateway_balancers.shares import Shares

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway import Exchange, Instance
    from gateway_balancers.candidates import Take

__all__ = ["PowerOfTwo"]


class PowerOfTwo:
    """Draws two instances and takes the one with fewer attempts in flight for its weight, in O(1).

    Two choices instead of one bring the fullest of n instances from about ln n / ln ln n down to about ln ln n / ln 2
    (Azar, Broder, Karlin, Upfal: Balanced Allocations, 1994; Mitzenmacher: The Power of Two Choices in Randomized Load
    Balancing, 2001). Unlike the very least busy one, it is not asked by every worker at the same moment, which is what
    makes this the better choice when each worker sees only its own share of the load.

    The first is drawn by weight, the second evenly among the others; the first wins a tie. So an idle service is used
    by weight, and a busy one by what is in flight.

    Args:
        random: Where chance comes from.
        take: Says who takes traffic.
    """

    def __init__(self, random: Callable[[], float] = random.random, take: Take = candidates) -> None:
        self._random = random
        self._take = take
        self._instances: Sequence[Instance] = ()
        self._shares: Shares
        self._drawn: list[Instance] = []

    def select(self, instances: Sequence[Instance], exchange: Exchange) -> Instance:
        """Return the less busy of two."""
        if instances is not self._instances:
            self._adopt(instances)
        line = self._shares.line
        if exchange.excluded:
            first, second = self._shares.draw_two_but(exchange.excluded)
            return _less_busy(line[first], line[second])
        if not self._drawn:
            self._drawn = self._shares.draw_instances()
        one = self._drawn.pop()
        if not one.in_flight:
            return one
        last = len(line) - 1
        # Of all but the last; where that is the same again, the last one instead.
        other = line[int(self._random() * last)]
        return _less_busy(one, other if other is not one else line[last])

    def _adopt(self, instances: Sequence[Instance]) -> None:
        self._instances = instances
        self._shares = Shares(self._take(instances), self._random)
        self._drawn = []


def _less_busy(one: Instance, other: Instance) -> Instance:
    # Multiplied crosswise: a / b <= c / d without dividing.
    return one if one.in_flight * weight_of(other) <= other.in_flight * weight_of(one) else other


if TYPE_CHECKING:
    from gateway.interfaces import Balancer

    _: type[Balancer] = PowerOfTwo
