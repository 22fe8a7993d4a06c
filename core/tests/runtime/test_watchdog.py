from __future__ import annotations

import asyncio
import time
import types

import pytest

from gateway.runtime import watchdog
from gateway.runtime.watchdog import LoopWatchdog

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    monkeypatch.setattr(watchdog, "BEAT_INTERVAL_S", 0.01)
    monkeypatch.setattr(watchdog, "BLOCKED_AFTER_S", 0.03)
    monkeypatch.setattr(watchdog, "PATIENCE_S", 0.2)


@pytest.fixture
async def watch():
    watching = []

    def start(owner=lambda module: None):
        dog = LoopWatchdog(asyncio.get_running_loop(), owner)
        dog.start()
        watching.append(dog)

    yield start
    for dog in watching:
        dog.stop()


def block(seconds: float) -> None:
    time.sleep(seconds)


def lines(caplog) -> list[str]:
    """What it said; asyncio, which is being debugged, complains too."""
    return [record.getMessage() for record in caplog.records if record.name == "gateway.watchdog"]


async def said(caplog, until) -> str:
    await until(lambda: lines(caplog))
    return lines(caplog)[0]


async def test_who_blocks_the_loop_is_named_with_the_line(watch, caplog, until):
    watch()
    await asyncio.sleep(0.02)
    block(0.12)
    text = await said(caplog, until)
    assert text.startswith("the gateway (block at ")
    assert "test_watchdog.py:" in text
    assert "blocked the event loop for 1" in text


async def test_a_plugin_is_named_whose_code_waits_in_somebody_elses(watch, caplog, until):
    """What stands still is usually a library; whose call it was is what an operator must know."""
    plugin = types.ModuleType("gateway_slow.policy")
    exec("def call(function):\n    function(0.12)", plugin.__dict__)  # noqa: S102 - a frame of a plugin's
    watch(lambda module: "slow" if module.startswith("gateway_slow") else None)
    await asyncio.sleep(0.02)
    plugin.call(block)
    text = await said(caplog, until)
    assert text.startswith("plugin 'slow' (call at <string>:2)")


async def test_what_never_ends_is_said_while_it_lasts(watch, caplog, until):
    watch()
    await asyncio.sleep(0.02)
    block(0.4)
    assert "has blocked the event loop for" in caplog.text
    await until(lambda: len(lines(caplog)) == 2)
    assert "blocked the event loop for 4" in lines(caplog)[1]


async def test_it_says_so_every_time(watch, caplog, until):
    watch()
    for count in (1, 2):
        await asyncio.sleep(0.03)
        block(0.12)
        await until(lambda: len(lines(caplog)) == count)  # noqa: B023 - awaited at once


async def test_a_loop_that_goes_on_is_left_alone(watch, caplog):
    watch()
    for _ in range(20):
        await asyncio.sleep(0.005)
    assert lines(caplog) == []


async def test_after_it_is_stopped_it_says_nothing(watch, caplog):
    dog = LoopWatchdog(asyncio.get_running_loop(), lambda module: None)
    dog.stop()
    dog.start()
    dog.stop()
    block(0.1)
    await asyncio.sleep(0.05)
    assert lines(caplog) == []
