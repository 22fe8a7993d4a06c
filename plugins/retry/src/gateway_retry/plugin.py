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
            },
        )
    ]


def build_retry(config: RetryConfig, context: BuildContext) -> Retry:
    from gateway_retry.policy import Retry

    return Retry(config, context)
