"""What is charged afterwards, of a quota that takes its time and of which others take as well."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, cast

import pytest

from gateway import Decision
from gateway_llm_limits.charge import Debts

pytestmark = pytest.mark.anyio


class SlowQuota:
    """A quota that answers when it is let, and from which somebody else takes after each answer."""

    def __init__(self, left, others_take=0):
        self.left = left
        self.others_take = others_take
        self.may_answer = asyncio.Event()
        self.asked = []

    async def acquire(self, key, cost):
        self.asked.append((key, cost))
        await self.may_answer.wait()
        is_allowed = cost <= self.left
        self.left -= cost if is_allowed else 0
        decision = Decision(is_allowed=is_allowed, limit=100, remaining=self.left, reset_s=1.0)
        self.left = max(0, self.left - self.others_take)
        return decision


@pytest.fixture
async def debts():
    debts = Debts(logging.getLogger("gateway.plugins.llm-limits"))
    paying = asyncio.ensure_future(debts.run())
    yield debts
    paying.cancel()


async def test_what_there_is_is_taken_although_others_take_of_it_too(debts):
    quota = SlowQuota(80, others_take=20)
    quota.may_answer.set()
    debts.add(quota, "a", 90, 100)
    await debts.paid(quota, "a")
    assert quota.left == 0
    assert quota.asked == [("a", 90), ("a", 80), ("a", 60), ("a", 40), ("a", 20)]


async def test_who_asks_next_waits_until_the_debt_is_paid_and_nobody_else_does(debts):
    quota = SlowQuota(80)
    debts.add(quota, "a", 10, 100)
    next_one = asyncio.ensure_future(debts.paid(quota, "a"))
    await debts.paid(quota, "b")
    await asyncio.sleep(0)
    assert not next_one.done()
    quota.may_answer.set()
    await next_one
    assert quota.left == 70


async def test_debts_of_one_client_are_paid_together_and_never_more_than_there_ever_is(debts):
    quota = SlowQuota(100)
    for _ in range(3):
        debts.add(quota, "a", 40, 100)
    quota.may_answer.set()
    await debts.paid(quota, "a")
    assert quota.asked == [("a", 100)]


async def test_debts_of_several_clients_are_asked_for_at_once(debts):
    quota = SlowQuota(100)
    for key in "abc":
        debts.add(quota, key, 1, 100)
    await asyncio.sleep(0.01)
    assert quota.asked == [("a", 1), ("b", 1), ("c", 1)]
    quota.may_answer.set()


async def test_a_store_that_fails_keeps_nobody_waiting(debts, caplog):
    class Broken:
        async def acquire(self, key, cost):
            raise ConnectionError("redis is down")

    quota = Broken()
    debts.add(quota, "a", 1, 100)
    async with asyncio.timeout(5):
        await debts.paid(quota, "a")
    assert "tokens could not be charged" in caplog.text


async def test_there_are_never_more_debts_than_fit(debts, caplog, monkeypatch):
    monkeypatch.setattr("gateway_llm_limits.charge.MAX_DEBTS", 2)
    quota = SlowQuota(100)
    for key in "aabbc":
        debts.add(quota, key, 1, 100)
    assert "one is dropped" in caplog.text
    quota.may_answer.set()
    await debts.paid(quota, "a")
    assert {key for key, _ in quota.asked} == {"a", "b"}


async def test_nobody_waits_longer_for_a_debt_than_a_charge_may_take(monkeypatch):
    """Whatever became of the one who charges."""
    monkeypatch.setattr("gateway_llm_limits.charge.TIMEOUT_S", 0.05)
    debts, quota = Debts(logging.getLogger("gateway.plugins.llm-limits")), cast("Any", SlowQuota(100))
    debts.add(quota, "a", 1, 100)
    async with asyncio.timeout(5):
        await debts.paid(quota, "a")
