"""What is known of how fast instances answer."""

from __future__ import annotations

from math import exp
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway import Instance

__all__ = ["LatencyTable"]


class _Peak:
    """What is known of one instance.

    Attributes:
        latency_s: The average at ``updated_s``; 0.0 before the first answer.
        updated_s: When it was worked out.
        seen: The last measurement that is in it; compared by identity, as two may be equal.
    """

    __slots__ = ("latency_s", "seen", "updated_s")

    def __init__(self, seen: float, now_s: float) -> None:
        self.latency_s = self.seen = seen
        self.updated_s = now_s


class LatencyTable:
    """Peak EWMA: a moving average over time that follows a peak at once, and forgets it by and by.

    As in Finagle and Linkerd: an average that takes time to go up keeps sending to an instance that has just begun to
    stall. While nothing is measured it goes down, so that a slow one is asked again some day.

    Measurements are taken when the instance is looked at. Of several since then only the last one counts.

    Args:
        decay_s: In this time the weight of what was measured falls to 1/e.
        clock: Monotonic seconds.
    """

    def __init__(self, decay_s: float, clock: Callable[[], float]) -> None:
        self._decay_s = decay_s
        self._clock = clock
        self._peaks: dict[Instance, _Peak] = {}

    def keep(self, instances: Sequence[Instance]) -> None:
        """Forget all other instances."""
        for gone in self._peaks.keys() - set(instances):
            del self._peaks[gone]

    def latency_s(self, instance: Instance) -> float:
        """Return how long ``instance`` takes to answer; 0.0 if nobody knows."""
        now_s = self._clock()
        measured = instance.last_latency_s
        peak = self._peaks.get(instance)
        if peak is None:
            peak = self._peaks[instance] = _Peak(measured, now_s)
            return peak.latency_s
        # A clock that jumps back would make the past count more than once.
        kept = exp(-max(now_s - peak.updated_s, 0.0) / self._decay_s)
        if measured is peak.seen:
            return peak.latency_s * kept
        peak.seen = measured
        peak.updated_s = now_s
        peak.latency_s = max(measured, peak.latency_s * kept + measured * (1 - kept))
        return peak.latency_s
