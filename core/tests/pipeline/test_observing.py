"""Observers that want to know when an exchange begins, and what each policy does."""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import Any, cast

import pytest

from gateway import Exchange, Request, Stage
from gateway.pipeline.observing import MAX_UNTOLD, QUIET_S, Observers

pytestmark = pytest.mark.anyio


class Finished:
    """An observer without the methods that are optional."""

    def exchange_finished(self, exchange):
        pass


class Watching(Finished):
    """Notes what it is told, in order."""

    def __init__(self):
        self.events = []

    def exchange_started(self, exchange):
        self.events.append(f"started {exchange.route.id}")

    def exchange_finished(self, exchange):
        self.events.append("finished")

    def around_policy(self, name, stage, handler, route):
        async def around(exchange):
            self.events.append(f"{stage.name.lower()} {name} of {route.id} begins")
            try:
                return await handler(exchange)
            finally:
                self.events.append(f"{name} ends")

        return around


def passing(name, events):
    async def function(exchange, call_next):
        events.append(name)
        return await call_next(exchange)

    return function


async def test_it_is_told_before_any_policy_runs_and_sees_each_of_them(gateway, place, policy_of):
    watching = Watching()
    outer = place(policy_of(passing("outer runs", watching.events)), Stage.EDGE, name="outer")
    inner = place(policy_of(passing("inner runs", watching.events)), name="inner")
    await gateway.ask(outer, inner, observers=[Finished(), watching])
    assert watching.events == [
        "started orders",
        "edge outer of orders begins",
        "outer runs",
        "transform inner of orders begins",
        "inner runs",
        "inner ends",
        "outer ends",
        "finished",
    ]


async def test_a_policy_that_does_nothing_on_a_route_is_not_seen(gateway, place):
    class Idle:
        def wrap(self, next, route):  # noqa: A002 - the interface's name
            return next

    watching = Watching()
    await gateway.ask(place(Idle()), observers=[watching])
    assert watching.events == ["started orders", "finished"]


async def test_watching_needs_no_task(gateway, place, policy_of):
    policy = place(policy_of(passing("runs", []), waits=False))
    assert not gateway.compile(policy, observers=[Watching()]).needs_task


async def test_nothing_stands_before_the_handler_where_nobody_asks(gateway):
    compiled = gateway.compile(observers=[Finished()])
    assert compiled.handler is gateway.compile().handler


async def test_an_observer_that_fails_at_the_beginning_does_not_reach_the_exchange(gateway, caplog):
    class Failing(Finished):
        def exchange_started(self, exchange):
            raise RuntimeError("boom")

    caplog.set_level(logging.ERROR)
    compiled = gateway.compile(observers=[Failing()])
    for _ in range(3):
        exchange = await gateway.ask(compiled=compiled)
        assert exchange.response.status == 200
    (record,) = caplog.records
    assert record.getMessage() == "plugin 'culprit' failed in the observer Failing: RuntimeError: boom"


class Counting:
    def __init__(self) -> None:
        self.finished: list[Any] = []

    def exchange_finished(self, exchange):
        self.finished.append(exchange)


def an_exchange() -> Any:
    return Exchange(Request("GET", "/"), cast("Any", None))


async def test_what_finishes_in_one_turn_is_told_together_at_its_end():
    first, second = Counting(), Counting()
    observers = Observers([first, second], lambda traceback: None)
    exchanges = [an_exchange() for _ in range(3)]
    for exchange in exchanges:
        observers.exchange_finished(exchange)
    assert first.finished == []
    await asyncio.sleep(0)
    assert first.finished == second.finished == exchanges


class Together(Counting):
    """Is told of all that finished in a turn at once; fails for some."""

    def __init__(self, *failing: Any) -> None:
        super().__init__()
        self.failing = failing
        self.calls = 0

    def exchange_finished(self, exchange):
        raise AssertionError

    def exchanges_finished(self, exchanges):
        self.calls += 1
        for exchange in exchanges:
            if exchange in self.failing:
                raise RuntimeError("boom")
            self.finished.append(exchange)


async def test_who_wants_to_is_told_of_a_whole_turn_at_once():
    counting, together = Counting(), Together()
    observers = Observers([counting, together], lambda traceback: None)
    exchanges = [an_exchange() for _ in range(3)]
    for exchange in exchanges:
        observers.exchange_finished(exchange)
    await asyncio.sleep(0)
    assert counting.finished == together.finished == exchanges
    assert together.calls == 1


@pytest.mark.parametrize("failing", [(0,), (1,), (3,), (0, 1, 3), (0, 1, 2, 3)])
async def test_who_fails_for_an_exchange_is_told_of_the_others(failing, caplog):
    exchanges = [an_exchange() for _ in range(4)]
    for number, exchange in enumerate(exchanges):
        exchange.request.id = f"id-{number}"
    together, clock = Together(*(exchanges[number] for number in failing)), itertools.count(0, QUIET_S)
    observers = Observers([together], lambda traceback: None, clock=lambda: next(clock))
    for exchange in exchanges:
        observers.exchange_finished(exchange)
    await asyncio.sleep(0)
    assert together.finished == [each for number, each in enumerate(exchanges) if number not in failing]
    assert [record.request_id for record in caplog.records] == [f"id-{number}" for number in failing]


async def test_who_fails_before_it_looks_is_not_asked_for_ever(caplog):
    class Broken(Counting):
        def exchanges_finished(self, exchanges):
            raise RuntimeError("boom")

    counting = Counting()
    observers = Observers([Broken(), counting], lambda traceback: None)
    for _ in range(3):
        observers.exchange_finished(an_exchange())
    await asyncio.sleep(0)
    assert len(counting.finished) == 3
    assert len(caplog.records) == 1


async def test_no_more_than_some_exchanges_wait_to_be_told():
    counting = Counting()
    observers = Observers([counting], lambda traceback: None)
    for _ in range(MAX_UNTOLD + 1):
        observers.exchange_finished(an_exchange())
    assert len(counting.finished) == MAX_UNTOLD
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(counting.finished) == MAX_UNTOLD + 1


async def test_routes_have_as_many_wait_and_no_more(gateway):
    counting = Counting()
    compiled = gateway.compile(observers=[counting])
    exchanges = [an_exchange() for _ in range(2 * MAX_UNTOLD + 1)]
    for number, exchange in enumerate(exchanges):
        compiled.finished(exchange)
        assert number - len(counting.finished) < MAX_UNTOLD
    assert len(counting.finished) == 2 * MAX_UNTOLD
    await asyncio.sleep(0)
    assert counting.finished == exchanges


async def test_who_gives_the_observers_up_when_all_is_finished_comes_too_late_for_none(gateway):
    order: list[str] = []

    class Telling:
        def exchange_finished(self, exchange):
            order.append("told")

    compiled = gateway.compile(observers=[Telling()])
    compiled._on_finish = lambda: asyncio.get_running_loop().call_soon(order.append, "given up")
    await gateway.ask(compiled=compiled)
    await asyncio.sleep(0)
    assert order == ["told", "given up"]


def test_attempts_are_told_to_those_who_want_to_know():
    class OfAttempts(Counting):
        def attempt_finished(self, exchange, attempt):
            self.finished.append(attempt)

    counting, of_attempts = Counting(), OfAttempts()
    assert not Observers([counting], lambda traceback: None).wants_attempts
    observers = Observers([counting, of_attempts], lambda traceback: None)
    assert observers.wants_attempts
    assert observers.asked_about_attempts() is None, "always"
    observers.attempt_finished(an_exchange(), cast("Any", "attempt"))
    assert (counting.finished, of_attempts.finished) == ([], ["attempt"])


def test_no_record_is_made_where_everybody_says_no(caplog):
    class OfAttempts(Counting):
        def attempt_finished(self, exchange, attempt):
            self.finished.append(attempt)

    class Choosy(OfAttempts):
        def __init__(self, answer):
            super().__init__()
            self.answer = answer

        def wants_attempts(self, exchange):
            return self.answer()

    def is_wanted(*observers):
        ask = Observers(observers, lambda traceback: None).asked_about_attempts()
        return ask is None or ask(an_exchange())

    no, yes, broken = Choosy(lambda: False), Choosy(lambda: True), Choosy(lambda: 1 / 0)
    assert not is_wanted(no, no, Counting())
    assert is_wanted(no, yes)
    assert is_wanted(no, OfAttempts())
    assert not is_wanted(broken)
    assert is_wanted(broken, yes)
    assert "division by zero" in caplog.text


class Declining(Counting):
    """Wants to know no more, or whatever it is to answer."""

    def __init__(self, answer=lambda: False):
        super().__init__()
        self.answer = answer

    def exchange_started(self, exchange):
        return self.answer()


@pytest.mark.parametrize("answer", [lambda: None, lambda: True, lambda: 1 / 0])
async def test_what_no_observer_wants_to_know_more_of_is_told_to_none(gateway, answer):
    for others, is_told in (([], False), ([Declining()], False), ([Declining(answer)], True), ([Counting()], True)):
        observers = [Declining(), *others]
        exchange = await gateway.ask(observers=observers)
        await asyncio.sleep(0)
        assert exchange.is_unobserved is not is_told
        assert [each.finished for each in observers] == [[exchange] if is_told else []] * len(observers)
    alone = Declining(answer)
    exchange = await gateway.ask(observers=[alone])
    await asyncio.sleep(0)
    assert alone.finished == [exchange]
