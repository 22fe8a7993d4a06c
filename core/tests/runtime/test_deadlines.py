from __future__ import annotations

import asyncio
import math

import pytest

from gateway.runtime.deadlines import DeadlineSweep

pytestmark = pytest.mark.anyio


class Timed:
    def __init__(self, deadline_s: float) -> None:
        self.deadline_s = deadline_s
        self.passed = 0

    def deadline_passed(self) -> None:
        self.passed += 1


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


def test_what_is_due_is_told(clock):
    sweep = DeadlineSweep(clock)
    due, later, never = Timed(100.0), Timed(100.1), Timed(math.inf)
    for timed in (due, later, never):
        sweep.watch(timed)
    sweep.sweep()
    assert [each.passed for each in (due, later, never)] == [1, 0, 0]
    clock.now_s = 101.0
    sweep.sweep()
    assert [each.passed for each in (due, later, never)] == [2, 1, 0]


def test_a_deadline_that_is_moved_holds(clock):
    sweep, timed = DeadlineSweep(clock), Timed(100.0)
    sweep.watch(timed)
    timed.deadline_s = 105.0
    sweep.sweep()
    assert timed.passed == 0


def test_what_is_forgotten_is_left_alone(clock):
    sweep, timed = DeadlineSweep(clock), Timed(0.0)
    sweep.watch(timed)
    sweep.forget(timed)
    sweep.forget(timed)
    sweep.sweep()
    assert timed.passed == 0


def test_one_that_is_forgotten_during_the_sweep_may_still_be_told(clock):
    sweep = DeadlineSweep(clock)

    class Forgetful(Timed):
        def deadline_passed(self) -> None:
            super().deadline_passed()
            for each in both:
                sweep.forget(each)

    both = [Forgetful(0.0), Forgetful(0.0)]
    for each in both:
        sweep.watch(each)
    sweep.sweep()
    sweep.sweep()
    assert [each.passed for each in both] == [1, 1]


def test_one_that_fails_keeps_no_other_from_its_deadline(clock, caplog):
    class Broken(Timed):
        def deadline_passed(self) -> None:
            super().deadline_passed()
            raise OSError("gone")

    sweep = DeadlineSweep(clock)
    both = [Broken(0.0), Broken(0.0)]
    for each in both:
        sweep.watch(each)
    sweep.sweep()
    assert [each.passed for each in both] == [1, 1]
    assert "gone" in caplog.text


async def test_it_sweeps_by_itself_until_it_is_stopped(monkeypatch, until):
    monkeypatch.setattr("gateway.runtime.deadlines.SWEEP_INTERVAL_S", 0.001)
    sweep, timed = DeadlineSweep(), Timed(0.0)
    sweep.stop()
    sweep.watch(timed)
    sweep.start(asyncio.get_running_loop())
    await until(lambda: timed.passed > 2)
    sweep.stop()
    passed = timed.passed
    await asyncio.sleep(0.01)
    assert timed.passed == passed
