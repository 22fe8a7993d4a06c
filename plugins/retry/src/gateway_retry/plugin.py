"""What gateway-retry offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import BuildContext, PolicyRegistration, Stage, hookimpl
from gateway_retry.config import RetryConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway_retry.policy import Retry

KEYS = ("maxAttempts", "initialDelay", "maxDelay", "multiplier", "jitter")
"""What the original gateway's files write under ``default``."""


_FLOOR = "write 'budget.minRetriesPerSecond', how many retries are allowed however few requests there are"
_KEYS_SAY = "a request whose method is not idempotent is repeated only with one of 'idempotencyKeys'; write these"
_REFUSED = {
    "strategy": "pauses grow by 'multiplier' (1 for equal ones) and are left to chance by 'jitter'; write these",
    "delayIncrement": "pauses grow by 'multiplier'; write that",
    "retryableHeaders": "which answers are tried again is said by 'statuses'; write that",
    "conditions": "what is tried again is said by 'statuses', 'errors' and 'methods'; write these",
    "serviceBudgets": "write 'services: {<name>: {budget: ...}}'",
    "tryDifferentInstance": "another try always goes to another instance, if there is one; remove it",
    "budget.minRetries": _FLOOR,
    "budget.minRetryTokens": _FLOOR,
    "idempotency.enabled": _KEYS_SAY,
    "idempotency.requireKeyForUnsafe": _KEYS_SAY,
}
"""Keys of the original gateway's documents that mean nothing here."""


@hookimpl
def gateway_register_policies() -> Sequence[PolicyRegistration]:
    return [
        PolicyRegistration(
            name="retry",
            summary="Tries again what can be mended so, within a budget",
            config=RetryConfig,
            build=build_retry,
            stage=Stage.RETRY,
            path="retry",
            rule_key="retry",
            aliases={
                **{f"default.{key}": key for key in KEYS},
                "default.budgetRatio": "budget.ratio",
                "budgetRatio": "budget.ratio",
                "initialInterval": "initialDelay",
                "maxInterval": "maxDelay",
                "backoffMultiplier": "multiplier",
                "jitterFactor": "jitter",
                "retryableStatusCodes": "statuses",
                "maxRetryAfterDelay": "maxRetryAfter",
                "idempotency.headerName": "idempotencyKeys",
                "gateway.middleware.retry": "gateway.retry",
                "gateway.router.rules[].metadata.retry": "gateway.router.rules[].retry",
                "delay": "initialDelay",
            },
            refused=_REFUSED,
        )
    ]


def build_retry(config: RetryConfig, context: BuildContext) -> Retry:
    from gateway_retry.policy import Retry

    return Retry(config, context)
