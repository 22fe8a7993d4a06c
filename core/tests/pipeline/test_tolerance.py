from __future__ import annotations

import asyncio

import pytest

from gateway import ErrorType, GatewayError, Response, Stage

pytestmark = pytest.mark.anyio


async def test_a_policy_that_fails_before_the_next_one_ran_is_skipped(gateway, place, policy_of, caplog):
    async def fail(exchange, call_next):
        raise ConnectionError("redis is down")

    exchange = await gateway.ask(place(policy_of(fail), name="cache", is_optional=True))
    assert exchange.response.body == b"from the service"
    assert len(gateway.service.asked) == 1
    assert "policy 'cache' failed and was skipped" in caplog.text
    assert "redis is down" in caplog.text


async def test_a_policy_that_fails_after_the_next_one_ran_is_never_repeated(gateway, place, policy_of, caplog):
    """A POST must not reach a service twice."""

    async def fail(exchange, call_next):
        await call_next(exchange)
        raise ConnectionError("redis is down")

    exchange = await gateway.ask(place(policy_of(fail), is_optional=True))
    assert exchange.response.status == 500
    assert len(gateway.service.asked) == 1


async def test_a_failure_further_in_is_not_this_policys(gateway, place, policy_of, caplog):
    async def pass_on(exchange, call_next):
        return await call_next(exchange)

    def explode(exchange):
        raise KeyError("bug")

    gateway.service.answer = explode
    exchange = await gateway.ask(place(policy_of(pass_on), is_optional=True))
    assert exchange.response.status == 500
    assert len(gateway.service.asked) == 1


async def test_a_refusal_is_not_a_failure(gateway, place, policy_of):
    async def refuse(exchange, call_next):
        raise GatewayError(ErrorType.FORBIDDEN, "no")

    exchange = await gateway.ask(place(policy_of(refuse), is_optional=True))
    assert exchange.response.status == 403
    assert gateway.service.asked == []


async def test_a_cancellation_passes(gateway, place, policy_of):
    async def wait(exchange, call_next):
        await asyncio.Event().wait()

    compiled = gateway.compile(place(policy_of(wait), is_optional=True))
    asking = asyncio.ensure_future(gateway.ask(compiled=compiled))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert gateway.service.asked == []


async def test_every_attempt_of_a_retry_is_judged_by_itself(gateway, place, policy_of, caplog):
    """The first attempt reached the service; that must not keep the second from skipping the policy."""
    runs = []

    async def fail_at_second(exchange, call_next):
        runs.append(1)
        if len(runs) == 2:
            raise ConnectionError("redis is down")
        return await call_next(exchange)

    async def retry(exchange, call_next):
        response = await call_next(exchange)
        return response if response.status == 200 else await call_next(exchange)

    def first_503(exchange):
        return Response(503 if len(gateway.service.asked) == 1 else 200)

    gateway.service.answer = first_503
    exchange = await gateway.ask(
        place(policy_of(retry), Stage.RETRY), place(policy_of(fail_at_second), Stage.ATTEMPT, is_optional=True)
    )
    assert exchange.response.status == 200
    assert len(gateway.service.asked) == 2


async def test_two_attempts_at_once_are_taken_the_careful_way(gateway, place, policy_of, caplog):
    """Nobody can tell which of them has reached the service, so neither is repeated."""
    go_on = asyncio.Event()
    runs = []

    async def second_fails_late(exchange, call_next):
        runs.append(1)
        if len(runs) == 2:
            await go_on.wait()
            raise ConnectionError("redis is down")
        await asyncio.sleep(0)
        response = await call_next(exchange)
        go_on.set()
        return response

    async def hedge(exchange, call_next):
        both = await asyncio.gather(call_next(exchange), call_next(exchange), return_exceptions=True)
        return Response.text(" ".join(type(each).__name__ for each in both))

    exchange = await gateway.ask(
        place(policy_of(hedge), Stage.RETRY), place(policy_of(second_fails_late), Stage.ATTEMPT, is_optional=True)
    )
    assert exchange.response.body == b"Response ConnectionError"
    assert len(gateway.service.asked) == 1
