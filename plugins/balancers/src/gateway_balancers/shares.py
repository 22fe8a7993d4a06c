"""Drawing lots by weight."""

from __future__ import annotations

from bisect import bisect_right
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING

from gateway_balancers.candidates import weight_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway import Instance

__all__ = ["BATCH", "Shares", "step_over"]

BATCH = 64
"""How many lots are drawn at a time. One after the other they cost a fraction of one at a time, as what they need is
at hand; and so is, a moment later, what was drawn, wherever in memory it is among ten thousand."""


class Shares:
    """Draws positions, each as often as its weight says, in O(log n), and in O(1) where all weights are equal.

    The weights stand one after the other on a line, and a random point on it falls on one of them: what
    ``random.choices`` does, with the sums kept. Walker's alias method (1977) would be O(1), but not faster: a binary
    search in C costs less than what it needs in Python.

    Args:
        candidates: What positions count.
        random: Where chance comes from.

    Attributes:
        is_even: Whether all weights are equal.
    """

    def __init__(self, candidates: Sequence[Instance], random: Callable[[], float]) -> None:
        self._candidates = candidates
        self._random = random
        weights = [weight_of(candidate) for candidate in candidates]
        self.is_even = min(weights) == max(weights)
        self._ends = list(accumulate(weights))
        self._total = self._ends[-1]

    def draw(self) -> int:
        """Return a position."""
        # Never past the end: for r < 1 and any total below 2**53, r * total rounds to less than total.
        if self.is_even:
            return int(self._random() * len(self._candidates))
        return bisect_right(self._ends, self._random() * self._total)

    def draw_batch(self) -> list[int]:
        """Return ``BATCH`` positions, each drawn as ``draw`` does."""
        random = self._random
        if self.is_even:
            count = len(self._candidates)
            return [int(random() * count) for _ in range(BATCH)]
        ends, total = self._ends, self._total
        return [bisect_right(ends, random() * total) for _ in range(BATCH)]

    def draw_but(self, taken: Sequence[int]) -> int:
        """Return a position that is not among ``taken``, in the proportions of the others.

        Args:
            taken: Positions, ascending; not all of them.
        """
        weights = [weight_of(self._candidates[position]) for position in taken]
        point = int(self._random() * (self._total - sum(weights)))
        # The point is on the line without the taken pieces: put back, from the left, those that begin before it.
        for position, weight in zip(taken, weights, strict=True):
            if point >= self._ends[position] - weight:
                point += weight
        return bisect_right(self._ends, point)

    def positions(self, instances: Sequence[Instance]) -> list[int]:
        """Return where ``instances`` stand, ascending; empty if nobody else would be left, so nobody can be spared."""
        known = self._position_of
        found = sorted({known[instance] for instance in instances if instance in known})
        return found if len(found) < len(self._candidates) else []

    @cached_property
    def _position_of(self) -> dict[Instance, int]:
        return {instance: position for position, instance in enumerate(self._candidates)}


def step_over(position: int, taken: Sequence[int]) -> int:
    """Return what ``position`` is when it counts only positions that are not in ``taken``, which is ascending."""
    for each in taken:
        if position >= each:
            position += 1
    return position
