"""What a request takes of its quotas: an estimate before it is forwarded, the rest when its tokens are known."""

from __future__ import annotations

import asyncio
import contextlib
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
MAX_TRIES = 5
"""How often a debt is asked for: of a quota of which others take at the same time, some may be left."""
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
                key = applied.key(exchange, model)
                await self._debts.paid(applied.quota, key)
                self._taken.append(await _take(applied, key, read, written))
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
                self._debts.add(taken.applied.quota, taken.key, rest, taken.applied.limit.rate)
        self._taken.clear()


class Debts:
    """Takes from quotas what was used already, beside the exchanges. What a quota does not have any more is forgiven.

    Whoever asks next waits until what is owed is paid: otherwise requests could slip by while a store is asked.

    Args:
        logger: For what fails.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._open: dict[tuple[Quota, str], _Debt] = {}
        # As many as are open, and so bounded as well.
        self._due: asyncio.Queue[tuple[Quota, str]] = asyncio.Queue()

    def add(self, quota: Quota, key: str, cost: int, most: int) -> None:
        """Have ``cost`` taken soon.

        Args:
            quota: Where from.
            key: Whose.
            cost: How much, together with what is owed already.
            most: How much there ever is: a limiter refuses more without a look at what is left.
        """
        debt = self._open.get((quota, key))
        if debt is None:
            if len(self._open) >= MAX_DEBTS:
                self._logger.error("%d charges of tokens wait already; one is dropped", MAX_DEBTS)
                return
            debt = self._open[quota, key] = _Debt()
            self._due.put_nowait((quota, key))
        debt.cost = min(debt.cost + cost, most)

    async def paid(self, quota: Quota, key: str) -> None:
        """Wait until nothing is owed; at most as long as a charge may take."""
        debt = self._open.get((quota, key))
        if debt is not None:
            # Beyond that the store is out of order, and the limit is only as good as its outage policy.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TIMEOUT_S):
                    await debt.paid.wait()

    async def run(self) -> None:
        """Take, until cancelled; together what is owed together, which costs a store one round trip."""
        while True:
            due = [await self._due.get()]
            while not self._due.empty():
                due.append(self._due.get_nowait())
            await asyncio.gather(*(self._pay(quota, key) for quota, key in due))

    async def _pay(self, quota: Quota, key: str) -> None:
        debt = self._open[quota, key]
        try:
            async with asyncio.timeout(TIMEOUT_S):
                while debt.cost:
                    cost, debt.cost = debt.cost, 0
                    await _take_what_there_is(quota, key, cost)
        except Exception:
            # Such as a store that does not answer: the next one may be taken again.
            self._logger.exception("tokens could not be charged")
        finally:
            del self._open[quota, key]
            debt.paid.set()


class _Debt:
    """What is owed of one quota."""

    __slots__ = ("cost", "paid")

    def __init__(self) -> None:
        self.cost = 0
        self.paid = asyncio.Event()


async def _take(applied: AppliedLimit, key: str, read: int, written: int) -> _Taken:
    # A request may allow more output than the whole quota is: it gets what there is.
    cost = max(1, min(applied.counted(read, written), max(applied.limit.rate, applied.counted(read, 0))))
    decision = await applied.quota.acquire(key, cost)
    if not decision.is_allowed:
        raise RateLimited(decision.retry_after_s, headers=_fields(applied, decision), plugin=NAME)
    return _Taken(applied, key, cost, decision)


async def _take_what_there_is(quota: Quota, key: str, cost: int) -> None:
    for _ in range(MAX_TRIES):
        decision = await quota.acquire(key, cost)
        if decision.is_allowed or decision.remaining <= 0:
            return
        # Others may take of it between two tries.
        cost = min(cost, decision.remaining)


def _fields(applied: AppliedLimit, decision: Decision) -> list[tuple[bytes, bytes]]:
    """Return the fields under the names that OpenAI gave them; the reset in seconds."""
    return [
        (b"x-ratelimit-limit-tokens", b"%d" % applied.limit.rate),
        (b"x-ratelimit-remaining-tokens", b"%d" % max(0, decision.remaining)),
        (b"x-ratelimit-reset-tokens", b"%d" % max(0, round(decision.reset_s))),
    ]
