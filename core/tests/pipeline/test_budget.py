"""``latencyBudget`` and ``quarantine``."""

from __future__ import annotations

import json
import logging

import pytest

from gateway import ErrorType, GatewayError, Response, Stage
from gateway.metrics import Metrics
from gateway.pipeline.budget import Budgets, Quarantine
from gateway.testing.clock import ManualClock

pytestmark = pytest.mark.anyio

TWICE = Quarantine(failures=2, within_s=60, rest_s=300)


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def metrics():
    return Metrics()


@pytest.fixture
def budgets(metrics, clock):
    return Budgets(metrics, clock)


@pytest.fixture
def measured(metrics):
    """Return a function that returns what is counted: overruns, failures, and what is put aside."""

    def read():
        families = {family.name: family.series for family in metrics.snapshot()}
        names = ("overruns_total", "failures_total", "quarantined")
        return tuple(families[f"gateway_policy_{name}"].get(("slow",), 0) for name in names)

    return read


async def test_only_what_the_policy_itself_takes_counts(gateway, place, policy_of, budgets, clock, measured):
    async def before_and_after(exchange, call_next):
        clock.advance(0.002)
        response = await call_next(exchange)
        clock.advance(0.002)
        return response

    def slow_service(exchange):
        clock.advance(10)
        return Response.text("late")

    gateway.service.answer = slow_service
    await gateway.ask(place(budgets.watched("slow", policy_of(before_and_after), budget_s=0.005)))
    assert measured() == (0, 0, 0)
    await gateway.ask(place(budgets.watched("slow", policy_of(before_and_after), budget_s=0.003)))
    assert measured() == (1, 0, 0)


async def test_each_run_of_a_retry_counts_for_itself(gateway, place, policy_of, budgets, clock, measured):
    async def twice(exchange, call_next):
        await call_next(exchange)
        return await call_next(exchange)

    async def slow(exchange, call_next):
        clock.advance(0.003)
        return await call_next(exchange)

    await gateway.ask(
        place(budgets.watched("retry", policy_of(twice), budget_s=0.001), name="retry", stage=Stage.RETRY),
        place(budgets.watched("slow", policy_of(slow), budget_s=0.002), name="slow", stage=Stage.ATTEMPT),
    )
    assert measured() == (2, 0, 0)


async def test_a_policy_that_keeps_failing_is_left_out_and_tried_again(
    gateway, place, policy_of, budgets, clock, measured, caplog
):
    caplog.set_level(logging.INFO)

    async def fail(exchange, call_next):
        raise ConnectionError("redis is down")

    watched = place(budgets.watched("slow", policy_of(fail), quarantine=TWICE))
    statuses = [(await gateway.ask(watched)).response.status for _ in range(4)]
    assert statuses == [500, 500, 200, 200]
    assert measured() == (0, 2, 1)
    said = [record.message for record in caplog.records if "left out" in record.message]
    assert said == ["policy 'slow' failed or overran its budget 2 times within 60 s and is left out for 300 s"]

    clock.advance(300)
    assert (await gateway.ask(watched)).response.status == 500
    assert measured() == (0, 3, 0)
    assert "policy 'slow' is tried again" in caplog.text


async def test_failures_that_are_far_apart_are_forgiven(gateway, place, policy_of, budgets, clock, measured):
    async def fail(exchange, call_next):
        raise ConnectionError("redis is down")

    watched = place(budgets.watched("slow", policy_of(fail), quarantine=TWICE))
    for _ in range(4):
        await gateway.ask(watched)
        clock.advance(61)
    assert measured() == (0, 4, 0)


async def test_overruns_count_like_failures(gateway, place, policy_of, budgets, clock, measured):
    async def slow(exchange, call_next):
        clock.advance(1)
        return await call_next(exchange)

    watched = place(budgets.watched("slow", policy_of(slow), budget_s=0.5, quarantine=TWICE))
    for _ in range(3):
        assert (await gateway.ask(watched)).response.status == 200
    assert measured() == (2, 0, 1)


async def test_refusals_and_failures_further_in_are_not_the_policys(gateway, place, policy_of, budgets, measured):
    async def refuse(exchange, call_next):
        raise GatewayError(ErrorType.FORBIDDEN, "no")

    async def pass_on(exchange, call_next):
        return await call_next(exchange)

    def explode(exchange):
        raise KeyError("a bug of somebody else")

    for _ in range(3):
        await gateway.ask(place(budgets.watched("slow", policy_of(refuse), quarantine=TWICE)))
    gateway.service.answer = explode
    for _ in range(3):
        await gateway.ask(place(budgets.watched("slow", policy_of(pass_on), quarantine=TWICE)))
    assert measured() == (0, 0, 0)


async def test_a_policy_that_does_nothing_on_the_route_stays_free(budgets):
    class Nothing:
        waits = False

        def wrap(self, call_next, route):
            return call_next

    watched = budgets.watched("slow", Nothing(), budget_s=1)

    async def service(exchange):
        raise AssertionError

    assert watched.wrap(service, None) is service
    assert watched.waits is False


async def test_another_configuration_begins_anew(metrics, clock, gateway, place, policy_of, measured):
    async def fail(exchange, call_next):
        raise ConnectionError("redis is down")

    watched = place(Budgets(metrics, clock).watched("slow", policy_of(fail), quarantine=TWICE))
    for _ in range(2):
        await gateway.ask(watched)
    assert measured() == (0, 2, 1)
    Budgets(metrics, clock).watched("slow", policy_of(fail), quarantine=TWICE)
    assert measured() == (0, 2, 0)


FLAKY = '''
from gateway import policy


@policy
async def flaky(exchange, call_next):
    """Fails."""
    raise RuntimeError("again")
'''


async def test_a_whole_gateway_leaves_it_out_and_shows_it(gateway_factory, upstream, tmp_path):
    (tmp_path / "flaky.py").write_text(FLAKY)
    block = {"quarantine": {"failures": 2, "within": "1m", "for": "1h"}, "latencyBudget": "1s"}
    gateway = await gateway_factory(
        {"plugins": {"files": [str(tmp_path / "flaky.py")], "flaky": block}}, upstream=upstream
    )
    assert [(await gateway.ask("GET", "/")).status for _ in range(3)] == [500, 500, 200]

    token = {"authorization": "Bearer a-token-for-tests"}
    answer = await gateway.ask("GET", "/_gateway/plugins", headers=token)
    plugins = {plugin["name"]: plugin for plugin in json.loads(answer.body)["plugins"]}
    (offer,) = plugins["flaky"]["offers"]
    assert offer["budget"] == {"overruns": 0, "failures": 2, "quarantinedWorkers": 1}
    assert offer["place"] == {"stage": "transform", "number": 1, "why": "by name"}
    assert plugins["http"]["offers"][0]["budget"] is None
