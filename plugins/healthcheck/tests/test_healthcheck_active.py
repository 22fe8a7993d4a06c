"""The health checker, with instances that answer, fail, hang and flap."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import pytest

from gateway import Endpoint
from gateway.testing import Reply
from gateway_healthcheck.active import ActiveChecker

pytestmark = pytest.mark.anyio

QUICK = {"interval": 0.1, "timeout": 0.5, "jitter": 0}


@pytest.fixture
async def check(config, context, directory):
    """Run a health checker."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(*, chance: Any = lambda: 0.0, **block: Any) -> ActiveChecker:
            checker = ActiveChecker(config({"active": QUICK, **block}), context, chance=chance)
            task = asyncio.ensure_future(checker.monitor(directory.heard_from("active")))

            async def stop() -> None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

            stack.push_async_callback(stop)
            return checker

        yield start


@pytest.fixture
def until():
    async def wait(is_so: Any) -> None:
        async with asyncio.timeout(8):
            while not is_so():  # noqa: ASYNC110 - what it waits for has no event
                await asyncio.sleep(0.005)

    return wait


async def test_what_fails_goes_and_what_works_again_comes_back(check, upstream, instances, until):
    (one,) = instances(port=upstream.port)
    checker = await check()
    await until(lambda: len(upstream.requests) >= 2)
    assert one.is_healthy
    upstream.answer = lambda request: Reply(500)
    await until(lambda: not one.is_healthy)
    (report,) = checker.report()["services"]["orders"]["instances"]
    assert (report["status"], report["error"], report["consecutiveFailures"] >= 3) == ("unhealthy", "status 500", True)
    upstream.answer = lambda request: Reply(200)
    await until(lambda: one.is_healthy)


async def hang(reader, writer):
    await asyncio.sleep(30)


async def test_a_health_endpoint_that_never_answers_fails(check, serve, directory, until):
    directory.publish("static", {"orders": [Endpoint(address="127.0.0.1", port=await serve(hang))]})
    checker = await check(active={**QUICK, "timeout": 0.2})
    await until(lambda: not directory.instances("orders")[0].is_healthy)
    (report,) = checker.report()["services"]["orders"]["instances"]
    assert report["error"] == "no answer within 0.2 s"


async def test_health_endpoints_that_never_answer_hold_up_nobody(check, serve, upstream, directory, until):
    hanging = [Endpoint(address="127.0.0.1", port=await serve(hang)) for _ in range(5)]
    directory.publish("static", {"orders": [*hanging, Endpoint(address="127.0.0.1", port=upstream.port)]})
    await check(active={**QUICK, "timeout": 60}, maxConcurrency=6)
    await until(lambda: len(upstream.requests) > 4)


async def test_no_more_checks_run_at_once_than_may(check, upstream_factory, directory, until):
    running = most = 0

    async def answer(request):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.02)
        running -= 1
        return Reply()

    upstreams = [await upstream_factory() for _ in range(8)]
    for each in upstreams:
        each.answer = answer
    directory.publish("s", {"orders": [Endpoint(address="127.0.0.1", port=each.port) for each in upstreams]})
    await check(maxConcurrency=3)
    await until(lambda: all(len(each.requests) >= 2 for each in upstreams))
    assert most == 3


async def test_an_instance_that_flaps_ten_times_a_second_is_not_in_and_out_all_the_time(
    check, upstream, instances, until
):
    (one,) = instances(port=upstream.port)
    changes = []
    upstream.answer = lambda request: Reply(200 if len(upstream.requests) % 2 else 500)
    await check()
    before = one.is_healthy
    while len(upstream.requests) < 10:
        await asyncio.sleep(0.005)
        if one.is_healthy != before:
            before = one.is_healthy
            changes.append(before)
    assert changes == []


async def test_a_new_instance_may_have_to_prove_itself(check, upstream, instances, until):
    release = asyncio.Event()

    async def answer(request):
        await release.wait()
        return Reply()

    upstream.answer = answer
    (one,) = instances(port=upstream.port)
    await check(active={**QUICK, "initialState": "unhealthy", "timeout": 5})
    await until(lambda: upstream.requests)
    assert not one.is_healthy
    release.set()
    await until(lambda: one.is_healthy)
    assert one.share_percent == 100


async def test_what_comes_back_starts_slowly(check, upstream, instances, until):
    (one,) = instances(port=upstream.port)
    upstream.answer = lambda request: Reply(500)
    await check(slowStart={"window": 0.5})
    await until(lambda: not one.is_healthy)
    upstream.answer = lambda request: Reply(200)
    await until(lambda: one.is_healthy)
    assert one.share_percent < 100
    await until(lambda: one.share_percent == 100)


async def test_when_too_few_work_all_get_traffic(check, upstream, instances, until, directory):
    everybody = instances(4, port=1)  # where nobody listens
    checker = await check(panicThreshold=50)
    await until(lambda: checker.report()["services"].get("orders", {}).get("panic"))
    await until(
        lambda: all(each["status"] == "unhealthy" for each in checker.report()["services"]["orders"]["instances"])
    )
    assert all(each.is_healthy for each in everybody)
    assert all(not directory.marks(each) for each in everybody)


async def test_without_a_panic_threshold_all_of_them_may_be_out(check, instances, until):
    everybody = instances(3, port=1)
    checker = await check()
    await until(lambda: not any(each.is_healthy for each in everybody))
    assert checker.report()["services"]["orders"]["panic"] is False


def states(context: Any) -> Any:
    return next(
        dict(family.series) for family in context.metrics.snapshot() if family.name == "gateway_health_check_status"
    )


async def test_instances_come_and_go(check, upstream_factory, instances, until, context, directory):
    first, second = await upstream_factory(), await upstream_factory()
    instances(port=first.port)
    checker = await check()
    await until(lambda: first.requests)
    instances(port=second.port)
    await until(lambda: second.requests)
    await until(lambda: len(checker.report()["services"]["orders"]["instances"]) == 1)
    await until(lambda: states(context) == {("orders", f"127.0.0.1:{second.port}"): 1.0})
    directory.withdraw("orders")
    await until(lambda: not checker.report()["services"])


async def test_a_reload_changes_nothing_of_what_is_known(check, instances, until):
    (one,) = instances(port=1)
    await check()
    await until(lambda: not one.is_healthy)
    again = await check(active={**QUICK, "interval": 50})
    await until(lambda: again._services)
    assert not one.is_healthy


async def test_what_is_not_checked_any_more_after_a_reload_gets_traffic_again(
    check, upstream, instances, until, directory
):
    """What the checker before had said stayed, and nobody was left to take it back."""
    (one,) = instances(port=1)
    (other,) = instances(service="others", port=1)
    before = await check()
    await until(lambda: not one.is_healthy and not other.is_healthy)
    after = await check(services={"orders": {"active": False}})
    await until(lambda: one.is_healthy)
    assert not other.is_healthy
    # It may be some time until the checker before is gone.
    (late,) = before._services["orders"].checks.values()
    await before._run(late, directory.heard_from("active"), asyncio.Semaphore())
    assert one.is_healthy
    assert after.report()["services"].keys() == {"others"}


async def test_what_was_never_checked_and_never_will_be_gets_traffic(check, instances, until):
    (one,) = instances(port=1)
    await check(active={**QUICK, "initialState": "unhealthy", "unhealthyThreshold": 9})
    await until(lambda: not one.is_healthy)
    await check(services={"orders": {"active": False}})
    await until(lambda: one.is_healthy)


async def test_what_the_gateway_needs_is_checked_too(check, upstream, until):
    checker = await check(
        checks={"db": {"type": "tcp", "interval": 0.1, "config": {"address": f"127.0.0.1:{upstream.port}"}}}
    )
    await until(lambda: checker.report()["dependencies"][0]["lastCheck"])
    assert checker.report()["dependencies"][0]["status"] == "healthy"
    await upstream.stop()
    await until(lambda: checker.report()["dependencies"][0]["status"] == "unhealthy")


async def test_a_check_with_a_bug_fails_alone(check, upstream, instances, until, caplog, monkeypatch):
    async def broken(place: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("gateway_healthcheck.active.build_probe", lambda *arguments: broken)
    (one,) = instances(port=upstream.port)
    await check()
    await until(lambda: not one.is_healthy)
    assert "failed in an unknown way" in caplog.text


async def test_ten_thousand_instances_are_noticed_at_once(config, context, directory):
    everybody = [Endpoint(address=f"10.0.{n // 256}.{n % 256}", port=80) for n in range(10_000)]
    directory.publish("static", {"orders": everybody})
    await directory.settled()
    checker = ActiveChecker(config({"active": {}}), context)
    seen = directory.heard_from("active")
    checker._look(seen)
    started_s = time.perf_counter()
    for _ in range(100):
        checker._look(seen)
    assert (time.perf_counter() - started_s) / 100 < 0.01
    assert len(checker._due) == 10_000


async def test_intervals_and_jitter(config, context, directory, instances, clock):
    (one,) = instances()
    block = {"interval": 10, "unhealthyInterval": 2, "jitter": 0.5, "unhealthyThreshold": 1}
    chances = iter([0.0, 0.0, 1.0, 0.5])
    checker = ActiveChecker(config({"active": block}), context, clock=clock, chance=lambda: next(chances))
    seen = directory.heard_from("active")
    checker._look(seen)
    check = checker._due.pop()[2]
    paused = []
    for error in (None, None, "500"):
        checker._take(check, error, 0.1, seen)
        paused.append(checker._due.pop()[0] - clock())
    assert paused == [5.0, 15.0, 2.0]
    assert not one.is_healthy


async def test_another_port_is_asked(check, upstream, instances, until):
    instances(port=1)
    await check(active={**QUICK, "port": upstream.port})
    await until(lambda: upstream.requests)
    assert upstream.requests[0]["host"] == f"127.0.0.1:{upstream.port}"
