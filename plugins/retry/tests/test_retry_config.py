"""The block ``retry``: what it means, and what is refused."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from gateway_retry.config import RetryConfig
from gateway_retry.plugin import gateway_register_policies
from gateway_retry.policy import Retry


@pytest.mark.parametrize(
    "block",
    [
        {"maxAttempts": -1},
        {"maxAttempts": 21},
        {"initialDelay": "2s", "maxDelay": "1s"},
        {"maxDelay": 50},
        {"routes": {"a": {"maxDelay": 50}}},
        {"multiplier": 0.5},
        {"multiplier": "inf"},
        {"jitter": 1.1},
        {"jitter": -0.1},
        {"statuses": [99]},
        {"statuses": "all"},
        {"errors": ["any"]},
        {"perTryTimeout": 0},
        {"timeout": 0},
        {"maxBodySize": "-1"},
        {"budget": {"ratio": -1}},
        {"budget": {"ratio": "nan"}},
        {"budget": {"window": 0}},
        {"budget": {"minRetriesPerSecond": -1}},
        {"budget": {"minRetriesPerSecond": "inf"}},
        {"budgets": {}},
        {"routes": {"a": {"routes": {}}}},
    ],
)
def test_what_makes_no_sense_is_refused(block):
    with pytest.raises(ValidationError):
        RetryConfig.model_validate(block)


def test_bare_numbers_are_milliseconds_for_delays_and_seconds_for_timeouts():
    config = RetryConfig.model_validate({"initialDelay": 20, "maxDelay": "1s", "perTryTimeout": 2, "maxRetryAfter": 3})
    assert (config.initial_delay, config.max_delay, config.per_try_timeout, config.max_retry_after) == (0.02, 1, 2, 3)


def test_what_it_offers():
    (policy,) = gateway_register_policies()
    assert (policy.path, policy.rule_key, policy.stage.name) == ("retry", "retry", "RETRY")
    assert Retry.waits is False


def test_the_budget_of_a_route_in_one_key():
    config = RetryConfig.model_validate({"routes": {"a": {"budgetRatio": 0.5, "budget": {"window": 5}}}})
    budget = config.settings_for("a", "s").budget
    assert (budget.ratio, budget.window) == (0.5, 5.0)
