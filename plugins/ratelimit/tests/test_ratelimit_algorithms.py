from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import limits.storage.memory
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from limits import RateLimitItemPerSecond
from limits.strategies import FixedWindowRateLimiter, MovingWindowRateLimiter

from gateway_ratelimit.algorithms.fixed_window import FixedWindow
from gateway_ratelimit.algorithms.moving_window import MAX_ENTRIES, MovingWindow
from gateway_ratelimit.algorithms.sliding_window import SlidingWindow
from gateway_ratelimit.algorithms.token_bucket import TokenBucket

if TYPE_CHECKING:
    from gateway_ratelimit.algorithms.algorithm import Algorithm, State

SECOND = 1_000_000_000
START = 1_000_000 * SECOND
requests = st.lists(st.tuples(st.integers(0, 2000), st.integers(1, 5)), max_size=60)
"""Milliseconds after the one before, and what it costs."""


class Client:
    """One client of a limit."""

    def __init__(self, algorithm: Algorithm, now: int = START) -> None:
        self.algorithm = algorithm
        self.state: State | None = None
        self.now = now
        self.remaining = 0
        self.reset = 0
        self.retry_after = 0

    def ask(self, cost: int = 1) -> bool:
        is_allowed, state, self.remaining, self.reset, self.retry_after = self.algorithm.take(
            self.state, self.now, cost
        )
        if state is not None:
            self.state = state
        return is_allowed

    def ask_often(self, times: int) -> int:
        return sum(self.ask() for _ in range(times))


ALGORITHMS = {
    "token bucket": lambda: TokenBucket(10, 10, SECOND),
    "fixed window": lambda: FixedWindow(10, SECOND),
    "sliding window": lambda: SlidingWindow(10, SECOND),
    "moving window": lambda: MovingWindow(10, SECOND),
    "large moving window": lambda: MovingWindow(100, SECOND),
}
every_algorithm = pytest.mark.parametrize("make", ALGORITHMS.values(), ids=ALGORITHMS.keys())


def test_bucket_holds_its_burst_and_fills_at_its_rate() -> None:
    client = Client(TokenBucket(rate=10, burst=20, window=SECOND))
    assert client.ask_often(100) == 20
    assert (client.remaining, client.retry_after) == (0, SECOND // 10)
    client.now += SECOND // 2
    assert client.ask_often(100) == 5
    client.now += 100 * SECOND
    assert client.ask_often(100) == 20


@given(rate=st.integers(1, 10_000), burst=st.integers(1, 10_000))
def test_burst_is_exact_for_every_rate(rate: int, burst: int) -> None:
    client = Client(TokenBucket(rate, burst, SECOND), now=START + 12345)
    assert client.ask_often(burst + 1) == burst


def test_fixed_window_begins_with_the_first_request() -> None:
    client = Client(FixedWindow(10, SECOND))
    assert client.ask_often(20) == 10
    assert client.retry_after == SECOND
    client.now += SECOND - 1
    assert not client.ask()
    client.now += 1
    assert client.ask_often(20) == 10


def test_sliding_window_counts_the_part_of_the_window_before_that_overlaps() -> None:
    client = Client(SlidingWindow(10, SECOND))
    assert client.ask_often(20) == 10
    client.now += SECOND
    assert not client.ask()
    client.now += SECOND // 2  # half of the ten still count
    assert client.ask_often(20) == 5


def test_moving_window_forgets_each_request_a_window_later() -> None:
    client = Client(MovingWindow(2, SECOND))
    assert client.ask()
    client.now += SECOND // 2
    assert client.ask()
    assert not client.ask()
    client.now += SECOND // 2
    assert client.ask()
    assert not client.ask()


@given(limit=st.integers(1, 500), gaps=st.lists(st.integers(0, 300), max_size=300))
@settings(deadline=None)
def test_no_window_of_a_moving_window_holds_more_than_the_limit(limit: int, gaps: list[int]) -> None:
    client = Client(MovingWindow(limit, SECOND))
    allowed = []
    for gap in gaps:
        client.now += gap * SECOND // 1000
        allowed += [client.now] * client.ask_often(limit // 3 + 1)
        assert client.state is None or len(client.state) <= client.algorithm.state_size
        assert sum(1 for time in allowed if time > client.now - SECOND) <= limit


def test_a_large_moving_window_forgets_a_sixtieth_of_a_window_too_late_at_most() -> None:
    client = Client(MovingWindow(1000, SECOND))
    assert client.ask_often(2000) == 1000
    client.now += SECOND + SECOND // MAX_ENTRIES + 1
    assert client.ask_often(2000) == 1000


@every_algorithm
@given(asked=requests)
@settings(deadline=None)
def test_who_waits_as_long_as_told_is_allowed_and_not_earlier(make: Any, asked: list[tuple[int, int]]) -> None:
    client = Client(make())
    for gap, cost in asked:
        client.now += gap * SECOND // 1000
        if client.ask(cost):
            assert client.retry_after == 0
            continue
        wait = client.retry_after
        assert wait > 0
        client.now += wait - 1
        assert not client.ask(cost)
        client.now += 1
        assert client.ask(cost)


@every_algorithm
@given(asked=requests)
@settings(deadline=None)
def test_the_quota_is_whole_when_it_was_said_to_be(make: Any, asked: list[tuple[int, int]]) -> None:
    client = Client(make())
    for gap, cost in asked:
        client.now += gap * SECOND // 1000
        client.ask(cost)
    if client.state is not None:
        client.ask()
        assert client.state[0] >= client.now
        client.now += client.reset
        assert client.ask(client.algorithm.quota)


@every_algorithm
@given(asked=requests, cost=st.integers(1, 5))
@settings(deadline=None)
def test_what_is_given_back_was_never_taken(make: Any, asked: list[tuple[int, int]], cost: int) -> None:
    client = Client(make())
    for gap, price in asked:
        client.now += gap * SECOND // 1000
        client.ask(price)
    before = client.algorithm.take(client.state, client.now, 1)
    if client.ask(cost):
        assert client.state is not None
        client.state = client.algorithm.give_back(client.state, client.now, cost)
        after = client.algorithm.take(client.state, client.now, 1)
        assert (after[0], after[2]) == (before[0], before[2])


@every_algorithm
def test_giving_back_more_than_was_taken_makes_no_credit(make: Any) -> None:
    client = Client(make())
    client.ask()
    assert client.state is not None
    client.state = client.algorithm.give_back(client.state, client.now, 1000)
    quota = client.algorithm.quota
    assert client.ask_often(2 * quota) == quota


@every_algorithm
def test_a_clock_that_jumps_back_blocks_nobody_for_longer_than_the_limit_itself(make: Any) -> None:
    client = Client(make())
    client.ask_often(1000)
    client.now -= 3600 * SECOND
    assert not client.ask()
    assert client.retry_after <= 2 * SECOND
    client.now += 2 * SECOND + SECOND // MAX_ENTRIES + 1
    assert client.ask()


@every_algorithm
def test_a_clock_that_jumps_ahead_gives_one_quota_and_no_more(make: Any) -> None:
    client = Client(make())
    client.ask_often(1000)
    client.now += 3600 * SECOND
    quota = client.algorithm.quota
    assert client.ask_often(1000) == quota


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(FixedWindow, FixedWindowRateLimiter), (MovingWindow, MovingWindowRateLimiter)],
    ids=["fixed", "moving"],
)
@given(asked=st.lists(st.integers(1, 2000), max_size=60), limit=st.integers(1, 12))
@settings(deadline=None)
def test_windows_decide_as_those_of_the_limits_library(ours: Any, theirs: Any, asked: list[int], limit: int) -> None:
    now = [float(START // SECOND)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits.storage.memory, "time", SimpleNamespace(time=lambda: now[0]))
        reference = theirs(limits.storage.memory.MemoryStorage())
        item = RateLimitItemPerSecond(limit, 5)
        client = Client(ours(limit, 5 * SECOND))
        for elapsed in itertools.accumulate(asked):
            # In sixteenths of a second, which a double knows exactly; the library differs on the very end of a window.
            client.now = START + elapsed * SECOND // 16 + elapsed
            now[0] = client.now / SECOND
            assert client.ask() == reference.hit(item)
