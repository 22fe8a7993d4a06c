"""The balancer ``round_robin``: each in turn."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from gateway_balancers.candidates import candidates
from gateway_balancers.smooth_schedule import smooth_turns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gateway import Exchange, Instance
    from gateway_balancers.candidates import Take

__all__ = ["RoundRobin"]


class RoundRobin:
    """Takes each instance in turn, in O(1).

    It begins anywhere, so that the balancers of many routes and workers do not all ask the same instance first, and
    goes on from the same place when the set of instances changes. It does not look at weights, but an instance in slow
    start takes fewer turns, evenly spread.

    Args:
        random: Where chance comes from.
        take: Says who takes traffic.
    """

    def __init__(self, random: Callable[[], float] = random.random, take: Take = candidates) -> None:
        self._random = random
        self._take = take
        self._instances: Sequence[Instance] = ()
        self._candidates: Sequence[Instance] = ()
        self._turn = -1
        self._ramp: Iterator[Instance] | None = None

    def select(self, instances: Sequence[Instance], exchange: Exchange) -> Instance:
        """Return the next instance."""
        if instances is not self._instances:
            self._adopt(instances)
        if self._ramp is None:
            # As in _next(), without the call: this is most requests' way.
            turn = self._turn + 1
            if turn >= len(self._candidates):
                turn = 0
            self._turn = turn
            instance = self._candidates[turn]
        else:
            instance = next(self._ramp)
        excluded = exchange.excluded
        if excluded and instance in excluded:
            return self._next_but(excluded)
        return instance

    def _adopt(self, instances: Sequence[Instance]) -> None:
        self._instances = instances
        self._candidates = self._take(instances)
        count = len(self._candidates)
        self._turn = int(self._random() * count) if self._turn < 0 else self._turn % count
        shares = [candidate.share_percent for candidate in self._candidates]
        # Nobody has 0 of its weight and takes traffic, unless nobody has any of it.
        self._ramp = (
            None
            if min(shares) == max(shares)
            else smooth_turns(self._candidates, [max(each, 1) for each in shares], self._random)
        )

    def _next(self) -> Instance:
        turn = self._turn + 1
        if turn >= len(self._candidates):
            turn = 0
        self._turn = turn
        return self._candidates[turn]

    def _next_but(self, excluded: Sequence[Instance]) -> Instance:
        # Whoever is left, if anybody, comes within one more step than are excluded.
        instance = self._next()
        for _ in range(len(excluded)):
            if instance not in excluded:
                break
            instance = self._next()
        return instance


if TYPE_CHECKING:
    from gateway.interfaces import Balancer

    _: type[Balancer] = RoundRobin
