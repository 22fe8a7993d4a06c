"""The balancer ``round_robin``: each in turn."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from gateway_balancers.candidates import candidates

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway import Exchange, Instance

__all__ = ["RoundRobin"]


class RoundRobin:
    """Takes each instance in turn, in O(1).

    It begins anywhere, so that the balancers of many routes and workers do not all ask the same instance first, and
    goes on from the same place when the set of instances changes.

    Args:
        random: Where chance comes from.
    """

    def __init__(self, random: Callable[[], float] = random.random) -> None:
        self._random = random
        self._instances: Sequence[Instance] = ()
        self._candidates: Sequence[Instance] = ()
        self._turn = -1

    def select(self, instances: Sequence[Instance], exchange: Exchange) -> Instance:
        """Return the next instance."""
        if instances is not self._instances:
            self._adopt(instances)
        instance = self._next()
        excluded = exchange.excluded
        if excluded and instance in excluded:
            return self._next_but(excluded)
        return instance

    def _adopt(self, instances: Sequence[Instance]) -> None:
        self._instances = instances
        self._candidates = candidates(instances)
        count = len(self._candidates)
        self._turn = int(self._random() * count) if self._turn < 0 else self._turn % count

    def _next(self) -> Instance:
        turn = self._turn + 1
        if turn >= len(self._candidates):
            turn = 0
        self._turn = turn
        return self._candidates[turn]

    def _next_but(self, excluded: Sequence[Instance]) -> Instance:
        # One was just skipped; whoever is left, if anybody, comes within as many steps as are excluded.
        instance = self._next()
        for _ in range(len(excluded) - 1):
            if instance not in excluded:
                break
            instance = self._next()
        return instance


if TYPE_CHECKING:
    from gateway.interfaces import Balancer

    _: type[Balancer] = RoundRobin
