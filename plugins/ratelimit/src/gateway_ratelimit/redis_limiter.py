"""A limit that is counted in Redis, for all gateways that use it together."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Self

from gateway import Decision, ErrorType, GatewayError
from gateway_ratelimit.algorithms import algorithm_of
from gateway_ratelimit.memory_limiter import MemoryLimiter
from gateway_ratelimit.never import never
from gateway_ratelimit.redis_lane import Command
from gateway_ratelimit.redis_store import RedisStore
from gateway_ratelimit.scripts import load_script
from gateway_ratelimit.shared import SharedResources

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway import BuildContext
    from gateway_ratelimit.config import RateLimit

__all__ = ["RedisLimiter"]

TICKS_PER_S = 1_000_000


class RedisLimiter:
    """Implements ``gateway.interfaces.Limiter``. Exact over all gateways: a decision is one script, on Redis' clock.

    Args:
        limit: The limit.
        context: As ``build`` gets it.
    """

    def __init__(self, limit: RateLimit, context: BuildContext) -> None:
        self._limit = limit
        self._context = context
        self._script = load_script(limit.algorithm)
        algorithm = algorithm_of(limit, TICKS_PER_S)
        self._quota = algorithm.quota
        self._window_s = limit.window
        self._arguments = tuple(str(argument).encode() for argument in algorithm.arguments)
        self._prefix = f"{limit.store.redis.key_prefix}{limit.identity}:".encode()
        self._shared = context.keep("shared", SharedResources)
        self._local = MemoryLimiter(limit, context) if limit.on_outage == "local" else None
        self._store: RedisStore
        decisions = context.metrics.counter(
            "gateway_ratelimit_outage_decisions_total",
            "Decisions that were made without the store of the limit, because it did not answer.",
            ("store", "action"),
        )
        self._outage_decisions = decisions.labels(limit.store_name, limit.on_outage)

    async def __aenter__(self) -> Self:
        self._store = await self._shared.obtain(self._limit.store.redis, self._open)
        if self._local is not None:
            await self._local.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._local is not None:
            await self._local.__aexit__()
        await self._shared.release(self._limit.store.redis)

    async def acquire(self, key: str, cost: int) -> Decision:
        """Take ``cost`` from the quota of ``key``.

        Raises:
            GatewayError: ``unavailable`` if Redis does not answer and ``onOutage`` is ``deny``.
        """
        if cost > self._quota:
            return never(self._quota, self._window_s)
        reply = await self._store.ask(Command(self._script, self._key(key), (b"%d" % cost, *self._arguments)))
        if reply is None:
            return await self._without_redis(key, cost)
        return self._decision(reply)

    def refund(self, key: str, cost: int) -> None:
        """Give back what was taken for a request that another limit of the route then refused."""
        self._store.tell(Command(self._script, self._key(key), (b"%d" % -cost, *self._arguments)))

    def _key(self, key: str) -> bytes:
        # A digest: as long for a long name as for a short one, and nobody's address stands in Redis.
        digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        return self._prefix + digest.encode()

    def _decision(self, reply: Sequence[int]) -> Decision:
        is_allowed, remaining, reset, retry_after = reply
        return Decision(
            is_allowed=is_allowed == 1,
            limit=self._quota,
            remaining=remaining,
            reset_s=reset / TICKS_PER_S,
            retry_after_s=retry_after / TICKS_PER_S,
            window_s=self._window_s,
        )

    async def _without_redis(self, key: str, cost: int) -> Decision:
        self._outage_decisions.add()
        if self._local is not None:
            return await self._local.acquire(key, cost)
        if self._limit.on_outage == "deny":
            raise GatewayError(
                ErrorType.UNAVAILABLE,
                "the service is overloaded; try again later",
                detail=f"the store {self._limit.store_name!r} of the rate limit does not answer (onOutage: deny)",
                headers=[(b"retry-after", b"1")],
                plugin="ratelimit",
            )
        return Decision(is_allowed=True, limit=self._quota, remaining=self._quota, reset_s=0.0, window_s=self._window_s)

    async def _open(self) -> RedisStore:
        return await RedisStore.open(self._limit.store_name, self._limit.store.redis, self._context)


if TYPE_CHECKING:
    from gateway.interfaces import Limiter

    _: type[Limiter] = RedisLimiter
