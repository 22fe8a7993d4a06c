"""What is known of how fast instances answer."""

from __future__ import annotations

from array import array
from math import exp
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway import Instance

__all__ = ["LatencyTable"]


class LatencyTable:
    """Peak EWMA: a moving average over time that follows a peak at once, and forgets it by and by.

    As in Finagle and Linkerd: an average that takes time to go up keeps sending to an instance that has just begun to
    stall. While nothing is measured it goes down, so that a slow one is asked again some day.

    What is known stands in arrays: as objects, of ten thousand instances it would lie all over the memory.

    Measurements are taken when the instance is looked at. Of several since then only the last one counts.

    Args:
        decay_s: In this time the weight of what was measured falls to 1/e.
        clock: Monotonic seconds.
    """

    def __init__(self, decay_s: float, clock: Callable[[], float]) -> None:
        self._decay_s = decay_s
        self._clock = clock
        self._line: Sequence[Instance] = ()
        self._number_of: dict[Instance, int] = {}
        self._free: list[int] = []
        # By position in the line.
        self._numbers = array("I")
        # By number: the average, 0.0 before the first answer, and when it was worked out, one after the other; and
        # the last measurement that is in it, compared by identity, as two may be equal.
        self._averages = array("d")
        self._seen: list[float] = []

    def follow(self, line: Sequence[Instance]) -> None:
        """Follow these instances, and forget all others.

        Args:
            line: The instances, in the order in which they are asked about.
        """
        now_s = self._clock()
        number_of = self._number_of
        for gone in number_of.keys() - set(line):
            self._free.append(number_of.pop(gone))
        if not number_of:
            self._free, self._averages, self._seen = [], array("d"), []
        new = [instance for instance in line if instance not in number_of]
        while new and self._free:
            instance = new.pop()
            number_of[instance] = number = self._free.pop()
            self._put(number, instance.latency_s, instance.latency_s, now_s)
        self._add(new, now_s)
        self._line = line
        self._numbers = array("I", [number_of[each] for each in line])

    def latency_s(self, position: int) -> float:
        """Return how long the instance at ``position`` takes to answer; 0.0 if nobody knows."""
        now_s = self._clock()
        measured = self._line[position].latency_s
        number, averages = self._numbers[position], self._averages
        passed_s = now_s - averages[2 * number + 1]
        # A clock that jumps back would make the past count more than once.
        kept = exp(-passed_s / self._decay_s) if passed_s > 0 else 1.0
        latency_s = averages[2 * number] * kept
        if measured is not self._seen[number]:
            latency_s = max(measured, latency_s + measured * (1 - kept))
            self._put(number, latency_s, measured, now_s)
        return latency_s

    def _add(self, instances: Sequence[Instance], now_s: float) -> None:
        """Give instances numbers that are new; all at once, as there may be ten thousand."""
        begin = len(self._seen)
        self._number_of.update(zip(instances, range(begin, begin + len(instances)), strict=True))
        measured = [instance.latency_s for instance in instances]
        averages = array("d", bytes(16 * len(measured)))
        averages[::2], averages[1::2] = array("d", measured), array("d", [now_s]) * len(measured)
        self._averages += averages
        self._seen += measured

    def _put(self, number: int, latency_s: float, seen: float, now_s: float) -> None:
        self._averages[2 * number] = latency_s
        self._averages[2 * number + 1] = now_s
        self._seen[number] = seen
