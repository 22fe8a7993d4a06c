"""Counters, gauges and histograms: what plugins measure, and what exporters (Prometheus, OpenTelemetry) read.

A family is made once, by its name; a series of it is found once, by its labels, and then costs one addition:

```python
refused = context.metrics.counter("gateway_teapots_total", "Requests that were refused for tea.", ("route",))
on_this_route = refused.labels(route.id)
on_this_route.add()
```

Each process counts for itself. ``BuildContext.gather_metrics`` adds up what all of them have.
"""

from __future__ import annotations

import logging
import re
from bisect import bisect_left
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "LATENCY_BUCKETS_S",
    "MAX_SERIES",
    "Family",
    "FamilySnapshot",
    "HistogramSeries",
    "HistogramValue",
    "Metrics",
    "Series",
    "lasting",
    "merge_metrics",
]

logger = logging.getLogger("gateway.metrics")

MAX_SERIES = 10_000
"""Series of one family. Whatever comes behind them is counted together, with ``other`` for every label: what strangers
send must not fill the memory, here or in the database that reads it."""
OTHER = "other"

LATENCY_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of a histogram of durations: Prometheus' defaults, and finer ones for a gateway's own share."""

_NAME = re.compile(r"[a-z][a-z0-9_]*")

Kind = Literal["counter", "gauge", "histogram"]
Combine = Literal["sum", "max"]

S = TypeVar("S", "Series", "HistogramSeries")


class Series:
    """A number: one series of a counter or gauge.

    Attributes:
        value: The number; may be set directly where every call counts.
    """

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def add(self, amount: float = 1.0) -> None:
        """Add ``amount``, which is not negative in a counter."""
        self.value += amount

    def set(self, value: float) -> None:
        """Set a gauge."""
        self.value = value


class HistogramSeries:
    """One series of a histogram.

    Attributes:
        counts: How many observations fell in each bucket, the last one without bound.
        sum: Of all observations.
    """

    __slots__ = ("_bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count ``value``."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.sum += value


class Family(Generic[S]):
    """Series of one name. Series are found in any thread, and counted in the event loop's only.

    Attributes:
        name: The name.
        label_names: The names of its labels.
    """

    def __init__(
        self,
        name: str,
        help: str,  # noqa: A002 - the field's word
        label_names: Sequence[str],
        bounds: Sequence[float] | None,
        kind: Kind,
        combine: Combine,
    ) -> None:
        self.name = name
        self.label_names = tuple(label_names)
        self.shape = (kind, self.label_names, bounds, combine)
        self._help = help
        self._bounds = bounds
        self._kind: Kind = kind
        self._combine: Combine = combine
        self._series: dict[tuple[str, ...], S] = {}

    def labels(self, *values: str) -> S:
        """Return the series with these labels, in the order of their names; keep it where it is needed often.

        Raises:
            ValueError: If there are more or fewer values than names.
        """
        found = self._series.get(values)
        return found if found is not None else self._add(values)

    def remove(self, *values: str) -> None:
        """Forget a series, such as that of an instance that is gone; harmless if there is none."""
        self._series.pop(values, None)

    def snapshot(self) -> FamilySnapshot:
        """Return what is counted now."""
        return FamilySnapshot(
            kind=self._kind,
            name=self.name,
            help=self._help,
            label_names=self.label_names,
            bounds=tuple(self._bounds or ()),
            combine=self._combine,
            # The next configuration may find series meanwhile, in its thread. copy() is not interrupted; list() may be,
            # by the garbage collector.
            series={labels: _value(series) for labels, series in self._series.copy().items()},
        )

    def _add(self, values: tuple[str, ...]) -> S:
        if len(values) != len(self.label_names):
            msg = f"{self.name} has the labels {self.label_names}, not {values}"
            raise ValueError(msg)
        if len(self._series) >= MAX_SERIES:
            values = (OTHER,) * len(values)
            if values not in self._series:
                logger.warning("%s has %d series; further ones are counted together", self.name, MAX_SERIES)
        return self._series.setdefault(values, self._new())

    def _new(self) -> S:
        series: Series | HistogramSeries = Series() if self._bounds is None else HistogramSeries(self._bounds)
        return series  # type: ignore[return-value]  # S is what the bounds say


@dataclass(frozen=True, slots=True, kw_only=True)
class HistogramValue:
    """What a series of a histogram has counted; see ``HistogramSeries``."""

    counts: tuple[int, ...]
    sum: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilySnapshot:
    """A family as it was at one moment; may travel between processes.

    Attributes:
        kind: ``counter``, ``gauge`` or ``histogram``.
        name: The name.
        help: What it means.
        label_names: The names of its labels.
        bounds: Upper bounds of a histogram's buckets, without the last one, which has none.
        combine: Whether the values of several processes are added, or the greatest counts.
        series: The values by their labels.
    """

    kind: Kind
    name: str
    help: str
    label_names: tuple[str, ...]
    bounds: tuple[float, ...]
    combine: Combine
    series: Mapping[tuple[str, ...], float | HistogramValue]


class Metrics:
    """All families of a process. A family is made by the first who asks for it; the others get the same."""

    def __init__(self) -> None:
        self._families: dict[str, Family[Series] | Family[HistogramSeries]] = {}

    def counter(self, name: str, help: str, label_names: Sequence[str] = ()) -> Family[Series]:  # noqa: A002 - the field's word
        """Return a counter: what only grows.

        Args:
            name: Lower-case, words joined by ``_``, its unit last and then ``total``: ``gateway_sent_bytes_total``.
            help: What it means, in one sentence.
            label_names: The names of its labels.

        Raises:
            ValueError: If the name is none, or is taken by something else.
        """
        return self._family(Family(name, help, label_names, None, "counter", "sum"))

    def gauge(
        self,
        name: str,
        help: str,  # noqa: A002 - as above
        label_names: Sequence[str] = (),
        *,
        combine: Combine = "sum",
    ) -> Family[Series]:
        """Return a gauge: what is so much at the moment.

        Args:
            name: Lower-case, words joined by ``_``, its unit last.
            help: What it means, in one sentence.
            label_names: The names of its labels.
            combine: Whether the values of several workers are added, or the greatest counts.

        Raises:
            ValueError: If the name is none, or is taken by something else.
        """
        return self._family(Family(name, help, label_names, None, "gauge", combine))

    def histogram(
        self,
        name: str,
        help: str,  # noqa: A002 - as above
        label_names: Sequence[str] = (),
        *,
        bounds: Sequence[float] = LATENCY_BUCKETS_S,
    ) -> Family[HistogramSeries]:
        """Return a histogram: how often what was how much.

        Args:
            name: Lower-case, words joined by ``_``, its unit last.
            help: What it means, in one sentence.
            label_names: The names of its labels.
            bounds: Upper bounds of the buckets, ascending; one without bound is added.

        Raises:
            ValueError: If the name is none, or is taken by something else, or the bounds do not ascend.
        """
        if not bounds or list(bounds) != sorted(set(bounds)):
            msg = f"the bounds of {name} must ascend: {bounds}"
            raise ValueError(msg)
        return self._family(Family(name, help, label_names, tuple(bounds), "histogram", "sum"))

    def snapshot(self) -> list[FamilySnapshot]:
        """Return what is counted now, by name."""
        return [self._families[name].snapshot() for name in sorted(self._families)]

    def _family(self, family: Family[S]) -> Family[S]:
        if not _NAME.fullmatch(family.name):
            msg = f"{family.name!r} is not the name of a metric; write lower-case letters, digits and _"
            raise ValueError(msg)
        known = self._families.setdefault(family.name, family)
        if known.shape != family.shape:
            msg = f"{family.name} is {known.shape} already; it cannot be {family.shape} as well"
            raise ValueError(msg)
        return known  # type: ignore[return-value]  # of the same shape, and so of the same series


def merge_metrics(snapshots: Iterable[Sequence[FamilySnapshot]]) -> list[FamilySnapshot]:
    """Return what several processes have counted together, by name.

    A family that two of them describe differently, as for a moment during an upgrade, is taken from the first. Beyond
    ``MAX_SERIES`` series are counted together here, too: each process that ended may have had others.
    """
    merged: dict[str, FamilySnapshot] = {}
    for snapshot in snapshots:
        for family in snapshot:
            known = merged.get(family.name)
            if known is None:
                merged[family.name] = family
            elif (known.kind, known.label_names, known.bounds) == (family.kind, family.label_names, family.bounds):
                merged[family.name] = _merged(known, family)
    return [merged[name] for name in sorted(merged)]


def _merged(one: FamilySnapshot, other: FamilySnapshot) -> FamilySnapshot:
    series = dict(one.series)
    others = (OTHER,) * len(one.label_names)
    for each, value in other.series.items():
        labels = each if each in series or len(series) < MAX_SERIES else others
        known = series.get(labels)
        if known is None:
            series[labels] = value
        elif isinstance(known, HistogramValue) and isinstance(value, HistogramValue):
            counts = tuple(map(sum, zip(known.counts, value.counts, strict=True)))
            series[labels] = HistogramValue(counts=counts, sum=known.sum + value.sum)
        elif isinstance(known, float) and isinstance(value, float):
            series[labels] = max(known, value) if one.combine == "max" else known + value
    return replace(one, series=series)


def lasting(snapshot: Sequence[FamilySnapshot]) -> list[FamilySnapshot]:
    """Return what stays of a process that ended: what it counted, but not what was so at its last moment."""
    return [family for family in snapshot if family.kind != "gauge"]


def _value(series: Series | HistogramSeries) -> float | HistogramValue:
    if isinstance(series, Series):
        return float(series.value)
    return HistogramValue(counts=tuple(series.counts), sum=series.sum)
