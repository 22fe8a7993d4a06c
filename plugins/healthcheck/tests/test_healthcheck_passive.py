"""Outlier detection, against the defaults and rules of Envoy."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import ErrorType, GatewayError
from gateway.interfaces import AttemptRecord
from gateway_healthcheck.outliers import low_success_rates, slow_ones
from gateway_healthcheck.passive import NobodyWatches, OutlierDetector


@pytest.fixture
def detector(config, context, clock):
    def make(**block: Any) -> OutlierDetector:
        return OutlierDetector(config({"passive": {}, **block}), context, clock=clock)

    return make


def finish(detector, instance, outcome, times=1, duration_s=0.01):
    status = outcome if isinstance(outcome, int) else None
    error = None if isinstance(outcome, int) else outcome
    for _ in range(times):
        attempt = AttemptRecord(instance=instance, status=status, error=error, duration_s=duration_s)
        detector.attempt_finished(cast("Any", None), attempt)


def counted(context, name) -> Any:
    return next(dict(family.series) for family in context.metrics.snapshot() if family.name == name)


def test_failures_in_a_row_eject(detector, instances, context):
    detector, (one, _) = detector(), instances(2)
    finish(detector, one, 500, 4)
    finish(detector, one, 404)
    finish(detector, one, 500, 4)
    assert one.is_healthy
    finish(detector, one, 500)
    assert not one.is_healthy
    (mark,) = context.directory.marks(one).values()
    assert mark.reason == "ejected: 5 errors in a row; for 30 s"
    assert counted(context, "gateway_health_ejections_total") == {("orders", "errors"): 1.0}
    assert counted(context, "gateway_health_ejected_instances") == {("orders",): 1.0}


@pytest.mark.parametrize(
    "outcome",
    [
        502,
        503,
        504,
        ConnectionResetError(),
        GatewayError(ErrorType.BAD_GATEWAY, ""),
        GatewayError(ErrorType.UPSTREAM_TIMEOUT, ""),
    ],
)
def test_gateway_errors_are_counted_apart(detector, instances, context, outcome):
    detector, (one, _) = detector(passive={"consecutive5xx": 0, "consecutiveGatewayErrors": 3}), instances(2)
    finish(detector, one, outcome, 2)
    finish(detector, one, 500)
    finish(detector, one, outcome, 2)
    assert one.is_healthy
    finish(detector, one, outcome)
    assert not one.is_healthy
    assert counted(context, "gateway_health_ejections_total") == {("orders", "gateway_errors"): 1.0}


@pytest.mark.parametrize(
    "error", [asyncio.CancelledError(), GatewayError(ErrorType.TIMEOUT, ""), ValueError("a plugin's bug")]
)
def test_what_is_not_the_instances_fault_does_not_count(detector, instances, error):
    detector, (one, _) = detector(), instances(2)
    finish(detector, one, error, 20)
    assert one.is_healthy


@pytest.mark.parametrize("status", [500, 503])
def test_thresholds_of_0_are_off(detector, instances, status):
    detector, (one, _) = detector(passive={"consecutive5xx": 0, "consecutiveGatewayErrors": 0}), instances(2)
    finish(detector, one, status, 50)
    assert one.is_healthy


def test_each_ejection_lasts_longer_up_to_a_limit(detector, instances, clock):
    detector = detector(passive={"ejectionTime": 10, "maxEjectionTime": 25, "interval": 1000})
    one, _ = instances(2)
    for lasts_s in (10, 20, 25, 25):
        finish(detector, one, 500, 5)
        clock.advance(lasts_s - 0.1)
        detector.tick()
        assert not one.is_healthy
        clock.advance(0.1)
        detector.tick()
        assert one.is_healthy


@pytest.mark.anyio
async def test_an_ejection_outlives_a_reload_and_ends_in_time(detector, instances, clock, context):
    """The detector of the former configuration stood up for it alone, and left the instance out for ever."""
    one, _ = instances(2)
    before = detector()
    finish(before, one, 500, 5)
    async with detector(passive={"ejectionTime": 10}) as after:
        after.tick()
        await before.__aexit__(None, None, None)
        clock.advance(29)
        after.tick()
        assert not one.is_healthy
        clock.advance(1)
        after.tick()
        assert one.is_healthy
        assert counted(context, "gateway_health_ejected_instances") == {("orders",): 0.0}
        finish(after, one, 500, 5)
        (mark,) = context.directory.marks(one).values()
        assert mark.reason == "ejected: 5 errors in a row; for 20 s"  # the second time, by the new configuration


@pytest.mark.anyio
async def test_an_ejection_by_two_configurations_is_counted_down_by_both(detector, instances, clock, context):
    """Streams keep the former one at work beside the next."""
    one, _ = instances(2)
    block = {"passive": {"ejectionTime": 10}, "slowStart": {"window": 60}}
    before, after = detector(**block), detector(**block)
    finish(after, one, 500, 5)
    clock.advance(10)
    after.tick()  # one is back, but its share is small yet
    finish(before, one, 500, 5)
    await before.__aexit__(None, None, None)
    after.tick()
    assert one.is_healthy
    assert counted(context, "gateway_health_ejected_instances") == {("orders",): 0.0}


@pytest.mark.anyio
async def test_an_ejection_ends_when_a_service_is_not_watched_any_more(detector, instances):
    one, _ = instances(2)
    before, after = detector(), detector(services={"orders": {"passive": False}})
    finish(before, one, 500, 5)
    await before.__aexit__(None, None, None)
    after.tick()
    assert one.is_healthy


@pytest.mark.anyio
async def test_an_ejection_ends_when_nobody_watches_any_more(detector, instances, context):
    one, _ = instances(2)
    before, nobody = detector(), NobodyWatches(context)
    finish(before, one, 500, 5)
    nobody.tick()
    assert not one.is_healthy
    await before.__aexit__(None, None, None)
    nobody.tick()
    assert one.is_healthy
    assert counted(context, "gateway_health_ejected_instances") == {("orders",): 0.0}


def test_a_clock_that_jumps_does_no_lasting_harm(detector, instances, clock):
    detector = detector(passive={"ejectionTime": 10})
    one, _ = instances(2)
    detector.tick()
    finish(detector, one, 500, 5)
    clock.advance(-3600)
    detector.tick()
    assert not one.is_healthy
    clock.advance(3600 + 10)
    detector.tick()
    assert one.is_healthy
    finish(detector, one, 500, 5)
    clock.advance(86400)
    detector.tick()
    assert one.is_healthy


def test_an_instance_that_flaps_ten_times_a_second_stays_out_longer_and_longer(detector, instances, clock):
    detector = detector(passive={"ejectionTime": 1, "maxEjectionTime": 60, "interval": 60})
    one, _ = instances(2)
    changes, was_healthy = 0, True
    for step in range(600):  # a minute; it works in every other tenth of a second
        finish(detector, one, 200 if step % 2 else 500, 10 if one.is_healthy else 0)
        detector.tick()
        changes += one.is_healthy != was_healthy
        was_healthy = one.is_healthy
        clock.advance(0.1)
    assert changes <= 22


def test_ejections_are_forgotten_interval_by_interval(detector, instances, clock):
    detector = detector(passive={"ejectionTime": 10, "interval": 10})
    one, _ = instances(2)
    detector.tick()
    finish(detector, one, 500, 5)
    for _ in range(4):  # one that it is out in, one that the ejection is forgotten in
        clock.advance(10)
        detector.tick()
    finish(detector, one, 500, 5)
    clock.advance(10)
    detector.tick()
    assert one.is_healthy


def test_only_some_may_be_out_at_once_but_one_always(detector, instances, context):
    detector = detector()
    everybody = instances(30)
    for each in everybody:
        finish(detector, each, 500, 5)
    assert sum(not each.is_healthy for each in everybody) == 3
    assert counted(context, "gateway_health_ejections_spared_total") == {("orders",): 27.0}
    few = instances(3, service="users", port=100)
    for each in few:
        finish(detector, each, 500, 5)
    assert sum(not each.is_healthy for each in few) == 1


def test_the_last_one_stays(detector, instances):
    detector, (only,) = detector(passive={"maxEjectionPercent": 100}), instances(1)
    finish(detector, only, 500, 50)
    assert only.is_healthy


def test_what_another_worker_ejected_counts(detector, instances, directory):
    detector, (one, two, _) = detector(), instances(3)
    directory.mark(one, is_healthy=False, reason="ejected: by another", source="worker 2")
    finish(detector, two, 500, 5)
    assert two.is_healthy


def test_active_checks_and_ejections_do_not_undo_each_other(detector, instances, directory, clock):
    detector, (one, _, _) = detector(), instances(3)
    finish(detector, one, 500, 5)
    directory.heard_from("active").mark(one, is_healthy=True, reason="200")
    assert not one.is_healthy
    directory.heard_from("active").mark(one, is_healthy=False, reason="500")
    clock.advance(31)
    detector.tick()
    assert not one.is_healthy
    directory.heard_from("active").mark(one, is_healthy=True, reason="200")
    assert one.is_healthy


def test_below_the_panic_threshold_nothing_is_ejected(detector, instances, directory):
    detector = detector(passive={"maxEjectionPercent": 100}, panicThreshold=50)
    everybody = instances(4)
    for each in everybody:
        finish(detector, each, 500, 5)
    assert sum(each.is_healthy for each in everybody) == 2
    # Active checks find more that do not work: the ejected ones come back.
    directory.heard_from("active").mark(next(e for e in everybody if e.is_healthy), is_healthy=False, reason="500")
    detector.tick()
    assert sum(each.is_healthy for each in everybody) >= 2


def test_a_low_success_rate_ejects(detector, instances, clock, context):
    detector, everybody = detector(), instances(10)
    detector.tick()
    for each in everybody:
        for _ in range(50):
            finish(detector, each, 200)
            finish(detector, each, 500 if each is everybody[3] else 200)
    clock.advance(5)
    detector.tick()
    assert all(each.is_healthy for each in everybody)
    clock.advance(6)
    detector.tick()
    clock.advance(10)
    detector.tick()
    assert [each for each in everybody if not each.is_healthy] == [everybody[3]]
    assert counted(context, "gateway_health_ejections_total") == {("orders", "success_rate"): 1.0}


@pytest.mark.parametrize(("count", "requests"), [(4, 200), (10, 99)])
def test_few_instances_or_requests_are_not_compared(detector, instances, clock, count, requests):
    detector, everybody = detector(passive={"consecutive5xx": 0, "consecutiveGatewayErrors": 0}), instances(count)
    for each in everybody:
        finish(detector, each, 500 if each is everybody[0] else 200, requests)
    for _ in range(3):
        clock.advance(10)
        detector.tick()
    assert all(each.is_healthy for each in everybody)


def test_slow_answers_eject_if_wanted(detector, instances, clock, context):
    detector, everybody = detector(passive={"latencyFactor": 3}), instances(6)
    detector.tick()
    for each in everybody:
        finish(detector, each, 200, 100, duration_s=0.5 if each is everybody[2] else 0.1)
    for _ in range(2):
        clock.advance(10)
        detector.tick()
    assert [each for each in everybody if not each.is_healthy] == [everybody[2]]
    assert counted(context, "gateway_health_ejections_total") == {("orders", "latency"): 1.0}


def test_after_an_ejection_comes_a_slow_start(detector, instances, clock):
    detector, (one, two) = detector(slowStart={"window": 10}), instances(2)
    finish(detector, one, 500, 5)
    clock.advance(30)
    detector.tick()
    assert (one.is_healthy, one.share_percent, one.weight, two.weight) == (True, 10, 10, 100)
    clock.advance(5)
    detector.tick()
    assert one.share_percent == 50
    clock.advance(5)
    detector.tick()
    assert (one.share_percent, one.weight) == (100, 1)


def test_instances_that_are_gone_are_forgotten(detector, instances, directory, clock, context):
    detector = detector()
    for port in range(1, 500, 5):
        for each in instances(2, port=port):
            finish(detector, each, 500, 5)
        clock.advance(11)
        detector.tick()
        clock.advance(11)
        detector.tick()
    assert len(detector._records) <= 4
    assert counted(context, "gateway_health_ejected_instances")[("orders",)] <= 1


def test_a_service_may_be_left_alone(detector, instances):
    detector, (one, _) = detector(services={"orders": {"passive": False}}), instances(2)
    finish(detector, one, 500, 50)
    assert one.is_healthy


# Outliers.


def test_all_alike_are_no_outliers():
    assert low_success_rates(dict.fromkeys("abcdef", 0.1), 1.9) == []
    assert slow_ones(dict.fromkeys("abcdef", 9.0), 1.5) == []


@given(st.dictionaries(st.integers(), st.floats(0, 1), min_size=5, max_size=30))
def test_outliers_are_a_minority_below_the_mean(rates):
    """At most 1 / (1 + 1.9 ** 2) of them can be so far below (Cantelli's inequality)."""
    found = low_success_rates(rates, 1.9)
    assert len(found) <= len(rates) / (1 + 1.9**2) + 1e-9
    assert all(rates[each] < sum(rates.values()) / len(rates) for each in found)


def test_where_nobody_watches_no_records_of_attempts_are_made(context):
    assert not hasattr(NobodyWatches(context), "attempt_finished"), "whoever has it is told of each attempt"
