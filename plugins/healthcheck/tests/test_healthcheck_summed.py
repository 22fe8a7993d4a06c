"""Outlier detection over all workers: what none of them sees enough of alone."""

from __future__ import annotations

import pickle
from typing import Any, cast

import pytest

from gateway.interfaces import AttemptRecord
from gateway_healthcheck.passive import OutlierDetector
from gateway_healthcheck.summed import SummedDetector

pytestmark = pytest.mark.anyio


@pytest.fixture
def workers(config, context, directory, clock):
    """Make so many workers' detectors, and the one that sums up what they report."""

    def make(count: int = 3, **block: Any) -> tuple[SummedDetector, list[OutlierDetector]]:
        health = config({"passive": {}, **block})
        made = []
        for number in range(count):
            context.directory = directory.heard_from(f"worker {number}: observer")
            made.append(OutlierDetector(health, context, clock=clock))

        async def collect(key: str, *arguments: Any) -> Any:
            assert key == "attempts"
            return [pickle.loads(pickle.dumps(each.report(*arguments))) for each in made]  # noqa: S301 - made here

        context.directory, context.collect = directory.heard_from("control"), collect
        return SummedDetector(health, context, clock=clock), made

    return make


def finish(detector, instance, status, times=1, duration_s=0.01):
    for _ in range(times):
        attempt = AttemptRecord(instance=instance, status=status, error=None, duration_s=duration_s)
        detector.attempt_finished(cast("Any", None), attempt)


async def test_failures_in_a_row_are_counted_over_all_workers(workers, instances, directory):
    control, (a, b, c) = workers()
    one, _ = instances(2)
    finish(a, one, 500, 2)
    finish(b, one, 500, 2)
    await control.look()
    assert one.is_healthy
    finish(c, one, 500)
    await control.look()
    assert not one.is_healthy
    (mark,) = directory.marks(one).values()
    assert mark.reason == "ejected: 5 errors in a row, in all workers; for 30 s"


async def test_a_success_anywhere_ends_the_row_there(workers, instances):
    control, (a, b, _) = workers()
    one, _ = instances(2)
    finish(a, one, 500, 4)
    finish(b, one, 500, 4)
    finish(b, one, 200)
    await control.look()
    assert one.is_healthy


async def test_what_one_worker_found_out_is_not_ejected_twice(workers, instances, directory, clock):
    control, (a, _, _) = workers()
    one, _ = instances(2)
    finish(a, one, 500, 5)
    await control.look()
    assert list(directory.marks(one)) == ["worker 0: observer"]


async def test_when_it_is_back_it_begins_anew(workers, instances, clock):
    control, (a, b, _) = workers()
    one, _ = instances(2)
    finish(a, one, 500, 3)
    finish(b, one, 500, 3)
    await control.look()
    assert not one.is_healthy
    await control.look()
    clock.advance(31)
    await control.look()
    await control.look()
    assert one.is_healthy


async def test_requests_are_compared_over_all_workers(workers, instances, clock):
    """A hundred are needed of each instance; no worker has so many."""
    control, made = workers(4, passive={"interval": 10, "consecutive5xx": 0, "consecutiveGatewayErrors": 0})
    everybody = instances(6)
    await control.look()
    for each in everybody:
        for worker in made:
            for _ in range(20):
                finish(worker, each, 200)
                finish(worker, each, 500 if each is everybody[2] else 200)
    for _ in range(4):
        clock.advance(5)
        await control.look()
    assert [each for each in everybody if not each.is_healthy] == [everybody[2]]


async def test_one_process_needs_no_sum(workers, instances):
    """Its own detector has seen everything already."""
    control, (alone,) = workers(1, passive={"maxEjectionPercent": 0})
    one, _ = instances(2)
    finish(alone, one, 500, 4)
    await control.look()
    finish(alone, one, 500)
    assert not one.is_healthy
    assert not control._records


async def test_reports_are_small_and_only_once(workers, instances):
    _, (a, *_) = workers()
    one, two = instances(2)
    finish(a, one, 200, 10)
    finish(a, two, 500)
    failing, everybody = False, True
    assert [row[0][3] for row in a.report(failing)] == [two.endpoint.port]
    assert {row[1:3] for row in a.report(everybody)} == {(10, 0), (1, 1)}
    assert [row[1] for row in a.report(everybody)] == [0]


async def test_an_instance_that_is_gone_is_nobodys(workers, instances, directory):
    control, (a, b, _) = workers()
    one, _ = instances(2)
    finish(a, one, 500, 3)
    finish(b, one, 500, 3)
    directory.publish("orders", {})
    await control.look()
    assert one.is_healthy
