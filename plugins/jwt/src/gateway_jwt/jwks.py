"""Published keys, kept fresh in the background; requests never fetch them."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakSet

from gateway import Waiter
from gateway_jwt.jwks_client import JwksError

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

    from gateway.metrics import Family, Series
    from gateway_jwt.jwks_client import JwksClient
    from gateway_jwt.keys import VerificationKey
    from gateway_jwt.token_cache import TokenCache

__all__ = ["JwksKeys", "KeptKeys", "Timing"]

FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 60.0
JITTER = 0.1
"""So that the workers, and the gateways, of a fleet do not ask at the same moment."""
MAX_WAITING = 1000
"""Requests that wait for a fetch; further ones are refused at once."""


class KeptKeys:
    """What was fetched. Outlives reloads, and is shared by all who use the same set.

    Attributes:
        keys: The keys; empty before the first fetch that succeeded, and when they are too old.
        fetched_s: Monotonic time of that.
        caches: They forget their tokens when a key is withdrawn, by which some may have been verified.
    """

    def __init__(self) -> None:
        self.keys: tuple[VerificationKey, ...] = ()
        self.fetched_s = 0.0
        self.caches: WeakSet[TokenCache] = WeakSet()

    def replace(self, keys: tuple[VerificationKey, ...], now_s: float) -> None:
        """Take new keys."""
        withdrawn = set(map(_identity, self.keys)) - set(map(_identity, keys))
        self.keys, self.fetched_s = keys, now_s
        if withdrawn:
            for cache in self.caches:
                cache.clear()


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How often keys are fetched, in seconds; see ``JwtConfig``."""

    refresh_s: float
    refetch_s: float
    max_stale_s: float


class JwksKeys:
    """The keys of a JSON Web Key Set.

    Args:
        url: Where it is.
        kept: What an earlier configuration fetched, and where this one keeps it.
        client: Fetches.
        timing: How often.
        logger: Hears of failures.
        fetches: Counts fetches by URL and result.
        clock: Monotonic seconds.

    Attributes:
        name: The URL as it may be shown.
    """

    def __init__(
        self,
        url: str,
        kept: KeptKeys,
        client: JwksClient,
        timing: Timing,
        logger: logging.Logger,
        fetches: Family[Series],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        # What stands behind it may be a credential.
        self.name = url.partition("?")[0]
        self._kept = kept
        self._client = client
        self._timing = timing
        self._logger = logger
        self._loaded = fetches.labels(self.name, "loaded")
        self._failed = fetches.labels(self.name, "failed")
        self._clock = clock
        self._attempted_s = float("-inf")
        self._failures = 0
        self._is_wanted = asyncio.Event()
        self._waiting: list[Waiter[None]] = []

    @property
    def keys(self) -> tuple[VerificationKey, ...]:
        """The keys; none while they could not be fetched for too long."""
        kept = self._kept
        if kept.keys and self._clock() - kept.fetched_s > self._timing.refresh_s + self._timing.max_stale_s:
            self._logger.error("the keys of %s are too old to be used (jwksMaxStale)", self.name)
            kept.replace((), kept.fetched_s)
        return kept.keys

    async def first(self) -> None:
        """Fetch once, unless an earlier configuration did; a failure is logged."""
        if not self._kept.keys:
            await self._fetch()

    async def fetched_again(self) -> bool:
        """Wait for a fetch because a key is missing, if it is time for one; says whether there was one.

        Strangers can name as many keys as they like: all of them together cause one fetch in ``refetch_s``. Waits for
        nothing but a ``Waiter``, so that it can be awaited without a task, and not longer than a fetch takes.
        """
        if self._clock() - self._attempted_s < self._timing.refetch_s or len(self._waiting) >= MAX_WAITING:
            return False
        waiter: Waiter[None] = Waiter()
        self._waiting.append(waiter)
        self._is_wanted.set()
        await waiter
        return True

    async def refresh(self) -> None:
        """Fetch now and then, until cancelled."""
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._delay_s()):
                        await self._is_wanted.wait()
                await self._fetch()
        finally:
            self._wake()

    def _delay_s(self) -> float:
        if self._failures:
            return min(FIRST_RETRY_S * 2.0 ** min(self._failures - 1, 10), LONGEST_RETRY_S)
        due_s = self._kept.fetched_s + self._timing.refresh_s * (1.0 - JITTER * random.random())  # noqa: S311 - no secret
        return max(0.0, due_s - self._clock())

    async def _fetch(self) -> None:
        self._is_wanted.clear()
        try:
            keys = await self._client.fetch(self._url)
        except JwksError as error:
            self._failures += 1
            self._failed.add()
            stay = "those that are known stay in use" if self.keys else "tokens are answered with 503 until then"
            self._logger.warning("no keys from %s, %s: %s", self.name, stay, error)
        else:
            self._failures = 0
            self._loaded.add()
            self._kept.replace(keys, self._clock())
        finally:
            self._attempted_s = self._clock()
            self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.set_result(None)


def _identity(key: VerificationKey) -> tuple[str | None, frozenset[str], str]:
    return key.id, key.algorithms, key.key.thumbprint()
