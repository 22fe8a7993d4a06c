from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import Any

import pytest

from gateway.config import collector
from gateway.config.collector import collector_paused


@pytest.fixture(autouse=True)
def much(monkeypatch):
    """What is much, so that tests need to make little."""
    monkeypatch.setattr(collector, "MANY", 1000)


@contextmanager
def collections():
    """Collect what the collector does meanwhile."""
    seen: list[int] = []

    def note(phase, info):
        if phase == "start":
            seen.append(info["generation"])

    gc.callbacks.append(note)
    try:
        yield seen
    finally:
        gc.callbacks.remove(note)


def generation_of(thing):
    return next(number for number in range(3) if any(each is thing for each in gc.get_objects(generation=number)))


def test_nothing_is_collected_while_it_is_paused():
    with collections() as seen, collector_paused():
        assert not gc.isenabled()
        made: list[list[int]] = [[] for _ in range(10 * gc.get_threshold()[0])]
        assert not seen
    assert made
    assert gc.isenabled()


def test_much_that_was_made_is_old_at_once_and_not_walked():
    """To walk a million objects stops every thread for a quarter of a second."""
    with collections() as seen:
        with collector_paused():
            made: list[list[int]] = [[] for _ in range(2000)]
        assert not seen
    assert generation_of(made[0]) == 2
    assert gc.get_freeze_count() == 0


def test_little_that_was_made_is_looked_at_as_ever():
    gc.collect()
    with collector_paused():
        made: list[list[int]] = [[] for _ in range(10)]
    assert generation_of(made[0]) == 0


def test_what_became_old_is_collected_when_everything_is():
    with collector_paused():
        made: list[Any] = [[] for _ in range(2000)]
        made.append(made)
        reference = made[0]
        del made
    before = generation_of(reference)
    assert before == 2
    assert gc.collect() >= 1


def test_who_paused_it_first_lets_it_go_on():
    with collector_paused():
        with collector_paused():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
