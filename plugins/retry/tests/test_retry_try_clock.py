"""How long one try may take."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from gateway import Body, Exchange, GatewayError, Request, Response, Waiter
from gateway_retry.try_clock import TryClock

pytestmark = pytest.mark.anyio


def exchange():
    return Exchange(Request("GET", "/"), cast("Any", None))


async def never_ends(*_: object) -> Response:
    await asyncio.sleep(9)
    raise AssertionError


async def test_a_try_is_cut_whatever_it_waits_for():
    clock = TryClock(0.02)

    async def waiter(exchange):
        return await Waiter()

    async def future(exchange):
        return await asyncio.get_running_loop().create_future()

    async def task(exchange):
        return await asyncio.get_running_loop().create_task(asyncio.sleep(9))

    handlers: list[Any] = [waiter, future, task, never_ends]
    for handler in handlers:
        with pytest.raises(GatewayError, match="did not answer within"):
            await clock.run(handler, exchange())
    assert clock._running == {}


async def test_what_is_quick_enough_is_not_cut():
    clock = TryClock(0.05)

    async def quick(exchange):
        await asyncio.sleep(0)
        return Response()

    async def broken(exchange):
        await asyncio.sleep(0.001)
        raise ValueError("broken")

    for _ in range(3):
        assert (await clock.run(quick, exchange())).status == 200
    with pytest.raises(ValueError, match="broken"):
        await clock.run(broken, exchange())
    assert clock._running == {}
    clock.close()


async def test_many_tries_are_cut_in_order():
    clock = TryClock(0.05)

    async def one(after_s):
        await asyncio.sleep(after_s)
        began = asyncio.get_running_loop().time()
        with pytest.raises(GatewayError):
            await clock.run(never_ends, exchange())
        return asyncio.get_running_loop().time() - began

    took = await asyncio.gather(*(one(number / 200) for number in range(20)))
    assert all(0.045 < each < 5 for each in took)


async def test_the_time_that_a_client_takes_to_send_does_not_count():
    clock, uploading = TryClock(0.02), exchange()
    body = uploading.request.body = Body(cast("Any", object()))

    async def slow(exchange):
        await asyncio.sleep(0.1)
        body.end()
        return await never_ends()

    began_s = asyncio.get_running_loop().time()
    with pytest.raises(GatewayError, match="did not answer within"):
        await clock.run(slow, uploading)
    assert asyncio.get_running_loop().time() - began_s > 0.1


async def test_a_cancellation_is_no_deadline():
    clock = TryClock(9)
    running = asyncio.ensure_future(clock.run(never_ends, exchange()))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert clock._running == {}
    clock.close()
