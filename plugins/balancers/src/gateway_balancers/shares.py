"""Drawing lots by weight."""

from __future__ import annotations

from bisect import bisect_right, insort
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway import Instance

__all__ = ["BATCH", "Shares", "step_over"]

BATCH = 64
"""How many lots are drawn at a time. One after the other they cost a fraction of one at a time, as what they need is
at hand; and so is, a moment later, what was drawn, wherever in memory it is among ten thousand."""


class Shares:
    """Draws candidates, each as often as its weight says, in a time that does not grow with their number.

    They stand in a line, the heaviest first, each on as much of it as its weight, and a random point on the line falls
    on one of them: what ``random.choices`` does. As those of the same weight stand together, and weights are rarely all
    different, it takes a search among few weights, and a division. Walker's alias method (1977) would take as long, and
    more memory that must be at hand.

    Args:
        candidates: Among whom to draw; not empty.
        random: Where chance comes from.

    Attributes:
        line: The candidates in their order; positions are those in it.
        is_even: Whether all weights are equal.
    """

    def __init__(self, candidates: Sequence[Instance], random: Callable[[], float]) -> None:
        self._random = random
        kinds: dict[int, list[Instance]] = {}
        for candidate in candidates:
            kinds.setdefault(candidate.weight or 1, []).append(candidate)
        self._weights = sorted(kinds, reverse=True)
        self.is_even = len(kinds) == 1
        self.line = [candidate for weight in self._weights for candidate in kinds[weight]]
        # For each weight: the point at which those of it end, and by how much a point must be moved for the weights
        # before it to be the same.
        self._ends: list[int] = []
        self._moves: list[int] = []
        position = begin = 0
        for weight in self._weights:
            self._moves.append(position * weight - begin)
            position += len(kinds[weight])
            begin += weight * len(kinds[weight])
            self._ends.append(begin)
        self._total = begin

    def draw(self) -> int:
        """Return a position."""
        # Never past the end: for r < 1 and any total below 2**53, r * total rounds to less than total.
        if self.is_even:
            return int(self._random() * len(self.line))
        return self._position(int(self._random() * self._total))

    def draw_batch(self) -> list[int]:
        """Return ``BATCH`` positions, each drawn as ``draw`` does."""
        random = self._random
        if self.is_even:
            count = len(self.line)
            return [int(random() * count) for _ in range(BATCH)]
        ends, moves, weights, total = self._ends, self._moves, self._weights, self._total
        points = [int(random() * total) for _ in range(BATCH)]
        kinds = [bisect_right(ends, point) for point in points]
        return [(point + moves[kind]) // weights[kind] for point, kind in zip(points, kinds, strict=True)]

    def draw_instances(self) -> list[Instance]:
        """Return ``BATCH`` of them, each drawn as ``draw`` does."""
        line = self.line
        return [line[position] for position in self.draw_batch()]

    def draw_but(self, taken: Sequence[int]) -> int:
        """Return a position that is not among ``taken``, in the proportions of the others.

        Args:
            taken: Positions, ascending; not all of them.
        """
        kinds = [self._kind(position) for position in taken]
        point = int(self._random() * (self._total - sum(self._weights[kind] for kind in kinds)))
        # The point is on the line without the taken pieces: put back, from the left, those that begin before it.
        for position, kind in zip(taken, kinds, strict=True):
            weight = self._weights[kind]
            if point >= position * weight - self._moves[kind]:
                point += weight
        return self._position(point)

    def draw_two_but(self, excluded: Sequence[Instance]) -> tuple[int, int]:
        """Return two positions: one by weight, one evenly among the others; of one candidate alone, its own twice.

        Args:
            excluded: Whom to avoid, unless nobody else is left.
        """
        taken = self.positions(excluded)
        first = self.draw_but(taken)
        insort(taken, first)
        others = len(self.line) - len(taken)
        return first, step_over(int(self._random() * others), taken) if others else first

    def positions(self, instances: Sequence[Instance]) -> list[int]:
        """Return where ``instances`` stand, ascending; empty if nobody else would be left, so nobody can be spared."""
        known = self._position_of
        found = sorted({known[instance] for instance in instances if instance in known})
        return found if len(found) < len(self.line) else []

    def _position(self, point: int) -> int:
        kind = bisect_right(self._ends, point)
        return (point + self._moves[kind]) // self._weights[kind]

    def _kind(self, position: int) -> int:
        """Return which of the weights the one at ``position`` has."""
        return bisect_right(self._position_ends, position)

    @cached_property
    def _position_ends(self) -> list[int]:
        return [
            (end + move) // weight for end, move, weight in zip(self._ends, self._moves, self._weights, strict=True)
        ]

    @cached_property
    def _position_of(self) -> dict[Instance, int]:
        return {instance: position for position, instance in enumerate(self.line)}


def step_over(position: int, taken: Sequence[int]) -> int:
    """Return what ``position`` is when it counts only positions that are not in ``taken``, which is ascending."""
    for each in taken:
        if position >= each:
            position += 1
    return position
