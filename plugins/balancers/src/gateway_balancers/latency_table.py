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
        # By position in the line: the average, 0.0 before the first answer, and when it was worked out, one after the
        # other; and the last measurement that is in it, compared by identity, as two may be equal.
        self._averages = array("d")
        self._seen: list[float] = []

    def follow(self, line: Sequence[Instance]) -> None:
        """Follow these instances, and forget all others.

        Args:
            line: The instances, in the order in which they are asked about.
        """
        now_s = self._clock()
        places = dict(zip(self._line, range(len(self._line)), strict=True))
        before, seen = self._averages, self._seen
        averages: list[float] = []
        self._seen = []
        for instance in line:
            place = places.get(instance)
            if place is None:
                measured = instance.latency_s
                averages += (measured, now_s)
            else:
                measured = seen[place]
                averages += (before[2 * place], before[2 * place + 1])
            self._seen.append(measured)
        self._averages = array("d", averages)
        self._line = line

    def latency_s(self, position: int) -> float:
        """Return how long the instance at ``position`` takes to answer; 0.0 if nobody knows."""
        now_s = self._clock()
        measured = self._line[position].latency_s
        averages, place = self._averages, 2 * position
        passed_s = now_s - averages[place + 1]
        # A clock that jumps back would make the past count more than once.
        kept = exp(-passed_s / self._decay_s) if passed_s > 0 else 1.0
        latency_s = averages[place] * kept
        if measured is not self._seen[position]:
            latency_s = max(measured, latency_s + measured * (1 - kept))
            averages[place], averages[place + 1] = latency_s, now_s
            self._seen[position] = measured
        return latency_s
