"""What a limiter promises."""

from __future__ import annotations

import asyncio
import inspect
import math
from typing import TYPE_CHECKING, ClassVar

from gateway.interfaces import Decision
from gateway.registrations import LimiterRegistration, Registration
from gateway.testing.contracts.cancelling import cancel_everywhere, expect_no_waiting
from gateway.testing.contracts.component import ComponentContract
from gateway.testing.contracts.expectation import PATIENCE_S, expect, in_time
from gateway.testing.contracts.growth import expect_bounded
from gateway.testing.contracts.standstill import expect_a_running_loop

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.interfaces import Limiter

__all__ = ["LimiterContract"]


class LimiterContract(ComponentContract):
    """Extend it, name it ``Test...``, and configure a quota that comes back slowly: ten an hour, say.

    Attributes:
        quota: How many requests of one key its configuration lets pass at once, from 4 on.
        remembered: How many keys it may remember.
    """

    kind: ClassVar[type[Registration]] = LimiterRegistration
    quota: ClassVar[int] = 10
    remembered: ClassVar[int] = 10_000

    async def test_exactly_the_quota_passes_however_many_ask_at_once(self) -> None:
        """Not one more, nor one less."""
        async with self.built() as limiter:
            decisions = await asyncio.gather(*(limiter.acquire("key", 1) for _ in range(3 * self.quota)))
            self._expect_passed(decisions, self.quota)

    async def test_each_key_has_a_quota_of_its_own(self) -> None:
        """One that is used up takes nothing from another."""
        async with self.built() as limiter:
            await self._passed(limiter, "one")
            expect((await self._passed(limiter, "other")) == self.quota, "another key had less than its whole quota")

    async def test_a_cost_counts_as_so_many(self) -> None:
        """And what is too much takes nothing."""
        async with self.built() as limiter:
            too_much = await limiter.acquire("key", self.quota + 1)
            expect(not too_much.is_allowed, f"a cost of {self.quota + 1} passed, of a quota of {self.quota}")
            expect((await limiter.acquire("key", self.quota - 1)).is_allowed, "what was refused took something")
            expect(not (await limiter.acquire("key", 2)).is_allowed, "a cost of 2 passed where 1 was left")
            expect(
                (await limiter.acquire("key", 1)).is_allowed,
                "what was refused took something: the last one of the quota is gone",
            )
            expect(not (await limiter.acquire("key", 1)).is_allowed, "one more than the quota passed")

    async def test_decisions_make_sense(self) -> None:
        """Clients are told what they say."""
        async with self.built() as limiter:
            before = self.quota
            for _ in range(self.quota + 2):
                decision = await limiter.acquire("key", 1)
                said = f"{decision}"
                expect(decision.limit >= self.quota, f"the limit is below the quota: {said}")
                expect(
                    0 <= decision.remaining <= max(0, before - decision.is_allowed), f"what remains is wrong: {said}"
                )
                expect(math.isfinite(decision.reset_s) and decision.reset_s >= 0, f"reset_s makes no sense: {said}")
                is_told = decision.is_allowed or 0 < decision.retry_after_s < math.inf
                expect(is_told, f"it refuses and does not say for how long: {said}")
                before = decision.remaining

    async def test_a_refund_gives_back_what_was_taken_and_no_more(self) -> None:
        """Another limiter refused the request; whoever asks for more back than was taken must not get it."""
        async with self.built() as limiter:
            refund = getattr(limiter, "refund", None)
            if refund is None:
                return
            await limiter.acquire("key", 3)
            expect(refund("key", 3) is None, "refund returned something; it is synchronous and returns nothing")
            # One that tells a server does so beside the request.
            await self._eventually_passes(limiter, "key", self.quota)
            acquire_now = _acquire_now(limiter)
            if acquire_now is not None:
                acquire_now("at once", 3)
                refund("at once", 3)
                await self._eventually_passes(limiter, "at once", self.quota)
            refund("never asked", 2)
            await asyncio.sleep(0.01)
            passed = await self._passed(limiter, "never asked")
            expect(passed <= self.quota, f"after a refund for nothing, {passed} passed of a quota of {self.quota}")

    async def test_cancellation_takes_one_at_most_and_blocks_nobody(self) -> None:
        """A client that goes away while its quota is looked at may have used one of it, and leaves no lock behind."""
        async with self.bench() as bench:
            limiter = await bench.build(self.registration, self.config())
            count = 0

            async def after() -> None:
                nonlocal count
                count += 1
                async with in_time("a decision, after another one was cancelled,"):
                    passed = await self._passed(limiter, f"cancelled {count}")
                wrong = f"{passed} passed of a quota of {self.quota} after one was cancelled"
                expect(self.quota - 1 <= passed <= self.quota, wrong)

            await cancel_everywhere(lambda: limiter.acquire(f"cancelled {count + 1}", 1), "acquire", after)

    async def test_cancelled_ones_among_many_change_nothing_for_the_others(self) -> None:
        """Half of those who wait go away."""
        async with self.built() as limiter:
            tasks = [asyncio.ensure_future(limiter.acquire("key", 1)) for _ in range(2 * self.quota)]
            await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            await asyncio.wait(tasks, timeout=PATIENCE_S)
            expect(all(task.done() for task in tasks), "after others were cancelled, some never got a decision")
            passed = sum(not task.cancelled() and task.result().is_allowed for task in tasks)
            passed += await self._passed(limiter, "key")
            cancelled = sum(task.cancelled() for task in tasks)
            wrong = f"{passed} passed of a quota of {self.quota}, while {cancelled} were cancelled"
            expect(self.quota - cancelled <= passed <= self.quota, wrong)

    async def test_it_waits_only_if_it_says_so(self) -> None:
        """``waits = False`` is kept, whatever is decided."""
        async with self.built() as limiter:
            for _ in range(self.quota + 2):
                await expect_no_waiting(limiter, limiter.acquire("key", 1), "acquire")

    async def test_it_does_not_block(self) -> None:
        """Not for many keys either."""
        async with self.built() as limiter:

            async def work() -> None:
                acquire_now = _acquire_now(limiter)
                for number in range(5):
                    await limiter.acquire(f"key {number}", 1)
                    if acquire_now is not None:
                        acquire_now(f"key {number}", 1)

            await expect_a_running_loop(work, "acquire")

    async def test_keys_do_not_fill_the_memory(self) -> None:
        """Clients choose them."""
        async with self.built() as limiter:

            async def use(number: int) -> None:
                await limiter.acquire(f"key {number}", 1)

            await expect_bounded(use, self.remembered, "keys")

    async def test_acquire_now_answers_at_once(self) -> None:
        """Where there is one, it is called and not awaited."""
        async with self.built() as limiter:
            acquire_now = _acquire_now(limiter)
            if acquire_now is None:
                return
            is_plain = not inspect.iscoroutinefunction(acquire_now)
            expect(is_plain, "acquire_now is a coroutine function, and not awaited; write def")
            decision: object = acquire_now("key", 1)
            expect(isinstance(decision, Decision), f"acquire_now returned {decision!r}; return a Decision")
            waits = getattr(limiter, "waits", True)
            expect(waits is False, "acquire_now is for limiters that never wait; say waits = False")

    async def test_acquire_now_takes_from_the_quota_of_acquire(self) -> None:
        """It is called in its place, and by others beside it: together not one more passes."""
        async with self.built() as limiter:
            acquire_now = _acquire_now(limiter)
            if acquire_now is None:
                return
            numbers = range(3 * self.quota)
            decisions = [acquire_now("both", 1) if n % 2 else await limiter.acquire("both", 1) for n in numbers]
            self._expect_passed(decisions, self.quota)
            self._expect_passed([acquire_now("at once", 1) for _ in numbers], self.quota)
            expect(not await self._passed(limiter, "at once"), "acquire passed where acquire_now had used up the quota")
            await self._passed(limiter, "waited for")
            one_more = acquire_now("waited for", 1)
            expect(not one_more.is_allowed, "acquire_now passed where acquire had used up the quota")

    async def test_acquire_now_decides_as_acquire_does(self) -> None:
        """Whatever a request costs; what is too much takes nothing."""
        async with self.built() as limiter:
            acquire_now = _acquire_now(limiter)
            if acquire_now is None:
                return
            for cost in (self.quota + 1, 1, self.quota, self.quota - 2, 2, 1, 1):
                expected, decision = await limiter.acquire("one", cost), acquire_now("other", cost)
                said = f"for a cost of {cost}, acquire says {expected}, and acquire_now says {decision}"
                expect(_of_moment(decision) == _of_moment(expected), said)

    # Underneath.

    async def _passed(self, limiter: Limiter, key: str) -> int:
        """Return how many pass now, of more than the quota."""
        return sum([(await limiter.acquire(key, 1)).is_allowed for _ in range(self.quota + 3)])

    def _expect_passed(self, decisions: list[Decision], expected: int) -> None:
        passed = sum(decision.is_allowed for decision in decisions)
        expect(passed == expected, f"{passed} of {len(decisions)} at once passed, of a quota of {expected}")

    async def _eventually_passes(self, limiter: Limiter, key: str, cost: int) -> None:
        for _ in range(100):
            if (await limiter.acquire(key, cost)).is_allowed:
                expect(not (await limiter.acquire(key, 1)).is_allowed, "a refund gave back more than was taken")
                return
            await asyncio.sleep(0.01)
        expect(is_so=False, why="after a refund, the quota is not whole again")


def _acquire_now(limiter: Limiter) -> Callable[[str, int], Decision] | None:
    return getattr(limiter, "acquire_now", None)


def _of_moment(decision: Decision) -> tuple[object, ...]:
    """Return what two decisions have in common that were made one after the other."""
    return decision.is_allowed, decision.limit, decision.remaining, decision.window_s
