from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway import Waiter

pytestmark = pytest.mark.anyio


async def test_a_task_gets_the_result():
    waiter: Waiter[str] = Waiter()

    async def wait() -> str:
        return await waiter

    task = asyncio.ensure_future(wait())
    await asyncio.sleep(0)
    waiter.set_result("here")
    assert await task == "here"
    assert waiter.is_done
    assert waiter.done()


async def test_a_result_that_is_there_already_costs_no_turn_of_the_loop():
    waiter: Waiter[str] = Waiter()
    waiter.set_result("here")
    with pytest.raises(StopIteration) as stopped:
        waiter.__await__().send(None)
    assert stopped.value.value == "here"


async def test_a_task_gets_the_error():
    waiter: Waiter[str] = Waiter()

    async def wait() -> str:
        return await waiter

    task = asyncio.ensure_future(wait())
    await asyncio.sleep(0)
    waiter.set_error(OSError("gone"))
    with pytest.raises(OSError, match="gone"):
        await task


async def test_a_cancelled_task_cancels_the_waiter():
    waiter: Waiter[str] = Waiter()

    async def wait() -> str:
        return await waiter

    task = asyncio.ensure_future(wait())
    await asyncio.sleep(0)
    task.cancel("enough")
    with pytest.raises(asyncio.CancelledError):
        await task
    assert waiter.is_done
    waiter.set_result("too late")
    with pytest.raises(asyncio.CancelledError, match="enough"):
        waiter.result()


async def test_a_task_that_is_cancelled_before_it_waits_does_not_wait():
    waiter: Waiter[str] = Waiter()

    async def wait() -> str:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            return await waiter
        return "never"

    task = asyncio.ensure_future(wait())
    await asyncio.sleep(0)
    task.cancel()
    task.cancel()
    await asyncio.sleep(0)
    waiter.set_result("here")
    assert await task == "here"


async def test_only_the_first_outcome_counts():
    waiter: Waiter[str] = Waiter()
    waiter.set_result("first")
    waiter.set_result("second")
    waiter.set_error(OSError())
    assert not waiter.cancel()
    assert waiter.result() == "first"


async def test_a_time_limit_works_on_it():
    waiter: Waiter[str] = Waiter()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await waiter
    assert waiter.is_done


async def test_it_resumes_an_exchange_at_once():
    waiter: Waiter[str] = Waiter()
    resumed: list[str] = []
    waiter.resume = lambda: resumed.append("resumed")
    waiter.set_result("x")
    assert resumed == ["resumed"]
    assert waiter.resume is None


async def test_asyncio_takes_it_for_a_future():
    waiter: Any = Waiter()  # a future by protocol, not by class
    assert asyncio.isfuture(waiter)
    asyncio.get_running_loop().call_soon(waiter.set_result, "x")
    done, _ = await asyncio.wait([waiter])
    assert done == {waiter}


async def test_cancelling_without_a_message():
    waiter: Waiter[str] = Waiter()
    assert waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter


async def test_asyncio_can_wait_for_it():
    waiter: Waiter[str] = Waiter()
    asyncio.get_running_loop().call_soon(waiter.set_result, "x")
    assert await asyncio.wait_for(waiter, 30) == "x"
