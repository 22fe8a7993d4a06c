"""The block ``circuitBreaker``: what it means, and what is refused."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from gateway_circuitbreaker.config import CircuitBreakerConfig
from gateway_circuitbreaker.plugin import gateway_register_admin_routes, gateway_register_policies
from gateway_circuitbreaker.policy import CircuitBreaker


def test_defaults():
    config = CircuitBreakerConfig()
    assert (config.scope, config.failures_in_a_row, config.failure_ratio) == ("service", 5, 0.5)
    assert (config.min_requests, config.interval, config.timeout) == (20, 60.0, 60.0)
    assert (config.max_requests, config.probes_to_close, config.probe_timeout_s) == (1, 1, 60.0)
    assert config.statuses == frozenset(range(500, 600))


def test_a_threshold_above_one_counts_failures():
    config = CircuitBreakerConfig.model_validate({"failureThreshold": 7})
    assert (config.failures_in_a_row, config.failure_ratio) == (7, 0.0)


def test_as_many_probes_close_as_are_let_through():
    config = CircuitBreakerConfig.model_validate({"maxRequests": 4, "timeout": "30s"})
    assert (config.probes_to_close, config.probe_timeout_s) == (4, 30.0)


def test_a_routes_settings_come_before_its_services_and_lie_over_the_others():
    config = CircuitBreakerConfig.model_validate(
        {
            "maxFailures": 2,
            "timeout": 10,
            "services": {"orders": {"maxFailures": 3}},
            "routes": {"a": {"timeout": 20}},
        }
    )
    assert config.settings_for("b", "users") is config
    of_service = config.settings_for("b", "orders")
    assert (of_service.failures_in_a_row, of_service.timeout) == (3, 10.0)
    of_route = config.settings_for("a", "orders")
    assert (of_route.failures_in_a_row, of_route.timeout) == (2, 20.0)


@pytest.mark.parametrize(
    "block",
    [
        {"maxFailures": -1},
        {"maxFailures": 0, "failureThreshold": 0},
        {"failureThreshold": 2.5},
        {"failureThreshold": 3, "maxFailures": 3},
        {"failureThreshold": -0.1},
        {"failureThreshold": "nan"},
        {"failureThreshold": "inf"},
        {"minRequests": 0},
        {"interval": 0},
        {"timeout": 0},
        {"timeout": "soon"},
        {"maxRequests": 0},
        {"maxRequests": 1001},
        {"successThreshold": 0},
        {"buckets": 0},
        {"buckets": 61},
        {"probeTimeout": 0},
        {"statuses": [99]},
        {"statuses": ["6xx"]},
        {"statuses": ["504-500"]},
        {"statuses": [True]},
        {"statuses": {"a": 1}},
        {"errors": ["everything"]},
        {"scope": "gateway"},
        {"scopes": "route"},
        {"routes": {"a": {"scope": "route"}}},
        {"routes": {"a": {"maxFailures": 0, "failureThreshold": 0}}},
        {"failureThreshold": 0, "routes": {"a": {"maxFailures": 0}}},
        {"maxFailures": 3, "services": {"a": {"failureThreshold": 4}}},
    ],
)
def test_what_makes_no_sense_is_refused(block):
    with pytest.raises(ValidationError):
        CircuitBreakerConfig.model_validate(block)


def test_what_it_offers():
    (policy,) = gateway_register_policies()
    assert (policy.path, policy.rule_key) == ("circuitBreaker", "circuitBreaker")
    assert CircuitBreaker.waits is False
    assert [(each.method, each.admin_path, each.is_public) for each in gateway_register_admin_routes()] == [
        ("GET", "/breakers", False),
        ("POST", "/breakers/reset", False),
    ]
