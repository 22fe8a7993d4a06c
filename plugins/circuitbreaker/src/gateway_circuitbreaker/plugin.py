"""What gateway-circuitbreaker offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import AdminRouteRegistration, BuildContext, NoConfig, PolicyRegistration, Stage, hookimpl
from gateway_circuitbreaker.config import CircuitBreakerConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway_circuitbreaker.admin import ListBreakers, ResetBreaker
    from gateway_circuitbreaker.policy import CircuitBreaker

KEYS = ("maxFailures", "failureThreshold", "minRequests", "interval", "timeout", "maxRequests", "successThreshold")
"""What the original gateway's files write under ``default``."""


_SLOW = "a call that is too slow is one that a deadline cut: write the rule's 'timeout', or 'retry.perTryTimeout'"
_REFUSED = {
    "slowCallDurationThreshold": _SLOW,
    "slowCallRateThreshold": _SLOW,
    "webhooks": "alert on the metric gateway_circuit_breaker_state; remove it",
    "healthCheck": "write gateway.health.active; an open circuit tries again by itself after 'timeout'",
}
"""Keys of the original gateway's documents that mean nothing here."""


@hookimpl
def gateway_register_policies() -> Sequence[PolicyRegistration]:
    return [
        PolicyRegistration(
            name="circuitbreaker",
            summary="Leaves what fails alone for a while, and answers 503 at once",
            config=CircuitBreakerConfig,
            build=build_circuit_breaker,
            stage=Stage.ATTEMPT,
            path="circuitBreaker",
            rule_key="circuitBreaker",
            aliases={
                **{f"default.{key}": key for key in KEYS},
                "halfOpenRequests": "maxRequests",
                "failureStatusCodes": "statuses",
                "gateway.middleware.circuitbreaker": "gateway.circuitBreaker",
                "gateway.router.rules[].metadata.circuitBreaker": "gateway.router.rules[].circuitBreaker",
                "observabilityWindow": "interval",
            },
            refused=_REFUSED,
        )
    ]


@hookimpl
def gateway_register_admin_routes() -> Sequence[AdminRouteRegistration]:
    return [
        AdminRouteRegistration(
            name="breakers",
            summary="Every circuit and its state",
            build=build_list_breakers,
            admin_path="/breakers",
        ),
        AdminRouteRegistration(
            name="breakers-reset",
            summary="Closes a circuit",
            build=build_reset_breaker,
            method="POST",
            admin_path="/breakers/reset",
        ),
    ]


def build_circuit_breaker(config: CircuitBreakerConfig, context: BuildContext) -> CircuitBreaker:
    from gateway_circuitbreaker.policy import CircuitBreaker

    return CircuitBreaker(config, context)


def build_list_breakers(config: NoConfig, context: BuildContext) -> ListBreakers:
    from gateway_circuitbreaker.admin import ListBreakers

    return ListBreakers(context)


def build_reset_breaker(config: NoConfig, context: BuildContext) -> ResetBreaker:
    from gateway_circuitbreaker.admin import ResetBreaker

    return ResetBreaker(context)
