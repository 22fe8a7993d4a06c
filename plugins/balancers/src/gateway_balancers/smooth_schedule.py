"""Taking turns by weight, as evenly as can be."""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import cycle
from math import gcd
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["SmoothSchedule", "smooth_turns"]

T = TypeVar("T")

WRITTEN_CYCLE = 1024
"""The longest cycle that is written out once and repeated; a millisecond or two to write."""
CYCLE = 1024
"""How long the cycle is in which turns are rounded."""
MANY = 512
"""Among more positions than this, a few turns more or less of a group are nothing to each of them."""
MOST_GROUPS = 64
"""How many different weights there are at most where turns are rounded: one turn in 16 is then open."""


def smooth_turns(line: Sequence[T], weights: Sequence[int], random: Callable[[], float]) -> Iterator[T]:
    """Return those in ``line`` without end, each in proportion to its weight and evenly spread, beginning anywhere.

    Those of equal weight form a group and take the group's turns one after the other; among groups the turns are
    those of a ``SmoothSchedule``. As weights are rarely all different, that makes few groups and short cycles.
    Counted from the beginning of a cycle, nobody is ever a whole turn from its due; of more than ``MANY``,
    whose cycle may take days, nobody is ever further from it than a few turns.

    Args:
        line: Who takes turns; not empty.
        weights: Their weights, positive.
        random: Decides where to begin, and who goes first among equals.
    """
    groups: dict[int, list[T]] = {}
    for each, weight in zip(line, weights, strict=True):
        groups.setdefault(weight, []).append(each)
    members: list[Iterator[T]] = [cycle(_begun_anywhere(group, random)) for group in groups.values()]
    if len(members) == 1:
        return members[0]
    group_weights = [weight * len(group) for weight, group in groups.items()]
    if len(weights) > MANY and len(members) <= MOST_GROUPS:
        turns, left_open = _rounded_turns(group_weights, random)
        members.append(next(members[number]) for number in left_open)
    else:
        turns = _group_turns(group_weights, random)
    return (next(members[number]) for number in turns)


def _group_turns(weights: Sequence[int], random: Callable[[], float]) -> Iterator[int]:
    schedule = SmoothSchedule(weights, random)
    if schedule.cycle <= WRITTEN_CYCLE:
        return cycle(_begun_anywhere([next(schedule) for _ in range(schedule.cycle)], random))
    schedule.jump_to(int(random() * schedule.cycle))
    # After a jump the light ones come first, unlike in mid-cycle; a turn for each later that has passed.
    for _ in weights:
        next(schedule)
    return schedule


def _rounded_turns(weights: Sequence[int], random: Callable[[], float]) -> tuple[Iterator[int], Iterator[int]]:
    """Return turns by a short cycle that is nearly right, and who gets those that it leaves open, to make it right.

    Each group has as many turns of the cycle as are due to it, rounded down. The few that are left over by that are
    open, and named ``len(weights)``. They go to the groups by what the rounding took from them: a schedule of its own,
    which is asked so seldom that it does not matter what it costs. So all shares are exact, and counted from the
    beginnings no group is further from its due than 3 turns: a whole one for each of the schedules, and one for how
    often it was the open turns' turn.
    """
    total = sum(weights)
    counts = [CYCLE * weight // total for weight in weights]
    counts.append(CYCLE - sum(counts))
    named = [group for group, count in enumerate(counts) if count]
    schedule = SmoothSchedule([counts[group] for group in named], random)
    written = [named[next(schedule)] for _ in range(schedule.cycle)]
    owed = {group: rest for group, weight in enumerate(weights) if (rest := CYCLE * weight % total)}
    groups = list(owed)
    if not groups:
        return cycle(_begun_anywhere(written, random)), iter(())
    open_turns = SmoothSchedule(list(owed.values()), random)
    open_turns.jump_to(int(random() * open_turns.cycle))
    return cycle(_begun_anywhere(written, random)), (groups[position] for position in open_turns)


def _begun_anywhere(turns: Sequence[T], random: Callable[[], float]) -> Sequence[T]:
    begin = int(random() * len(turns))
    return [*turns[begin:], *turns[:begin]]


class SmoothSchedule:
    """A sequence of positions in which each comes in proportion to its weight, and never far from its due.

    The problem is known as that of the union chairman: states of weights w, of sum W, take turns in the chair, so that
    at every moment each has held it about as often as its weight says. R. Tijdeman (The chairman assignment problem,
    Discrete Mathematics 32, 1980, pages 323-330) solves it with the smallest deviation that can be promised for all
    weights: after t turns, n positions are within 1 - 1/(2n - 2) of t·w/W each, so that after W turns everyone has had
    exactly w. Each single turn has a window in which it must lie for that: among those whose window has begun, take
    the one whose window ends first.

    Compared with the peers: nginx's smooth weighted round robin (the largest backlog first) is about as even, but looks
    at every server for every request and has no such bound. The schedules of Envoy and Traefik take the earliest end
    without waiting for a beginning: of weights 10 and ten times 1, the heavy one comes ten times in a row, here every
    other time. All of them, begun at their beginning, take the heavy ones first; where the set changes more often than
    a cycle lasts, light ones starve (Envoy's issues 10064 and 31378). So this one can begin anywhere.

    O(log n) for each turn, averaged over a cycle: a turn puts one position in line, and each is moved to the heap
    once, when its window begins. O(n log n) to make and to jump.

    Args:
        weights: Positive; not empty.
        random: Decides who goes first among equals.

    Attributes:
        cycle: After how many turns everything comes again.
    """

    def __init__(self, weights: Sequence[int], random: Callable[[], float]) -> None:
        divisor = gcd(*weights)
        self._weights = [weight // divisor for weight in weights]
        self.cycle = sum(self._weights)
        # Tijdeman's bound is 1 - 1/parts. One position alone has nothing to share, and deviates by nothing.
        self._parts = max(2 * len(weights) - 2, 1)
        self._scales = [self._parts * weight for weight in self._weights]
        self._ranks = [random() for _ in weights]
        # How often each was taken, in how many turns.
        self._taken = [0] * len(weights)
        self._turn = 0
        # Windows that have begun, by (end, rank, position), and those that begin later, by the turn at which they do.
        self._begun: list[tuple[int, float, int]] = []
        self._later: dict[int, list[tuple[int, float, int]]] = {}
        for position in range(len(weights)):
            self._line_up(position)

    def __iter__(self) -> SmoothSchedule:
        return self

    def __next__(self) -> int:
        self._turn += 1
        for entry in self._later.pop(self._turn, ()):
            heappush(self._begun, entry)
        position = heappop(self._begun)[2]
        self._taken[position] += 1
        self._line_up(position)
        return position

    def jump_to(self, turn: int) -> None:
        """Begin again at ``turn``, as if so many turns had been taken.

        The bound leaves each position only two numbers, its due rounded down or up. Up are those whose next window
        ends first among those whose window has begun, as many as are needed for the sum. From there all later windows
        can be met: in a schedule that meets them, one who goes up may change places with one who went up but has a
        later end, for the latter's window has begun and lasts longer than the former's.

        Taken one by one, the turns may have left another choice of those that are up. So until the cycle ends, a
        position may come once more or less than it would have; never afterwards.
        """
        self._turn = turn
        self._taken = [turn * weight // self.cycle for weight in self._weights]
        windows = [(*self._window(position), position) for position in range(len(self._weights))]
        begun = sorted((end, position) for begin, end, position in windows if begin <= turn)
        for _, position in begun[: turn - sum(self._taken)]:
            self._taken[position] += 1
        self._begun.clear()
        self._later.clear()
        for position in range(len(self._weights)):
            self._line_up(position)

    def _line_up(self, position: int) -> None:
        begin, end = self._window(position)
        entry = (end, self._ranks[position], position)
        if begin <= self._turn + 1:
            heappush(self._begun, entry)
        else:
            self._later.setdefault(begin, []).append(entry)

    def _window(self, position: int) -> tuple[int, int]:
        """Return the first and the last turn that ``position`` may take next.

        With x turns taken, one at t is not too early if t·w/W - x >= 1/parts; none up to t is not too late if
        t·w/W - x <= 1 - 1/parts. In whole numbers, so that rounding cannot add up.
        """
        parts, cycle, scale = self._parts, self.cycle, self._scales[position]
        begin = (self._taken[position] * parts + 1) * cycle
        return -(-begin // scale), (begin + (parts - 2) * cycle) // scale + 1
