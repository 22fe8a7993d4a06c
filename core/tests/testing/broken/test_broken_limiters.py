"""The contract of limiters: one that keeps it, and those that do not."""

# ruff: noqa: ASYNC251, SIM105 - what is done badly here is done so on purpose

import asyncio
import re
import time

import pytest
from core.tests.testing.broken.harness import breach, told_in_the_end
from pydantic import Field

from gateway import Decision, LimitConfig, LimiterRegistration
from gateway.testing import LimiterContract

MAX_KEYS = 500


class QuotaConfig(LimitConfig):
    quota: int = Field(5, description="How many requests pass.")


class Quotas:
    """So many for each key, with a lock, as one that asks a server might have."""

    def __init__(self, config, context):
        self.quota = config.quota
        self.used: dict[str, int] = {}
        self.lock = asyncio.Lock()

    async def acquire(self, key, cost):
        async with self.lock:
            await self.look()
            return self.take(key, cost)

    async def look(self):
        await asyncio.sleep(0)

    def take(self, key, cost):
        used = self.used.pop(key, 0)
        is_allowed = used + cost <= self.quota
        self.used[key] = used = used + cost * is_allowed
        self.forget()
        return Decision(
            is_allowed=is_allowed, limit=self.quota, remaining=self.quota - used, reset_s=60.0, retry_after_s=60.0
        )

    def forget(self):
        if len(self.used) > MAX_KEYS:
            del self.used[next(iter(self.used))]

    def refund(self, key, cost):
        if key in self.used:
            self.used[key] = max(0, self.used[key] - cost)


def build(config, context):
    return Quotas(config, context)


class QuotaContract(LimiterContract):
    plugin = LimiterRegistration(name="quotas", summary="Quotas", config=QuotaConfig, build=build)
    quota = 5
    remembered = 1000


class TestQuotas(QuotaContract):
    """The reference."""


class NotAtomic(Quotas):
    async def acquire(self, key, cost):
        used = self.used.get(key, 0)
        await self.look()
        self.used[key] = used
        return self.take(key, cost)


class OneForAll(Quotas):
    def take(self, key, cost):
        return super().take("everybody", cost)


class IgnoresCost(Quotas):
    def take(self, key, cost):
        return super().take(key, 1)


class TakesFromTheRefused(Quotas):
    def take(self, key, cost):
        decision = super().take(key, cost)
        if not decision.is_allowed:
            self.used[key] += 1
        return decision


class NeverSaysWhen(Quotas):
    def take(self, key, cost):
        decision = super().take(key, cost)
        decision.retry_after_s = 0.0
        return decision


class RefundsForNothing(Quotas):
    def refund(self, key, cost):
        self.used[key] = self.used.get(key, 0) - cost


class RefundsNothing(Quotas):
    def refund(self, key, cost):
        pass


class KeepsTheLock(Quotas):
    async def acquire(self, key, cost):
        await self.lock.acquire()
        await self.look()
        decision = self.take(key, cost)
        self.lock.release()
        return decision


class Swallows(Quotas):
    async def acquire(self, key, cost):
        try:
            await self.look()
        except asyncio.CancelledError:
            pass
        return self.take(key, cost)


class ForgetsNobody(Quotas):
    def forget(self):
        pass


class Blocks(Quotas):
    async def acquire(self, key, cost):
        time.sleep(0.15)
        return await super().acquire(key, cost)


class WaitsAfterAll(Quotas):
    waits = False


class AtOnce(Quotas):
    """One that never waits."""

    waits = False

    async def acquire(self, key, cost):
        return self.take(key, cost)

    def acquire_now(self, key, cost):
        return self.take(key, cost)


class AtOnceInACoroutine(AtOnce):
    async def acquire_now(self, key, cost):
        return self.take(key, cost)


class AtOnceAndWaits(AtOnce):
    waits = True


class SaysYesAtOnce(AtOnce):
    def acquire_now(self, key, cost):
        return super().acquire_now(key, cost).is_allowed


class HasAnotherQuotaAtOnce(AtOnce):
    def acquire_now(self, key, cost):
        return super().acquire_now(f"now {key}", cost)


class IgnoresCostAtOnce(AtOnce):
    def acquire_now(self, key, cost):
        return super().acquire_now(key, 1)


class TakesFromTheRefusedAtOnce(AtOnce):
    def acquire_now(self, key, cost):
        decision = super().acquire_now(key, cost)
        if not decision.is_allowed:
            self.used[key] += 1
        return decision


class RefundsNothingAtOnce(AtOnce):
    def acquire_now(self, key, cost):
        self.kept = key
        return super().acquire_now(key, cost)

    def refund(self, key, cost):
        if key != getattr(self, "kept", None):
            super().refund(key, cost)


class BlocksAtOnce(AtOnce):
    def acquire_now(self, key, cost):
        if key == "key 0":
            time.sleep(0.15)
        return super().acquire_now(key, cost)


@pytest.mark.parametrize(
    ("limiter", "check", "said"),
    [
        (
            NotAtomic,
            "test_exactly_the_quota_passes_however_many_ask_at_once",
            "15 of 15 at once passed, of a quota of 5",
        ),
        (OneForAll, "test_each_key_has_a_quota_of_its_own", "another key had less"),
        (IgnoresCost, "test_a_cost_counts_as_so_many", "a cost of 6 passed, of a quota of 5"),
        (TakesFromTheRefused, "test_a_cost_counts_as_so_many", "what was refused took something"),
        (NeverSaysWhen, "test_decisions_make_sense", "does not say for how long"),
        (
            RefundsForNothing,
            "test_a_refund_gives_back_what_was_taken_and_no_more",
            "after a refund for nothing, 7 passed",
        ),
        (RefundsNothing, "test_a_refund_gives_back_what_was_taken_and_no_more", "the quota is not whole again"),
        (KeepsTheLock, "test_cancellation_takes_one_at_most_and_blocks_nobody", "after another one was cancelled"),
        (Swallows, "test_cancellation_takes_one_at_most_and_blocks_nobody", "let CancelledError pass"),
        (ForgetsNobody, "test_keys_do_not_fill_the_memory", "blocks of memory; bound what is kept"),
        (Blocks, "test_it_does_not_block", "blocked the event loop for .* at .*test_broken_limiters.py"),
        (WaitsAfterAll, "test_it_waits_only_if_it_says_so", "says waits = False and waited for"),
        (AtOnceInACoroutine, "test_acquire_now_answers_at_once", "acquire_now is a coroutine function"),
        (AtOnceAndWaits, "test_acquire_now_answers_at_once", "say waits = False"),
        (SaysYesAtOnce, "test_acquire_now_answers_at_once", "acquire_now returned True; return a Decision"),
        (HasAnotherQuotaAtOnce, "test_acquire_now_takes_from_the_quota_of_acquire", "10 of 15 at once passed"),
        (IgnoresCostAtOnce, "test_acquire_now_decides_as_acquire_does", "for a cost of 6, acquire says"),
        (TakesFromTheRefusedAtOnce, "test_acquire_now_decides_as_acquire_does", "for a cost of 1, acquire says"),
        (RefundsNothingAtOnce, "test_a_refund_gives_back_what_was_taken_and_no_more", "the quota is not whole again"),
        (BlocksAtOnce, "test_it_does_not_block", "blocked the event loop"),
    ],
)
def test_it_is_caught(limiter, check, said, monkeypatch):
    patience = {"expectation.PATIENCE_S": 0.2}
    assert re.search(said, told_in_the_end(said, lambda: breach(QuotaContract, limiter, check), patience, monkeypatch))


@pytest.mark.parametrize(
    "check",
    [name for name in dir(QuotaContract) if name.startswith(("test_acquire_now", "test_a_refund", "test_it_"))],
)
def test_one_that_answers_at_once_keeps_the_contract(check):
    assert breach(QuotaContract, AtOnce, check) == ""
