"""A limiter: a token bucket for each key, in the memory of the process."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pydantic import Field

from gateway import Decision, LimitConfig, LimiterRegistration, hookimpl

if TYPE_CHECKING:
    from gateway import BuildContext

MAX_KEYS = 10_000


class BurstConfig(LimitConfig):
    rate: float = Field(description="Requests a second in the long run.", gt=0)
    burst: int = Field(10, description="Requests at once.", ge=1)


class Burst:
    waits = False

    def __init__(self, config: BurstConfig, context: BuildContext) -> None:
        self._rate, self._burst = config.rate, config.burst
        # Tokens and time by key, the least recently used first. Outlives a reload, so it is bounded.
        self._buckets: dict[str, tuple[float, float]] = context.keep("buckets", dict)

    async def acquire(self, key: str, cost: int) -> Decision:
        now_s = time.monotonic()
        tokens, then_s = self._buckets.pop(key, (float(self._burst), now_s))
        tokens = min(self._burst, tokens + (now_s - then_s) * self._rate)
        is_allowed = tokens >= cost
        if is_allowed:
            tokens -= cost
        self._buckets[key] = tokens, now_s
        if len(self._buckets) > MAX_KEYS:
            del self._buckets[next(iter(self._buckets))]
        return Decision(
            is_allowed=is_allowed,
            limit=self._burst,
            remaining=int(tokens),
            reset_s=(self._burst - tokens) / self._rate,
            retry_after_s=max(0.0, cost - tokens) / self._rate,
        )


@hookimpl
def gateway_register_limiters() -> list[LimiterRegistration]:
    return [
        LimiterRegistration(
            name="burst",
            summary="A token bucket in memory",
            config=BurstConfig,
            build=Burst,
            rule_keys={"burstRate": "rate"},
        )
    ]
