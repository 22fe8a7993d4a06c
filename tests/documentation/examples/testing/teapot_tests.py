"""The tests that docs/how-to/test-a-plugin.md shows."""

import asyncio

import pytest
from gateway_teapot.plugin import teapot

from gateway import ErrorType, GatewayError, Headers, Request
from gateway.testing import PolicyContract, Reply, run_policy

pytestmark = pytest.mark.anyio

COFFEE = {"accept": "text/coffee"}


async def test_coffee_is_refused_and_reaches_nobody():
    coffee = Request("GET", "/", headers=Headers.of(COFFEE.items()))
    run = await run_policy(teapot, coffee)
    assert (run.status, run.body) == (418, b"short and stout")
    assert not run.requests


async def test_a_failing_service_is_not_our_affair():
    run = await run_policy(teapot, service=GatewayError(ErrorType.BAD_GATEWAY, "no kettle"))
    assert run.status == 502


async def test_a_thousand_guests_get_tea(client_factory):
    client = await client_factory({"plugins": {"teapot": {}}})
    client.answer = lambda request: Reply(body=f"tea for {request.target}")
    answers = await asyncio.gather(*(client.ask("GET", f"/{number}") for number in range(1000)))
    assert [answer.text for answer in answers] == [f"tea for /{number}" for number in range(1000)]


async def test_a_rule_may_have_another_drink(gateway_factory, upstream):
    rule = {"plugins": {"teapot": {"drink": "text/cocoa"}}}
    gateway = await gateway_factory({"plugins": {"teapot": {}}}, upstream=upstream, rule=rule)
    assert (await gateway.ask("GET", "/", headers=COFFEE)).status == 200
    upstream.answer = lambda request: Reply(drop=True, body=b"")
    assert (await gateway.ask("GET", "/")).status == 502


class TestTeapot(PolicyContract):
    plugin = "gateway_teapot.plugin"

    def config(self):
        return {"drink": "text/coffee"}
