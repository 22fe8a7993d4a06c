"""What gateway-ratelimit offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import BuildContext, LimiterRegistration, hookimpl
from gateway_ratelimit.config import RateLimit, RateLimitConfig, limits_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.interfaces import Limiter

_OF_THE_BLOCK = ("enabled", "mode", "onError", "onOutage", "store", "stores", "memory", "redis", "limits", "global")
"""What a rule's ``rateLimit`` may say beside what a limit says of itself."""


_EXPIRATION = "a counter is kept for as long as it says anything, and its memory is bounded; remove the key"


@hookimpl
def gateway_register_limiters() -> Sequence[LimiterRegistration]:
    return [
        LimiterRegistration(
            name="ratelimit",
            summary="Token bucket and windows, in memory for all workers or in Redis",
            config=RateLimitConfig,
            build=build,
            limits_of=limits_of,
            sufficient_keys=("global",),
            path="rateLimit",
            rule_keys={
                "rateLimit": "limits",
                "rateLimitBurst": "burst",
                "rateLimitStorage": "store",
            },
            aliases={
                # First, for what follows may stand in it.
                "gateway.middleware.ratelimit": "gateway.rateLimit",
                "rate": "limits",
                "requestsPerSecond": "limits",
                "period": "window",
                "perIP": "limits.perIP",
                "perRoute": "limits.perRoute",
                "global.requestsPerSecond": "global.rate",
                "onError": "onOutage",
                "limits.requestsPerSecond": "limits.rate",
                "limits.period": "limits.window",
                **{f"limits.{key}": key for key in _OF_THE_BLOCK if key != "onError"},
                "limits.onError": "onOutage",
                "gateway.rateLimitStorage.default": "gateway.rateLimit.store",
                "gateway.rateLimitStorage.stores": "gateway.rateLimit.stores",
                "gateway.redis": "gateway.rateLimit.redis",
                "gateway.router.rules[].metadata.rateLimit": "gateway.router.rules[].rateLimit",
            },
            refused={"expiration": _EXPIRATION, "gateway.router.rules[].rateLimitExpiration": _EXPIRATION},
        )
    ]


def build(config: RateLimit, context: BuildContext) -> Limiter:
    if config.store.type == "redis":
        from gateway_ratelimit.redis_limiter import RedisLimiter

        return RedisLimiter(config, context)
    from gateway_ratelimit.memory_limiter import MemoryLimiter

    return MemoryLimiter(config, context)
