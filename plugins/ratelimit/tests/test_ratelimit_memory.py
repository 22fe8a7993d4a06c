from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway import Decision
from gateway_ratelimit.memory_limiter import MemoryLimiter

pytestmark = pytest.mark.anyio


@pytest.fixture
async def on_a_clock(limiter_factory: Any, clock: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make limiters whose time is that of ``clock``."""

    async def make(*arguments: Any, **block: Any) -> MemoryLimiter:
        limiter: MemoryLimiter = await limiter_factory(*arguments, **block)
        monkeypatch.setattr(limiter, "_clock", lambda: round(clock() * 10**9))
        return limiter

    return make


async def count(limiter: Any, times: int, key: str = "orders|192.0.2.1", cost: int = 1) -> int:
    decisions = [await limiter.acquire(key, cost) for _ in range(times)]
    return sum(decision.is_allowed for decision in decisions)


async def test_what_a_client_is_told(on_a_clock: Any) -> None:
    limiter = await on_a_clock(limits={"rate": 10, "burst": 20})
    assert await limiter.acquire("a", 5) == Decision(
        is_allowed=True, limit=20, remaining=15, reset_s=0.5, retry_after_s=0.0, window_s=1.0
    )
    await limiter.acquire("a", 15)
    assert await limiter.acquire("a", 3) == Decision(
        is_allowed=False, limit=20, remaining=0, reset_s=2.0, retry_after_s=0.3, window_s=1.0
    )


@pytest.mark.parametrize("algorithm", ["token_bucket", "fixed_window", "sliding_window", "moving_window"])
async def test_every_algorithm_limits_and_recovers(on_a_clock: Any, clock: Any, algorithm: str) -> None:
    limiter = await on_a_clock(limits=100, algorithm=algorithm)
    assert await count(limiter, 200) == 100
    clock.advance(2.1)
    assert await count(limiter, 200) == 100
    limiter.refund("orders|192.0.2.1", 7)
    assert await count(limiter, 200) == 7


@pytest.mark.parametrize("algorithm", ["token_bucket", "fixed_window", "sliding_window", "moving_window"])
async def test_at_once_too_exactly_the_limit_passes(on_a_clock: Any, clock: Any, algorithm: str) -> None:
    limiter = await on_a_clock(limits=100, algorithm=algorithm)
    for _ in range(2):
        assert sum(limiter.acquire_now("a", 1).is_allowed for _ in range(200)) == 100
        clock.advance(2.1)
    assert not limiter.acquire_now("a", 101).is_allowed
    assert sum(limiter.acquire_now("a", 3).is_allowed for _ in range(200)) == 33
    limiter.refund("a", 7)
    assert sum(limiter.acquire_now("a", 2).is_allowed for _ in range(200)) == 4
    assert await count(limiter, 200, "b") == 100


async def test_whoever_is_asked_at_once_has_the_quota_of_who_waits(on_a_clock: Any, surroundings: Any) -> None:
    one = await on_a_clock(limits=100)
    two = await on_a_clock(surroundings.worker(), limits=100)
    passed = await count(one, 30, "a") + sum(two.acquire_now("a", 1).is_allowed for _ in range(30))
    assert passed == 60
    passed += sum(one.acquire_now("a", 1).is_allowed for _ in range(30)) + await count(two, 30, "a")
    assert passed == 100


async def test_decisions_at_once_say_the_same(on_a_clock: Any) -> None:
    limiter = await on_a_clock(limits={"rate": 10, "burst": 20})
    for cost in (5, 15, 3, 21):
        assert limiter.acquire_now("a", cost) == await limiter.acquire("b", cost)


async def test_a_refund_that_comes_too_late_changes_nothing(on_a_clock: Any, clock: Any) -> None:
    limiter = await on_a_clock(limits=10)
    limiter.refund("unknown", 5)
    await limiter.acquire("a", 5)
    clock.advance(10)
    limiter.refund("a", 5)
    assert await count(limiter, 20, "a") == 10


async def test_concurrent_requests_get_exactly_the_limit(limiter_factory: Any) -> None:
    limiter = await limiter_factory(limits="100/hour")
    decisions = await asyncio.gather(*(limiter.acquire("a", 1) for _ in range(500)))
    assert sum(decision.is_allowed for decision in decisions) == 100


async def test_two_workers_have_one_quota(on_a_clock: Any, surroundings: Any) -> None:
    one = await on_a_clock(limits=100)
    two = await on_a_clock(surroundings.worker(), limits=100)
    assert await count(one, 60) + await count(two, 60) == 100


async def test_limits_of_a_route_have_counters_of_their_own(on_a_clock: Any) -> None:
    by_client = await on_a_clock(limits={"rate": 5, "key": "client"})
    by_header = await on_a_clock(limits={"rate": 5, "key": "header:x-tenant"})
    assert await count(by_client, 9, "orders|192.0.2.1") == 5
    assert await count(by_header, 9, "orders|192.0.2.1") == 5


async def test_a_reload_that_changes_the_rate_forgets_nothing(on_a_clock: Any) -> None:
    before = await on_a_clock(limits="10/minute")
    assert await count(before, 20) == 10
    after = await on_a_clock(limits="20/minute")
    assert await count(after, 20) == 0


async def test_a_reload_to_a_shorter_limit_blocks_nobody_for_the_longer_one(on_a_clock: Any, clock: Any) -> None:
    before = await on_a_clock(limits="10/day")
    assert await count(before, 20) == 10
    after = await on_a_clock(limits="10/second")
    assert await count(after, 20) == 0
    clock.advance(1.0)
    assert await count(after, 20) == 10


async def test_any_name_is_a_key(limiter_factory: Any) -> None:
    limiter = await limiter_factory(limits=5)
    for key in ("", "\ud800", "ü" * 10_000, "\0"):
        assert await count(limiter, 9, key) == 5


async def test_a_thousand_limits_share_one_table(limiter_factory: Any, surroundings: Any) -> None:
    limiters = [await limiter_factory(limits=rate) for rate in range(1, 1000)]
    assert len({id(limiter._table) for limiter in limiters}) == 1


def test_it_promises_not_to_wait() -> None:
    assert MemoryLimiter.waits is False
