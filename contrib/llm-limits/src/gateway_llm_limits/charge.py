"""What a request takes of its quotas: an estimate before it is forwarded, the rest when its tokens are known."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway import Decision, RateLimited

if TYPE_CHECKING:
    import logging
    from collections.abc import Sequence

    from gateway import Exchange
    from gateway.interfaces import Quota
    from gateway_llm_limits.config import TokenLimit

__all__ = ["AppliedLimit", "Charge", "Debts"]

NAME = "llm-limits"
MAX_DEBTS = 10_000
TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class AppliedLimit:
    """A limit and its quotas.

    Attributes:
        number: Its place in the configuration, which sets its quotas apart.
        limit: The limit.
        quota: Where it is counted.
    """

    number: int
    limit: TokenLimit
    quota: Quota

    def key(self, exchange: Exchange, model: str) -> str:
        """Return whose quota an exchange counts against."""
        return self.quota.key(exchange, str(self.number), model if self.limit.per_model else "")

    def counted(self, read: int, written: int) -> int:
        """Return how many of these tokens count."""
        return {"total": read + written, "input": read, "output": written}[self.limit.count]


@dataclass(slots=True)
class _Taken:
    applied: AppliedLimit
    key: str
    cost: int
    decision: Decision


class Charge:
    """What was taken for one request.

    Args:
        debts: Takes what has to be taken afterwards.
    """

    def __init__(self, debts: Debts) -> None:
        self._debts = debts
        self._taken: list[_Taken] = []

    async def take(
        self, limits: Sequence[AppliedLimit], exchange: Exchange, model: str, read: int, written: int
    ) -> None:
        """Take an estimate from every quota.

        Raises:
            RateLimited: If one of them has not so much; nothing is taken then.
        """
        try:
            for applied in limits:
                self._taken.append(await _take(applied, exchange, model, read, written))
        except BaseException:
            self.give_back()
            raise

    @property
    def fields(self) -> Sequence[tuple[bytes, bytes]]:
        """What tells the client about the tightest limit."""
        if not self._taken:
            return ()
        tightest = min(self._taken, key=lambda taken: taken.decision.remaining)
        return _fields(tightest.applied, tightest.decision)

    def is_exceeded(self, read: int, written: int) -> bool:
        """Say whether so much is more than a quota had when the request came."""
        return any(
            taken.applied.counted(read, written) > taken.cost + max(0, taken.decision.remaining)
            for taken in self._taken
        )

    def give_back(self) -> None:
        """Give back everything: the request cost nothing."""
        for taken in self._taken:
            taken.applied.quota.refund(taken.key, taken.cost)
        self._taken.clear()

    def settle(self, read: int, written: int) -> None:
        """Give back what was not needed, and have the rest taken."""
        for taken in self._taken:
            rest = taken.applied.counted(read, written) - taken.cost
            if rest < 0:
                taken.applied.quota.refund(taken.key, -rest)
            elif rest > 0:
                # A limiter refuses what is more than there ever is without a look at what is left.
                self._debts.add(taken.applied.quota, taken.key, min(rest, taken.applied.limit.rate))
        self._taken.clear()


class Debts:
    """Takes from quotas what was used already, beside the exchanges. What a quota does not have any more is forgiven.

    Args:
        logger: For what fails.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._open: asyncio.Queue[tuple[Quota, str, int]] = asyncio.Queue(MAX_DEBTS)

    def add(self, quota: Quota, key: str, cost: int) -> None:
        """Have ``cost`` taken soon."""
        if self._open.full():
            self._logger.error("%d charges of tokens wait already; one is dropped", MAX_DEBTS)
            return
        self._open.put_nowait((quota, key, cost))

    async def run(self) -> None:
        """Take, until cancelled."""
        while True:
            quota, key, cost = await self._open.get()
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    await _take_what_there_is(quota, key, cost)
            except Exception:
                # Such as a store that does not answer: the next one may be taken again.
                self._logger.exception("%d tokens could not be charged", cost)


async def _take(applied: AppliedLimit, exchange: Exchange, model: str, read: int, written: int) -> _Taken:
    key = applied.key(exchange, model)
    # A request may allow more output than the whole quota is: it gets what there is.
    cost = max(1, min(applied.counted(read, written), max(applied.limit.rate, applied.counted(read, 0))))
    decision = await applied.quota.acquire(key, cost)
    if not decision.is_allowed:
        raise RateLimited(decision.retry_after_s, headers=_fields(applied, decision), plugin=NAME)
    return _Taken(applied, key, cost, decision)


async def _take_what_there_is(quota: Quota, key: str, cost: int) -> None:
    decision = await quota.acquire(key, cost)
    if not decision.is_allowed and decision.remaining > 0:
        await quota.acquire(key, min(cost, decision.remaining))


def _fields(applied: AppliedLimit, decision: Decision) -> list[tuple[bytes, bytes]]:
    """Return the fields under the names that OpenAI gave them; the reset in seconds."""
    return [
        (b"x-ratelimit-limit-tokens", b"%d" % applied.limit.rate),
        (b"x-ratelimit-remaining-tokens", b"%d" % max(0, decision.remaining)),
        (b"x-ratelimit-reset-tokens", b"%d" % max(0, round(decision.reset_s))),
    ]
