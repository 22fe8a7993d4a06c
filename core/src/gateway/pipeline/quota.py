"""A limit that a component charges itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.pipeline.limiting import bounded_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.exchange import Exchange
    from gateway.interfaces import Decision, Limiter

__all__ = ["AppliedQuota"]


class AppliedQuota:
    """Implements ``gateway.interfaces.Quota`` over a limiter.

    Args:
        owner: Whose it is; its keys are nobody else's.
        name: The name of the limiter.
        limiter: The limiter.
        key: Says whose quota an exchange counts against.
    """

    def __init__(self, owner: str, name: str, limiter: Limiter, key: Callable[[Exchange], str]) -> None:
        self.name = name
        self.waits: bool = getattr(limiter, "waits", True)
        self._limiter = limiter
        self._acquire_now: Callable[[str, int], Decision] | None = getattr(limiter, "acquire_now", None)
        self._key = key
        self._prefix = f"{owner}|"

    def key(self, exchange: Exchange, *parts: str) -> str:
        """Return whose quota an exchange counts against."""
        # Bounded, and without the separator: what a client says must not read as another key.
        own = "|".join(bounded_key(part.replace("|", "%7C")) for part in parts)
        return f"{self._prefix}{own}|{self._key(exchange)}"

    async def acquire(self, key: str, cost: int) -> Decision:
        """Take ``cost`` from the quota of ``key``."""
        if self._acquire_now is not None:
            return self._acquire_now(key, cost)
        return await self._limiter.acquire(key, cost)

    def refund(self, key: str, cost: int) -> None:
        """Give back what was taken."""
        refund = getattr(self._limiter, "refund", None)
        if refund is not None:
            refund(key, cost)


if TYPE_CHECKING:
    from gateway.interfaces import Quota

    _: type[Quota] = AppliedQuota
