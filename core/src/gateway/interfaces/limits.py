"""Limits: may this much more be served now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from gateway.deprecation import since

if TYPE_CHECKING:
    from gateway.exchange import Exchange

__all__ = ["Decision", "Limiter", "Quota"]


@since("0.1")
@dataclass(slots=True, kw_only=True)
class Decision:
    """What a limiter decided. Not frozen, which would double what making one costs.

    Attributes:
        is_allowed: Whether the request may be served.
        limit: The quota of the tightest limit, in its unit (requests, tokens).
        remaining: What is left of it.
        reset_s: Seconds until the quota is whole again.
        retry_after_s: Seconds until the next try makes sense; read only if refused.
        window_s: The length of the window, when the limit has one.
    """

    is_allowed: bool
    limit: int
    remaining: int
    reset_s: float
    retry_after_s: float = 0.0
    window_s: float | None = None


@since("0.1")
class Limiter(Protocol):
    """Decides whether this much more may be served now.

    It may define two methods more, both synchronous. ``refund(key, cost)`` gives back what was taken for a request that
    another limiter of the route then refused. ``acquire_now(key, cost)`` is ``acquire`` of a limiter that never waits;
    it is called in its place, which saves each request a coroutine.
    """

    async def acquire(self, key: str, cost: int, /) -> Decision:
        """Take ``cost`` from the quota of ``key``, atomically under concurrency.

        Args:
            key: Whose quota; made by the core from the route and the configured key.
            cost: How much, at least 1.
        """


@since("0.1")
class Quota(Protocol):
    """A limit that a component charges itself, for what a request costs may be known only later; see ``quotas``.

    Attributes:
        name: The name of the limiter.
        waits: Whether ``acquire`` may wait.
    """

    name: str
    waits: bool

    def key(self, exchange: Exchange, *parts: str) -> str:
        """Return whose quota an exchange counts against, as the settings' ``key`` has it.

        Args:
            exchange: The exchange.
            parts: What sets quotas of the same client apart, such as the name of a model; long ones are hashed.
        """

    async def acquire(self, key: str, cost: int) -> Decision:
        """Take ``cost`` from the quota of ``key``, all of it or, if there is less, nothing.

        Raises:
            Exception: What the limiter raises when it cannot decide.
        """

    def refund(self, key: str, cost: int) -> None:
        """Give back what was taken and not needed; nothing happens if the limiter takes nothing back."""
