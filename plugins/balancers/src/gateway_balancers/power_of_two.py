"""The balancer ``power_of_two``: the less busy of two drawn by lot."""

from __future__ import annotations

import random
from bisect import insort
from typing import TYPE_CHECKING

from gateway_balancers.candidates import candidates, weight_of
from gateway_balancers.shares import Shares, step_over

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway import Exchange, Instance
    from gateway_balancers.candidates import Take

__all__ = ["PowerOfTwo"]


class PowerOfTwo:
    """Draws two instances and takes the one with fewer attempts in flight for its weight, in O(log n).

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
        self._candidates: Sequence[Instance] = ()
        self._shares: Shares
        self._drawn: list[tuple[int, int]] = []

    def select(self, instances: Sequence[Instance], exchange: Exchange) -> Instance:
        """Return the less busy of two."""
        if instances is not self._instances:
            self._adopt(instances)
        if exchange.excluded:
            return self._select_but(exchange.excluded)
        if not self._drawn:
            self._drawn = self._draw_pairs()
        return self._better(*self._drawn.pop())

    def _draw_pairs(self) -> list[tuple[int, int]]:
        """Return as many pairs as are drawn at a time; of one candidate alone, pairs with itself."""
        random, others = self._random, len(self._candidates) - 1
        firsts = self._shares.draw_batch()
        if not others:
            return [(first, first) for first in firsts]
        seconds = [int(random() * others) for _ in firsts]
        return [
            (first, second + 1 if second >= first else second) for first, second in zip(firsts, seconds, strict=True)
        ]

    def _select_but(self, excluded: Sequence[Instance]) -> Instance:
        taken = self._shares.positions(excluded)
        first = self._shares.draw_but(taken)
        insort(taken, first)
        others = len(self._candidates) - len(taken)
        if not others:
            return self._candidates[first]
        return self._better(first, step_over(int(self._random() * others), taken))

    def _better(self, first: int, second: int) -> Instance:
        one, other = self._candidates[first], self._candidates[second]
        if self._shares.is_even:
            return one if one.in_flight <= other.in_flight else other
        # Multiplied crosswise: a / b <= c / d without dividing.
        return one if one.in_flight * weight_of(other) <= other.in_flight * weight_of(one) else other

    def _adopt(self, instances: Sequence[Instance]) -> None:
        self._instances = instances
        self._candidates = self._take(instances)
        self._shares = Shares(self._candidates, self._random)
        self._drawn = []


if TYPE_CHECKING:
    from gateway.interfaces import Balancer

    _: type[Balancer] = PowerOfTwo
