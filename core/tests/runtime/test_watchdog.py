from __future__ import annotations

import asyncio
import time
import types
from typing import TYPE_CHECKING

import pytest

from gateway.runtime import watchdog
from gateway.runtime.watchdog import LoopWatchdog

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.anyio


class Time:
    """The watchdog's clock, which goes on when a test says so: a busy machine lets the loop wait, too."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.looks = 0

    def monotonic(self) -> float:
        return self.now_s

    def block(self, seconds: float) -> None:
        """Block the loop for so long, and until the watchdog has looked who does it."""
        looks = self.looks
        self.now_s += seconds
        self._stand_still(lambda: self.looks > looks)

    def block_on(self, is_so: Callable[[], object]) -> None:
        """Block it, while the time passes, until something is so."""

        def later() -> object:
            self.now_s += 0.01
            return is_so()

        self._stand_still(later)

    def _stand_still(self, is_so: Callable[[], object]) -> None:
        deadline_s = time.monotonic() + 30
        while not is_so() and time.monotonic() < deadline_s:
            time.sleep(0.001)


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    made = Time()
    culprit = LoopWatchdog._culprit

    def look(dog: LoopWatchdog) -> str:
        found = culprit(dog)
        made.looks += 1
        return found

    monkeypatch.setattr(watchdog, "time", made)
    monkeypatch.setattr(LoopWatchdog, "_culprit", look)
    monkeypatch.setattr(watchdog, "BEAT_INTERVAL_S", 0.01)
    monkeypatch.setattr(watchdog, "BLOCKED_AFTER_S", 0.03)
    monkeypatch.setattr(watchdog, "PATIENCE_S", 0.2)
    return made


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


def lines(caplog) -> list[str]:
    """What it said; asyncio, which is being debugged, complains too."""
    return [record.getMessage() for record in caplog.records if record.name == "gateway.watchdog"]


async def said(caplog, until) -> str:
    await until(lambda: lines(caplog))
    return lines(caplog)[0]


async def test_who_blocks_the_loop_is_named_with_the_line(watch, clock, caplog, until):
    watch()
    clock.block(0.12)
    text = await said(caplog, until)
    assert text.startswith("the gateway (Time.")
    assert "test_watchdog.py:" in text
    assert text.endswith(" blocked the event loop for 120 ms")


async def test_a_plugin_is_named_whose_code_waits_in_somebody_elses(watch, clock, caplog, until):
    """What stands still is usually a library; whose call it was is what an operator must know."""
    plugin = types.ModuleType("gateway_slow.policy")
    exec("def call(function):\n    function(0.12)", plugin.__dict__)  # noqa: S102 - a frame of a plugin's
    watch(lambda module: "slow" if module.startswith("gateway_slow") else None)
    plugin.call(clock.block)
    text = await said(caplog, until)
    assert text.startswith("plugin 'slow' (call at <string>:2)")


async def test_what_never_ends_is_said_while_it_lasts(watch, clock, caplog, until):
    watch()
    clock.block(0.12)
    clock.block_on(lambda: lines(caplog))
    (still,) = lines(caplog)
    assert "has blocked the event loop for" in still
    blocked_ms = clock.now_s * 1000
    await until(lambda: len(lines(caplog)) == 2)
    assert lines(caplog)[1].endswith(f" blocked the event loop for {blocked_ms:.0f} ms")


async def test_it_says_so_every_time(watch, clock, caplog, until):
    watch()
    for count in (1, 2):
        clock.block(0.12)
        await until(lambda: len(lines(caplog)) == count)  # noqa: B023 - awaited at once


async def test_a_loop_that_goes_on_is_left_alone(watch, clock, caplog):
    watch()
    for _ in range(20):
        clock.now_s += 0.005
        await asyncio.sleep(0.005)
    assert lines(caplog) == []


async def test_after_it_is_stopped_it_says_nothing(clock, caplog):
    dog = LoopWatchdog(asyncio.get_running_loop(), lambda module: None)
    dog.stop()
    dog.start()
    dog.stop()
    clock.now_s += 0.1
    await asyncio.sleep(0.1)
    assert lines(caplog) == []
    assert clock.looks == 0
