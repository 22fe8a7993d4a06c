from __future__ import annotations

import asyncio
import gc
import sys

import pytest

from gateway.runtime.loop import SWITCH_INTERVAL_S, calm_garbage_collector, new_event_loop, shorten_turns_of_threads


def test_uvloop_is_taken_where_it_is():
    uvloop = pytest.importorskip("uvloop")
    loop = new_event_loop()
    assert isinstance(loop, uvloop.Loop)
    loop.close()


def test_without_it_asyncios_own_will_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "uvloop", None)
    loop = new_event_loop()
    assert isinstance(loop, asyncio.BaseEventLoop)
    loop.close()


def test_what_is_loaded_at_the_start_is_not_looked_at_again():
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    try:
        calm_garbage_collector()
        assert gc.get_freeze_count() > frozen
        assert gc.get_threshold()[0] >= 10_000
    finally:
        if not frozen:
            gc.unfreeze()
        gc.set_threshold(*before)


def test_threads_that_compute_let_the_event_loop_go_on_soon():
    before = sys.getswitchinterval()
    try:
        shorten_turns_of_threads()
        assert sys.getswitchinterval() == pytest.approx(SWITCH_INTERVAL_S)
    finally:
        sys.setswitchinterval(before)
