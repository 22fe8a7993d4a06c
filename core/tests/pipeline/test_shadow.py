"""``mode: shadow``: what decides is asked and recorded, and every request passes as if it were not there."""

from __future__ import annotations

import logging

import pytest

from gateway import ErrorType, GatewayError, Response, Stage
from gateway.metrics import Metrics
from gateway.pipeline.shadow import SHADOW_STATE, ShadowRecord

pytestmark = pytest.mark.anyio


class Guard:
    """A policy made of a function ``(exchange, call_next)``."""

    waits = False

    def __init__(self, decide) -> None:
        self.decide = decide

    def wrap(self, further_in, route):
        async def handler(exchange):
            return await self.decide(exchange, further_in)

        return handler


@pytest.fixture
def watched(place, shadow_record):
    def make(decide):
        return place(Guard(decide), Stage.AUTHORIZE, name="guard", shadow=shadow_record)

    return make


def decisions(metrics: Metrics) -> dict[str, float]:
    """Return how often what was recorded."""
    (family,) = [family for family in metrics.snapshot() if family.name == "gateway_shadow_decisions_total"]
    return {labels[2]: value for labels, value in family.series.items() if isinstance(value, float)}


async def refuse(exchange, call_next):
    raise GatewayError(ErrorType.FORBIDDEN, "no", detail="it is Tuesday")


async def test_a_refusal_is_recorded_and_the_request_passes(gateway, watched, metrics, caplog):
    caplog.set_level(logging.INFO, "gateway.shadow")
    exchange = await gateway.ask(watched(refuse))
    assert exchange.response.body == b"from the service"
    assert exchange.error is None
    assert decisions(metrics) == {"refuse 403": 1}
    assert exchange.state[SHADOW_STATE] == ["guard: refuse 403"]
    (record,) = caplog.records
    assert record.getMessage() == "guard would refuse 403: it is Tuesday"
    assert (record.request_id, record.route) == ("r-1", "orders")


async def test_an_answer_of_its_own_is_recorded_and_not_given(gateway, watched, metrics):
    async def answer(exchange, call_next):
        return Response(204)

    exchange = await gateway.ask(watched(answer))
    assert exchange.response.body == b"from the service"
    assert decisions(metrics) == {"answer 204": 1}


async def test_a_failure_is_recorded_and_harms_nobody(gateway, watched, metrics):
    async def fail(exchange, call_next):
        raise ZeroDivisionError

    assert (await gateway.ask(watched(fail))).response.status == 200
    assert decisions(metrics) == {"fail": 1}


async def test_who_lets_pass_decides_nothing(gateway, watched, metrics):
    async def let_pass(exchange, call_next):
        return await call_next(exchange)

    assert (await gateway.ask(watched(let_pass))).response.status == 200
    assert decisions(metrics) == {}


async def test_it_sees_what_really_happens_further_in(gateway, watched, metrics):
    """As a circuit breaker must, to know when it would open."""
    seen = []

    async def look(exchange, call_next):
        response = await call_next(exchange)
        seen.append(response.status)
        return Response(503)

    gateway.service.answer = lambda exchange: Response(500)
    assert (await gateway.ask(watched(look))).response.status == 500
    assert seen == [500]
    assert decisions(metrics) == {"answer 503": 1}


async def test_errors_from_further_in_stay_what_they_are(gateway, watched, metrics):
    async def swallow(exchange, call_next):
        with pytest.raises(GatewayError):
            await call_next(exchange)
        return Response(200)

    def down(exchange):
        raise GatewayError(ErrorType.BAD_GATEWAY, "down")

    gateway.service.answer = down
    assert (await gateway.ask(watched(swallow))).response.status == 502
    assert decisions(metrics) == {"answer 200": 1}


async def test_a_request_is_never_sent_twice(gateway, watched, metrics):
    async def again(exchange, call_next):
        await call_next(exchange)
        return await call_next(exchange)

    assert (await gateway.ask(watched(again))).response.status == 200
    assert len(gateway.service.asked) == 1
    assert decisions(metrics) == {"retry": 1}


async def test_what_it_does_to_the_response_nobody_sees(gateway, watched):
    async def spoil(exchange, call_next):
        response = await call_next(exchange)
        response.headers.add("x-added", "1")
        response.discard()
        return response

    exchange = await gateway.ask(watched(spoil))
    assert exchange.response.body == b"from the service"
    assert "x-added" not in exchange.response.headers


async def test_what_it_changes_of_the_request_nobody_sees(gateway, watched):
    async def change(exchange, call_next):
        exchange.request.headers.add("x-added", "1")
        exchange.request.query = "a=1"
        exchange.upstream_path = "/elsewhere"
        exchange.excluded = (object(),)
        return await call_next(exchange)

    seen = {}

    def note(exchange):
        seen.update(exchange.request.headers.items())
        seen["query"], seen["path"] = exchange.request.query, exchange.upstream_path
        seen["excluded"] = exchange.excluded
        return Response(200)

    gateway.service.answer = note
    await gateway.ask(watched(change))
    assert seen == {"query": "", "path": "/orders/1", "excluded": ()}


async def test_one_that_does_nothing_on_a_route_stays_free(gateway, place, shadow_record):
    class Idle:
        def wrap(self, further_in, route):
            return further_in

    compiled = gateway.compile(place(Idle(), Stage.AUTHORIZE, shadow=shadow_record))
    assert not compiled.needs_task


def test_one_record_serves_a_whole_gateway():
    metrics = Metrics()
    ShadowRecord(metrics)
    ShadowRecord(metrics)  # of the next configuration
    assert len(metrics.snapshot()) == 1
