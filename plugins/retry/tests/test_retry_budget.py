"""How much of the traffic may be retries."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.testing import ManualClock
from gateway_retry.budget import RetryBudget
from gateway_retry.config import BudgetConfig


def test_a_share_of_the_requests_may_be_retries(clock):
    budget, config = RetryBudget(10.0, clock=clock), BudgetConfig(ratio=0.2, min_retries_per_second=0)
    for _ in range(50):
        budget.request()
    assert [budget.take(config) for _ in range(12)] == [True] * 10 + [False] * 2


def test_the_budget_comes_back_as_the_window_rolls(clock):
    budget, config = RetryBudget(10.0, clock=clock), BudgetConfig(ratio=0, min_retries_per_second=0.2)
    assert [budget.take(config) for _ in range(3)] == [True, True, False]
    clock.advance(9.9)
    assert not budget.take(config)
    clock.advance(0.2)
    assert budget.take(config)


def test_nothing_is_refused_as_long_as_there_are_few_requests(clock):
    budget = RetryBudget(10.0, clock=clock)
    config = BudgetConfig(ratio=0, min_retries_per_second=0, min_requests=3)
    for allowed in (True, True, False):
        budget.request()
        assert budget.take(config) is allowed


def test_without_a_budget_nothing_is_refused(clock):
    config = BudgetConfig(enabled=False, ratio=0, min_retries_per_second=0)
    assert RetryBudget(10.0, clock=clock).take(config)


def test_another_window_begins_anew(clock):
    budget, config = RetryBudget(10.0, clock=clock), BudgetConfig(ratio=0, min_retries_per_second=0.1)
    assert budget.take(config)
    budget.fit(10.0)
    assert not budget.take(config)
    budget.fit(20.0)
    assert budget.take(config)


@given(
    st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=300),
    st.floats(0, 1),
    st.floats(0, 3),
    st.floats(1, 30),
)
def test_no_window_ever_sees_more_retries_than_the_budget(events, ratio, floor, window_s):
    clock = ManualClock()
    budget = RetryBudget(window_s, clock=clock)
    config = BudgetConfig(ratio=ratio, min_retries_per_second=floor)
    requests: list[float] = []
    retries: list[float] = []
    for after_s, is_request in events:
        clock.advance(after_s)
        if is_request:
            budget.request()
            requests.append(clock())
        elif budget.take(config):
            retries.append(clock())
            # The ring forgets whole buckets: it covers at least nine tenths of the window, and never more than it.
            began = clock() - window_s
            recent = sum(at_s > began + window_s / 10 + 1e-6 for at_s in retries)
            assert recent <= ratio * sum(at_s >= began - 1e-6 for at_s in requests) + floor * window_s + 1e-6
