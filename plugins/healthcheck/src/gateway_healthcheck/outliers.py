"""Which of several instances is not like the others."""

from __future__ import annotations

from statistics import fmean, median, pstdev
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["low_success_rates", "slow_ones"]

T = TypeVar("T")


def low_success_rates(rates: Mapping[T, float], deviations: float) -> list[T]:
    """Return whose success rate is further below the mean than so many standard deviations.

    Envoy's success rate outliers. All alike are no outliers, however bad they are: the fault is then elsewhere.

    Args:
        rates: Success rates, from 0 to 1.
        deviations: How many.
    """
    threshold = fmean(rates.values()) - deviations * pstdev(rates.values())
    return [each for each, rate in rates.items() if rate < threshold - 1e-9]


def slow_ones(latencies: Mapping[T, float], factor: float) -> list[T]:
    """Return whose latency is above ``factor`` times the median, which a slow one does not move as it does the mean."""
    threshold = median(latencies.values()) * factor
    return [each for each, latency in latencies.items() if latency > threshold]
