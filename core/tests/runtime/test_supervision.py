from __future__ import annotations

import asyncio
import contextlib
import socket

import anyio
import pytest

from gateway import Outage
from gateway.runtime.supervision import Supervisor, end_tasks

pytestmark = pytest.mark.anyio


class Sleeps:
    """Notes how long is slept, and passes the time."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.now_s = 0.0

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds
        await asyncio.sleep(0)

    def clock(self) -> float:
        return self.now_s


@pytest.fixture
def sleeps():
    return Sleeps()


@pytest.fixture
async def supervisor(sleeps):
    supervisor = Supervisor(sleep=sleeps, clock=sleeps.clock)
    yield supervisor
    await supervisor.stop()


def crashing(times: int, *, done: asyncio.Event, error: BaseException | None = None, before=lambda: None):
    runs: list[int] = []

    async def work() -> None:
        runs.append(1)
        before()
        if len(runs) <= times:
            raise error or RuntimeError("gone")
        done.set()
        await asyncio.Event().wait()

    return work


async def test_work_that_crashes_is_restarted_after_a_growing_delay(supervisor, sleeps, caplog):
    done = asyncio.Event()
    supervisor.start("watch", crashing(9, done=done))
    await asyncio.wait_for(done.wait(), 30)
    assert sleeps.slept == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    (report,) = supervisor.reports()
    assert (report.name, report.is_restarting, report.restarts) == ("watch", False, 9)
    assert report.last_error == "RuntimeError: gone"
    assert caplog.records[0].getMessage() == "watch crashed and is restarted in 0.5 s"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Outage("tcp://docker:2376 does not answer"), "tcp://docker:2376 does not answer"),
        (ConnectionRefusedError(111, "Connection refused"), "[Errno 111] Connection refused"),
        (TimeoutError(), "TimeoutError"),
    ],
)
async def test_an_outage_is_one_line_with_its_reason_and_a_bug_has_its_frames(supervisor, caplog, error, said):
    done = asyncio.Event()
    supervisor.start("watch", crashing(1, done=done, error=error))
    await asyncio.wait_for(done.wait(), 30)
    (record,) = caplog.records
    assert record.getMessage() == f"watch: {said}; it is tried again in 0.5 s"
    assert (record.levelname, record.exc_info) == ("WARNING", None)
    caplog.clear()
    done.clear()
    supervisor.start("other", crashing(1, done=done))
    await asyncio.wait_for(done.wait(), 30)
    (record,) = caplog.records
    assert record.exc_info is not None


async def test_work_that_ran_for_long_is_restarted_soon(supervisor, sleeps):
    done = asyncio.Event()

    def run_for_a_minute():
        sleeps.now_s += 60

    supervisor.start("watch", crashing(3, done=done, before=run_for_a_minute))
    await asyncio.wait_for(done.wait(), 30)
    assert sleeps.slept == [0.5, 0.5, 0.5]


async def test_a_cancellation_that_nobody_asked_for_is_a_crash(supervisor, sleeps):
    """As when a library cancels a task of its own that the work waits for."""
    done = asyncio.Event()
    supervisor.start("watch", crashing(1, done=done, error=asyncio.CancelledError()))
    await asyncio.wait_for(done.wait(), 30)
    assert sleeps.slept == [0.5]
    assert supervisor.reports()[0].last_error.startswith("CancelledError")


async def test_work_that_returns_is_over(supervisor):
    async def work():
        pass

    await supervisor.start("once", work)
    assert supervisor.reports() == []


async def test_one_crash_cancels_nobody_else(supervisor, sleeps):
    done = asyncio.Event()
    others = asyncio.Event()

    async def other() -> None:
        others.set()
        await asyncio.Event().wait()

    supervisor.start("b", other)
    supervisor.start("a", crashing(2, done=done))
    await asyncio.wait_for(done.wait(), 30)
    assert others.is_set()
    assert [report.name for report in supervisor.reports()] == ["a", "b"]


async def test_every_change_is_told(sleeps):
    told: list[list[bool]] = []
    supervisor = Supervisor(lambda: told.append([each.is_restarting for each in supervisor.reports()]), sleep=sleeps)  # type: ignore[attr-defined]  # the fixture of that name is meant
    done = asyncio.Event()
    task = supervisor.start("watch", crashing(1, done=done))
    await asyncio.wait_for(done.wait(), 30)
    task.cancel()
    await asyncio.wait([task])
    await asyncio.sleep(0)
    assert told == [[False], [True], [False], []]


async def test_stopping_ends_everything(supervisor):
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("ended")

    supervisor.start("a", work)
    supervisor.start("b", work)
    await asyncio.sleep(0)
    await supervisor.stop()
    assert ended == ["ended", "ended"]
    assert supervisor.reports() == []
    await supervisor.stop()


async def test_work_in_a_task_group_of_anyio_ends_and_does_not_begin_again(supervisor, sleeps):
    """Their cancel scopes take back cancellations of the task, others' too."""
    limiter = anyio.CapacityLimiter(8)

    async def connect(port: int) -> None:
        async with limiter:
            with contextlib.suppress(OSError), anyio.fail_after(0.2):
                stream = await anyio.connect_tcp("127.0.0.1", port)
                await stream.aclose()

    async def work() -> None:
        while True:
            async with anyio.create_task_group() as group:
                for _ in range(2):
                    group.start_soon(connect, port)
            await anyio.sleep(0.01)

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for delay_s in (0.0005, 0.001, 0.0015, 0.002, 0.003):
            task = supervisor.start("check", work)
            await asyncio.sleep(delay_s)
            task.cancel()
            assert await asyncio.wait([task], timeout=30) == ({task}, set())
    assert sleeps.slept == []


async def test_what_fails_while_it_is_ended_is_said(supervisor, caplog):
    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("no file")

    supervisor.start("watch", work)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await supervisor.stop()
    assert "gateway watch failed while it was ended" in caplog.text


async def test_what_does_not_end_is_named_and_not_waited_for(caplog):
    release = asyncio.Event()

    async def stubborn() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    task = asyncio.get_running_loop().create_task(stubborn(), name="gateway stubborn")
    await asyncio.sleep(0)
    await end_tasks([task], timeout_s=0.01)
    assert "gateway stubborn does not end" in caplog.text
    release.set()
    await task
