"""The balancer ``weighted_round_robin``: each in turn, by weight, smoothly."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from gateway_balancers.candidates import candidates, weight_of
from gateway_balancers.shares import Shares
from gateway_balancers.smooth_schedule import smooth_turns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gateway import Exchange, Instance
    from gateway_balancers.candidates import Take

__all__ = ["WeightedRoundRobin"]


class WeightedRoundRobin:
    """Takes each instance in turn, as often as its weight says and as evenly spread as can be, in O(log n).

    A turn that falls on an excluded instance goes to another one by lot, by weight. The excluded one does not get it
    back later: that would be a burst on an instance that has just recovered.

    Args:
        random: Where chance comes from.
        take: Says who takes traffic.
    """

    def __init__(self, random: Callable[[], float] = random.random, take: Take = candidates) -> None:
        self._random = random
        self._take = take
        self._instances: Sequence[Instance] = ()
        self._candidates: Sequence[Instance] = ()
        self._turns: Iterator[Instance]
        # Made for the first one that is excluded.
        self._shares: Shares | None = None

    def select(self, instances: Sequence[Instance], exchange: Exchange) -> Instance:
        """Return the next instance."""
        if instances is not self._instances:
            self._adopt(instances)
        instance = next(self._turns)
        excluded = exchange.excluded
        if excluded and instance in excluded:
            if self._shares is None:
                self._shares = Shares(self._candidates, self._random)
            shares = self._shares
            return shares.line[shares.draw_but(shares.positions(excluded))]
        return instance

    def _adopt(self, instances: Sequence[Instance]) -> None:
        self._instances = instances
        self._candidates = self._take(instances)
        weights = [weight_of(candidate) for candidate in self._candidates]
        self._turns = smooth_turns(self._candidates, weights, self._random)
        self._shares = None


if TYPE_CHECKING:
    from gateway.interfaces import Balancer

    _: type[Balancer] = WeightedRoundRobin
