"""Calls that block: the event loop goes on, every call has a deadline, and what hangs cannot pile up."""

import asyncio
import threading

import pytest

from gateway.blocking import MAX_STUCK, BlockingCalls, StuckCallsError

pytestmark = pytest.mark.anyio


@pytest.fixture
def hanging():
    """Give a call that hangs until the test is over."""
    over = threading.Event()
    yield over.wait
    over.set()


async def test_what_a_call_returns_and_raises_comes_back():
    calls = BlockingCalls("test")
    assert await calls.run(lambda: 7, 5) == 7
    with pytest.raises(ZeroDivisionError):
        await calls.run(lambda: 1 // 0, 5)


async def test_it_runs_elsewhere_and_does_not_keep_the_program_from_ending():
    thread = await BlockingCalls("test").run(threading.current_thread, 5)
    assert thread is not threading.current_thread()
    assert (thread.name, thread.daemon) == ("test", True)


async def test_a_call_that_takes_too_long_is_given_up(hanging):
    given_up = []
    with pytest.raises(TimeoutError):
        await BlockingCalls("test").run(hanging, 0.01, lambda: given_up.append(True))
    assert given_up == [True]


async def test_so_is_one_that_nobody_waits_for_any_more(hanging):
    given_up = []
    running = asyncio.ensure_future(BlockingCalls("test").run(hanging, 60, lambda: given_up.append(True)))
    await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
    assert given_up == [True]


async def test_calls_that_hang_do_not_pile_up(hanging):
    calls = BlockingCalls("test")
    for _ in range(MAX_STUCK):
        with pytest.raises(TimeoutError):
            await calls.run(hanging, 0.01)
    with pytest.raises(StuckCallsError, match="4 earlier calls still hang"):
        await calls.run(lambda: 7, 5)


async def test_when_they_end_there_is_room_again():
    calls, over = BlockingCalls("test"), threading.Event()
    for _ in range(MAX_STUCK):
        with pytest.raises(TimeoutError):
            await calls.run(over.wait, 0.01)
    over.set()
    async with asyncio.timeout(30):
        while True:
            try:
                assert await calls.run(lambda: 7, 5) == 7
                break
            except StuckCallsError:
                await asyncio.sleep(0.001)
