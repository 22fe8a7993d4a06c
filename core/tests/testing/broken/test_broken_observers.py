"""The contract of observers: one that keeps it, and those that do not."""

# ruff: noqa: BLE001 - what is done badly here is done so on purpose

import asyncio
import re
import time

import pytest
from core.tests.testing.broken.harness import breach

from gateway import ObserverRegistration, Response
from gateway.testing import ObserverContract


class Tally:
    """Counts answers by their status."""

    def __init__(self, config, context):
        self.counts: dict = {}

    def exchange_finished(self, exchange):
        response = exchange.response
        status = response.status if response is not None else None
        self.counts[status] = self.counts.get(status, 0) + 1

    def attempt_finished(self, exchange, attempt):
        pass

    def around_policy(self, name, stage, handler, route):
        async def measured(exchange):
            began_s = time.monotonic()
            try:
                return await handler(exchange)
            finally:
                self.counts[name] = time.monotonic() - began_s

        return measured


def build(config, context):
    return Tally(config, context)


class TallyContract(ObserverContract):
    plugin = ObserverRegistration(name="tally", summary="Counts answers", build=build)


class TestTally(TallyContract):
    """The reference."""


class TogetherTally(Tally):
    def exchanges_finished(self, exchanges):
        for exchange in exchanges:
            self.exchange_finished(exchange)


def build_together(config, context):
    return TogetherTally(config, context)


class TogetherTallyContract(TallyContract):
    plugin = ObserverRegistration(name="tally", summary="Counts answers", build=build_together)


class TestTogetherTally(TogetherTallyContract):
    """One that is told of a whole turn at once."""


class TakesTheFirst(Tally):
    def exchanges_finished(self, exchanges):
        self.exchange_finished(next(exchanges))


class NeedsAResponse(Tally):
    def exchange_finished(self, exchange):
        self.counts[exchange.response.status] = 1


class NeedsAnInstance(Tally):
    def exchange_finished(self, exchange):
        self.counts[exchange.instance.id] = 1


class NeedsText(Tally):
    def exchange_finished(self, exchange):
        exchange.request.path.encode("latin-1")
        exchange.request.query.encode("utf-8")


class NeedsAStatus(Tally):
    def attempt_finished(self, exchange, attempt):
        self.counts[attempt.status // 100] = 1


class IsACoroutine(Tally):
    async def exchange_finished(self, exchange):
        await asyncio.sleep(0)


class ChangesTheResponse(Tally):
    def exchange_finished(self, exchange):
        if exchange.response is not None:
            exchange.response.headers.add("x-seen", "yes")


class ReadsTheBody(Tally):
    def exchange_finished(self, exchange):
        if not isinstance(exchange.response.body, bytes):
            exchange.response.body.abort()


class IsSlow(Tally):
    def exchange_finished(self, exchange):
        time.sleep(0.005)


class CountsPaths(Tally):
    def exchange_finished(self, exchange):
        self.counts[exchange.request.path] = 1


class WaitsAround(Tally):
    def around_policy(self, name, stage, handler, route):
        async def measured(exchange):
            await asyncio.sleep(0)
            return await handler(exchange)

        return measured


class AnswersAround(Tally):
    def around_policy(self, name, stage, handler, route):
        async def measured(exchange):
            await handler(exchange)
            return Response()

        return measured


class HidesRefusals(Tally):
    def around_policy(self, name, stage, handler, route):
        async def measured(exchange):
            try:
                return await handler(exchange)
            except Exception:
                return Response(500)

        return measured


@pytest.mark.parametrize(
    ("observer", "check", "said"),
    [
        (TakesTheFirst, "test_it_takes_note_of_everything_that_may_happen", "left some of the exchanges"),
        (NeedsAResponse, "test_it_takes_note_of_everything_that_may_happen", "for a client that left before"),
        (NeedsAnInstance, "test_it_takes_note_of_everything_that_may_happen", "for a client that left before"),
        (NeedsText, "test_it_takes_note_of_everything_that_may_happen", "for a request in any bytes"),
        (NeedsAStatus, "test_it_takes_note_of_everything_that_may_happen", "attempt_finished raised TypeError"),
        (IsACoroutine, "test_it_takes_note_of_everything_that_may_happen", "it is a synchronous function"),
        (ChangesTheResponse, "test_it_changes_nothing", "the exchange was"),
        (ReadsTheBody, "test_it_changes_nothing", "body was taken"),
        (IsSlow, "test_it_is_quick", r"took [5-9]\.\d ms"),
        (CountsPaths, "test_clients_and_paths_do_not_fill_the_memory", "bound what is kept"),
        (WaitsAround, "test_what_it_puts_around_policies_lets_them_be", "waited for"),
        (AnswersAround, "test_what_it_puts_around_policies_lets_them_be", "response became"),
        (HidesRefusals, "test_what_it_puts_around_policies_lets_them_be", "refusal did not pass"),
    ],
)
def test_it_is_caught(observer, check, said):
    assert re.search(said, breach(TallyContract, observer, check))
