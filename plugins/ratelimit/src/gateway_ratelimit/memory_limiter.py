"""A limit that is counted in memory, for all workers of this gateway together."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from gateway import Decision
from gateway_ratelimit.algorithms import algorithm_of
from gateway_ratelimit.never import never
from gateway_ratelimit.shared import SharedResources
from gateway_ratelimit.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway import BuildContext
    from gateway_ratelimit.config import RateLimit

__all__ = ["MemoryLimiter"]

TICKS_PER_S = 1_000_000_000


class MemoryLimiter:
    """Implements ``gateway.interfaces.Limiter``. Exact: a decision is made under a lock that all workers respect.

    Time is the kernel's monotonic clock, which is one for all processes and never jumps.

    Args:
        limit: The limit.
        context: As ``build`` gets it.
        clock: The time in nanoseconds.
    """

    waits = False

    def __init__(self, limit: RateLimit, context: BuildContext, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._limit = limit
        self._context = context
        self._clock = clock
        self._algorithm = algorithm_of(limit, TICKS_PER_S)
        self._take = self._algorithm.take
        self._quota = self._algorithm.quota
        # All limits of a store whose states are alike share a table.
        self._table_key = ("table", limit.store_name, self._algorithm.state_size, limit.store.memory.size)
        self._shared = context.keep("shared", SharedResources)
        self._prefix = f"{limit.identity}|"
        self._window_s = limit.window
        self._table: Table

    async def __aenter__(self) -> Self:
        self._table = await self._shared.obtain(self._table_key, self._open)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._shared.release(self._table_key)

    async def acquire(self, key: str, cost: int) -> Decision:
        """Take ``cost`` from the quota of ``key``; see ``acquire_now``."""
        return self.acquire_now(key, cost)

    def acquire_now(self, key: str, cost: int) -> Decision:
        """Take ``cost`` from the quota of ``key``.

        Raises:
            TimeoutError: If another worker was stopped while it held the lock of this key.
        """
        quota = self._quota
        if cost > quota:
            return never(quota, self._window_s)
        table = self._table
        place = table.place(self._prefix + key)
        if table.is_alone:
            verdict = table.update(place, self._take, self._clock(), cost)
        else:
            with table.lock(place.number):
                # Inside, so that time never runs backwards from one holder of the lock to the next.
                verdict = table.update(place, self._take, self._clock(), cost)
        # The constructor's keyword arguments cost as much as the decision: set the attributes instead.
        decision = Decision.__new__(Decision)
        decision.is_allowed, _, decision.remaining, reset, retry_after = verdict
        decision.limit = quota
        decision.reset_s = reset / TICKS_PER_S
        decision.retry_after_s = retry_after / TICKS_PER_S
        decision.window_s = self._window_s
        return decision

    def refund(self, key: str, cost: int) -> None:
        """Give back what was taken for a request that another limit of the route then refused."""
        table = self._table
        place = table.place(self._prefix + key)
        with table.lock(place.number):
            now = self._clock()
            state = table.load(place)
            if state is not None and state[0] > now:
                table.store(place, self._algorithm.give_back(state, now, cost), now, is_known=True)

    async def _open(self) -> Table:
        size = self._limit.store.memory.size
        return await Table.open(self._context, self._limit.store_name, size, self._algorithm.state_size)


if TYPE_CHECKING:
    from gateway.interfaces import Limiter

    _: type[Limiter] = MemoryLimiter
