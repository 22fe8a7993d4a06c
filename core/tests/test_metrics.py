"""Counters, gauges and histograms, of one process and of several."""

from __future__ import annotations

import logging
import pickle
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import metrics as metrics_module
from gateway.metrics import HistogramValue, Metrics, lasting, merge_metrics


@pytest.fixture
def metrics():
    return Metrics()


@pytest.fixture
def few_series(monkeypatch):
    """A family has three series at most."""
    monkeypatch.setattr(metrics_module, "MAX_SERIES", 3)


def values(snapshot, name):
    (family,) = (family for family in snapshot if family.name == name)
    return dict(family.series)


# One process.


def test_a_counter_counts_by_its_labels(metrics):
    refused = metrics.counter("refused_total", "Refused.", ("route",))
    refused.labels("a").add()
    refused.labels("a").add(2)
    refused.labels("b").value += 1
    assert values(metrics.snapshot(), "refused_total") == {("a",): 3.0, ("b",): 1.0}


def test_a_gauge_is_set(metrics):
    gauge = metrics.gauge("open_connections", "Open.").labels()
    gauge.set(7)
    gauge.add(-2)
    assert values(metrics.snapshot(), "open_connections") == {(): 5.0}


def test_a_histogram_counts_what_is_up_to_its_bounds(metrics):
    waits = metrics.histogram("waits_seconds", "Waits.", bounds=(0.1, 1.0)).labels()
    for value in (0.0, 0.1, 0.100001, 1.0, 5.0):
        waits.observe(value)
    (value,) = values(metrics.snapshot(), "waits_seconds").values()
    assert (value.counts, value.sum) == ((2, 2, 1), pytest.approx(6.200001))


def test_a_series_is_found_again(metrics):
    assert metrics.counter("a_total", "A.", ("x",)).labels("1") is metrics.counter("a_total", "A.", ("x",)).labels("1")


def test_a_series_is_forgotten(metrics):
    family = metrics.gauge("up", "Up.", ("instance",))
    family.labels("one").set(1)
    family.remove("one")
    family.remove("two")
    assert values(metrics.snapshot(), "up") == {}


def test_labels_must_be_as_many_as_their_names(metrics):
    with pytest.raises(ValueError, match="a_total has the labels"):
        metrics.counter("a_total", "A.", ("x", "y")).labels("1")


@pytest.mark.parametrize("name", ["", "A_total", "1_total", "a-b", "a.b", "a b", "_a", "a\n"])
def test_names_are_lower_case_words(metrics, name):
    with pytest.raises(ValueError, match="is not the name of a metric"):
        metrics.counter(name, "A.")


@pytest.mark.parametrize(
    "other",
    [
        lambda metrics: metrics.gauge("a_total", "A.", ("x",)),
        lambda metrics: metrics.counter("a_total", "A.", ("y",)),
        lambda metrics: metrics.histogram("a_total", "A.", ("x",)),
    ],
)
def test_a_name_is_taken_once(metrics, other):
    metrics.counter("a_total", "A.", ("x",))
    with pytest.raises(ValueError, match=r"a_total is .* already; it cannot be"):
        other(metrics)


def test_a_gauge_is_combined_in_one_way(metrics):
    metrics.gauge("a", "A.")
    with pytest.raises(ValueError, match="already"):
        metrics.gauge("a", "A.", combine="max")


@pytest.mark.parametrize("bounds", [(), (1.0, 1.0), (2.0, 1.0)])
def test_bounds_ascend(metrics, bounds):
    with pytest.raises(ValueError, match="must ascend"):
        metrics.histogram("a_seconds", "A.", bounds=bounds)


def test_what_is_too_much_is_counted_together_and_logged_once(metrics, few_series, caplog):
    caplog.set_level(logging.WARNING)
    family = metrics.counter("seen_total", "Seen.", ("who", "where"))
    for number in range(10):
        family.labels(str(number), "here").add()
    assert values(metrics.snapshot(), "seen_total") == {
        ("0", "here"): 1.0,
        ("1", "here"): 1.0,
        ("2", "here"): 1.0,
        ("other", "other"): 7.0,
    }
    (record,) = caplog.records
    assert record.getMessage() == "seen_total has 3 series; further ones are counted together"


def test_snapshots_travel_and_stay_as_they_are(metrics):
    counter = metrics.counter("a_total", "A.").labels()
    metrics.histogram("b_seconds", "B.").labels().observe(0.2)
    counter.add()
    snapshot = pickle.loads(pickle.dumps(metrics.snapshot()))  # noqa: S301 - our own
    counter.add()
    assert values(snapshot, "a_total") == {(): 1.0}
    assert [family.name for family in snapshot] == ["a_total", "b_seconds"]


def test_series_may_be_found_in_another_thread(metrics):
    """The next configuration is compiled in one, while this one is served and scraped."""
    family = metrics.counter("a_total", "A.", ("x",))
    is_over = threading.Event()

    def find():
        number = 0
        while not is_over.is_set():
            number += 1
            family.labels(str(number % 5000)).add(0)

    thread = threading.Thread(target=find)
    thread.start()
    try:
        for _ in range(200):
            family.snapshot()
    finally:
        is_over.set()
        thread.join()


# Several.


def counted(name="a_total", **amounts):
    made = Metrics()
    family = made.counter(name, "A.", ("x",))
    for label, amount in amounts.items():
        family.labels(label).add(amount)
    return made.snapshot()


def test_counters_are_added_up():
    merged = merge_metrics([counted(one=1, two=2), counted(two=3, three=4), counted("b_total", one=5)])
    assert values(merged, "a_total") == {("one",): 1.0, ("two",): 5.0, ("three",): 4.0}
    assert values(merged, "b_total") == {("one",): 5.0}
    assert merge_metrics([]) == []


def test_histograms_are_added_up():
    snapshots = []
    for value in (0.05, 0.5, 0.5):
        made = Metrics()
        made.histogram("a_seconds", "A.", bounds=(0.1, 1.0)).labels().observe(value)
        snapshots.append(made.snapshot())
    assert values(merge_metrics(snapshots), "a_seconds") == {(): HistogramValue(counts=(1, 2, 0), sum=1.05)}


def test_gauges_are_added_up_or_the_greatest_counts():
    snapshots = []
    for value in (2.0, 3.0, 1.0):
        made = Metrics()
        made.gauge("open", "Open.").labels().set(value)
        made.gauge("breaker_state", "State.", combine="max").labels().set(value)
        snapshots.append(made.snapshot())
    merged = merge_metrics(snapshots)
    assert values(merged, "open") == {(): 6.0}
    assert values(merged, "breaker_state") == {(): 3.0}


def test_what_is_described_differently_is_taken_from_the_first():
    one, other = Metrics(), Metrics()
    one.counter("a_total", "A.", ("x",)).labels("1").add()
    other.counter("a_total", "A.", ("x", "y")).labels("1", "2").add()
    assert values(merge_metrics([one.snapshot(), other.snapshot()]), "a_total") == {("1",): 1.0}


def test_what_is_too_much_together_is_counted_together(few_series):
    merged = merge_metrics([counted(a=1, b=1), counted(c=1, d=1), counted(e=1, a=1)])
    assert values(merged, "a_total") == {("a",): 2.0, ("b",): 1.0, ("c",): 1.0, ("other",): 2.0}


@given(st.lists(st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 1000)), max_size=5))
def test_nothing_is_lost_when_it_is_merged(amounts):
    merged = merge_metrics([counted(**each) for each in amounts])
    total = sum(value for family in merged for value in family.series.values() if isinstance(value, float))
    assert total == sum(sum(each.values()) for each in amounts)


def test_what_ended_leaves_its_counters():
    made = Metrics()
    made.counter("a_total", "A.").labels().add()
    made.gauge("b", "B.").labels().set(1)
    made.histogram("c_seconds", "C.").labels().observe(1)
    assert [family.name for family in lasting(made.snapshot())] == ["a_total", "c_seconds"]
