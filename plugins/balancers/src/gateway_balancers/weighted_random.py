"""The balancer ``weighted_random``: by lot, by weight."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from gateway_balancers.candidates import candidates
from gateway_balancers.shares import Shares

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway import Exchange, Instance
    from gateway_balancers.candidates import Take

__all__ = ["WeightedRandom"]


class WeightedRandom:
    """Draws each instance as often as its weight says, in O(1).

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
        """Return an instance by lot."""
        if instances is not self._instances:
            self._adopt(instances)
        if exchange.excluded:
            shares = self._shares
            return shares.line[shares.draw_but(shares.positions(exchange.excluded))]
        if not self._drawn:
            self._drawn = self._shares.draw_instances()
        return self._drawn.pop()

    def _adopt(self, instances: Sequence[Instance]) -> None:
        self._instances = instances
        self._shares = Shares(self._take(instances), self._random)
        self._drawn = []


if TYPE_CHECKING:
    from gateway.interfaces import Balancer

    _: type[Balancer] = WeightedRandom
