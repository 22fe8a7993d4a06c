"""The scripts that Redis runs decide as the functions that count in memory do."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway_ratelimit.algorithms import algorithm_of
from gateway_ratelimit.config import RateLimitConfig, limits_of
from gateway_ratelimit.scripts import load_script

if TYPE_CHECKING:
    from gateway_ratelimit.algorithms.algorithm import State

SECOND = 1_000_000
EPOCH = 1_750_000_000
serial = itertools.count()


def manual(algorithm: str) -> str:
    """Return the script with a clock that the test sets."""
    source = load_script(algorithm).source
    assert source.count("redis.call('TIME')") == 1
    source = source.replace("redis.call('TIME')", "{table.remove(ARGV), table.remove(ARGV)}")
    # Keys expire on the server's own clock, which goes on meanwhile.
    assert source.count("(fresh_at - now) / 1000") == 1
    return source.replace("(fresh_at - now) / 1000", "100000")


steps = st.lists(
    st.tuples(st.integers(-3000, 3000), st.integers(1, 5), st.integers(0, 9).map(lambda lot: lot == 0)), max_size=25
)
"""Milliseconds after the one before, what it costs, whether that is given back."""


@pytest.mark.parametrize("algorithm", ["token_bucket", "fixed_window", "sliding_window", "moving_window"])
@pytest.mark.parametrize("rate", [8, 200])
@given(steps=steps)
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_redis_decides_as_memory_does(
    shared_redis: Any, algorithm: str, rate: int, steps: list[tuple[int, int, bool]]
) -> None:
    (limit,) = limits_of(RateLimitConfig.model_validate({"limits": rate, "algorithm": algorithm}))
    ours = algorithm_of(limit, SECOND)
    script = shared_redis.client.register_script(manual(algorithm))
    key = f"twin:{next(serial)}"
    state: State | None = None
    now = 100_000 * SECOND
    for elapsed_ms, weight, is_given_back in steps:
        now += elapsed_ms * 1000
        cost = weight * rate // 8
        clock = [now % SECOND, EPOCH + now // SECOND]
        is_allowed, changed, *rest = ours.take(state, now, cost)
        assert script([key], [cost, *ours.arguments, *clock]) == [int(is_allowed), *rest]
        state = state if changed is None else changed
        if is_given_back and is_allowed and state is not None:
            script([key], [-cost, *ours.arguments, *clock])
            state = ours.give_back(state, now, cost)


@pytest.mark.parametrize("algorithm", ["token_bucket", "fixed_window", "sliding_window", "moving_window"])
def test_keys_expire_when_they_say_nothing_any_more(shared_redis: Any, algorithm: str) -> None:
    (limit,) = limits_of(RateLimitConfig.model_validate({"limits": "10/minute", "algorithm": algorithm}))
    redis = shared_redis.client
    script = redis.register_script(load_script(algorithm).source)
    *_, reset, _ = script([f"expiring:{algorithm}"], [3, *algorithm_of(limit, SECOND).arguments])
    lives_ms = redis.pttl(f"expiring:{algorithm}")
    assert reset / 1000 - 500 < lives_ms <= reset / 1000 + 1


def test_a_rate_that_does_not_divide_a_second_is_still_exact(shared_redis: Any) -> None:
    (limit,) = limits_of(RateLimitConfig.model_validate({"limits": {"rate": 300_000, "burst": 70_001}}))
    script = shared_redis.client.register_script(manual("token_bucket"))
    arguments = algorithm_of(limit, SECOND).arguments
    at = [0, EPOCH + 500_000_000]
    allowed, remaining, *_ = script(["exact"], [70_000, *arguments, *at])
    assert (allowed, remaining) == (1, 1)
    assert script(["exact"], [1, *arguments, *at])[:2] == [1, 0]
    assert script(["exact"], [1, *arguments, *at])[:2] == [0, 0]
