"""Snapshots as text, in the formats of Prometheus and OpenMetrics."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.utils import floatToGoString

from gateway.metrics import HistogramValue

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.metrics import FamilySnapshot

__all__ = ["OPENMETRICS", "TEXT", "families", "format_for", "render"]

TEXT = CONTENT_TYPE_PLAIN_0_0_4
"""The format of Prometheus, version 0.0.4, which everything reads."""
OPENMETRICS = CONTENT_TYPE_LATEST
"""OpenMetrics 1.0."""


def format_for(accept: str) -> str:
    """Return the content type for an ``Accept`` field: OpenMetrics for those that name it, as Prometheus does."""
    named = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    return OPENMETRICS if "application/openmetrics-text" in named else TEXT


def render(snapshots: Iterable[FamilySnapshot], more: Sequence[Metric], content_type: str) -> bytes:
    """Return everything as text.

    Args:
        snapshots: What the gateway measures.
        more: What else is known.
        content_type: ``TEXT`` or ``OPENMETRICS``.
    """
    registry = CollectorRegistry()
    registry.register(_Collected([*families(snapshots), *more]))
    if content_type == OPENMETRICS:
        text: bytes = generate_openmetrics(registry)  # type: ignore[no-untyped-call]  # the library's types stop here
        return text
    return generate_latest(registry)


def families(snapshots: Iterable[FamilySnapshot]) -> list[Metric]:
    """Return snapshots as the client library has them; families without series are left out."""
    return [_family(snapshot) for snapshot in snapshots if snapshot.series]


class _Collected(Collector):
    """A collector of what was collected already."""

    def __init__(self, collected: Sequence[Metric]) -> None:
        self._collected = collected

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        return self._collected


def _family(snapshot: FamilySnapshot) -> Metric:
    labels = snapshot.label_names
    if snapshot.kind == "histogram":
        histogram = HistogramMetricFamily(snapshot.name, snapshot.help, labels=labels)
        bounds = [*map(floatToGoString, snapshot.bounds), "+Inf"]
        for values, value in snapshot.series.items():
            if isinstance(value, HistogramValue):
                cumulative = accumulate(value.counts)
                histogram.add_metric(values, list(zip(bounds, cumulative, strict=True)), value.sum)
        return histogram
    family = (CounterMetricFamily if snapshot.kind == "counter" else GaugeMetricFamily)(
        snapshot.name, snapshot.help, labels=labels
    )
    for values, value in snapshot.series.items():
        if not isinstance(value, HistogramValue):
            family.add_metric(values, value)
    return family
