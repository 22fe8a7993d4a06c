"""Snapshots as text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from gateway.metrics import Metrics
from gateway_prometheus.exposition import OPENMETRICS, TEXT, render

LABELS = st.text(st.characters(codec="utf-8"), max_size=20)


@given(st.dictionaries(st.tuples(LABELS, LABELS), st.integers(0, 2**52), min_size=1, max_size=5))
def test_whatever_a_label_holds_is_read_back(series: dict[tuple[str, str], int]) -> None:
    metrics = Metrics()
    family = metrics.counter("things_total", 'Things\\ of "every" kind.', ("one", "two"))
    for labels, value in series.items():
        family.labels(*labels).set(value)
    text = render(metrics.snapshot(), (), TEXT).decode()
    (read,) = parse_text(text)
    assert {(s.labels["one"], s.labels["two"]): s.value for s in read.samples} == series
    (read,) = parse_openmetrics(render(metrics.snapshot(), (), OPENMETRICS).decode())
    assert {(s.labels["one"], s.labels["two"]): s.value for s in read.samples} == series


def test_buckets_are_cumulative() -> None:
    metrics = Metrics()
    series = metrics.histogram("waits_seconds", "Waits.", bounds=(0.1, 1.0)).labels()
    for value in (0.05, 0.1, 0.5, 30):
        series.observe(value)
    (read,) = parse_text(render(metrics.snapshot(), (), TEXT).decode())
    assert [(s.name, s.labels.get("le"), s.value) for s in read.samples] == [
        ("waits_seconds_bucket", "0.1", 2),
        ("waits_seconds_bucket", "1.0", 3),
        ("waits_seconds_bucket", "+Inf", 4),
        ("waits_seconds_count", None, 4),
        ("waits_seconds_sum", None, 30.65),
    ]


def test_families_without_series_are_left_out() -> None:
    metrics = Metrics()
    metrics.counter("things_total", "Things.", ("kind",))
    assert render(metrics.snapshot(), (), TEXT) == b""
    assert render(metrics.snapshot(), (), OPENMETRICS) == b"# EOF\n"
