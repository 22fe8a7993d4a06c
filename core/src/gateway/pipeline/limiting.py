"""The core's own policy that applies limiters: whose quota, and 429 when it is used up."""

from __future__ import annotations

import ipaddress
import math
from typing import TYPE_CHECKING

from gateway.errors import RateLimited

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.exchange import Exchange, Handler, Response
    from gateway.interfaces import Decision, Limiter, Route

__all__ = ["LimitPolicy", "key_function"]

IPV6_PREFIX_BITS = 64
"""An IPv6 client is counted by its /64, the least that one subscriber gets (RFC 6177)."""


class LimitPolicy:
    """Asks every limiter of the route; one refusal refuses the request.

    Answers carry ``X-RateLimit-Limit``, ``-Remaining`` and ``-Reset`` of the tightest limit.

    Args:
        limiters: Name, key function and component.
    """

    def __init__(self, limiters: Sequence[tuple[str, Callable[[Exchange], str], Limiter]]) -> None:
        self._limiters = tuple(limiters)
        self.waits = any(getattr(limiter, "waits", True) for _, _, limiter in limiters)

    def wrap(self, next: Handler, route: Route) -> Handler:  # noqa: A002 - the interface's name
        """Return the handler that limits; ``next`` itself where nothing does."""
        if not self._limiters:
            return next
        limiters, prefix = self._limiters, f"{route.id}|"

        async def limit(exchange: Exchange) -> Response:
            tightest: Decision | None = None
            for name, key, limiter in limiters:
                decision = await limiter.acquire(prefix + key(exchange), 1)
                if not decision.is_allowed:
                    raise RateLimited(decision.retry_after_s, headers=_fields(decision), plugin=name)
                if tightest is None or decision.remaining < tightest.remaining:
                    tightest = decision
            response = await next(exchange)
            if tightest is not None:
                response.headers.pairs.extend(_fields(tightest))
            return response

        return limit


def key_function(key: str) -> Callable[[Exchange], str]:
    """Return the function that says whose quota an exchange counts against.

    Args:
        key: ``client``, ``principal``, ``route`` or ``header:<name>``.

    Raises:
        ValueError: If it is none of these.
    """
    if key == "client":
        return _client
    if key == "principal":
        return _principal
    if key == "route":
        return lambda exchange: ""
    kind, _, name = key.partition(":")
    if kind == "header" and name:
        # Without the header the client's address counts: leaving it out must not be a way around the limit.
        return lambda exchange: exchange.request.headers.get(name) or _client(exchange)
    msg = f"{key!r} is not a limit key; use 'client', 'principal', 'route' or 'header:<name>'"
    raise ValueError(msg)


def _client(exchange: Exchange) -> str:
    client = exchange.request.client
    if ":" not in client:
        return client
    try:
        return str(ipaddress.ip_network((client.partition("%")[0], IPV6_PREFIX_BITS), strict=False).network_address)
    except ValueError:
        return client


def _principal(exchange: Exchange) -> str:
    principal = exchange.principal
    return f"{principal.provider}:{principal.subject}" if principal is not None else _client(exchange)


def _fields(decision: Decision) -> list[tuple[bytes, bytes]]:
    return [
        (b"x-ratelimit-limit", b"%d" % decision.limit),
        (b"x-ratelimit-remaining", b"%d" % max(0, decision.remaining)),
        (b"x-ratelimit-reset", b"%d" % math.ceil(decision.reset_s)),
    ]


if TYPE_CHECKING:
    from gateway.interfaces import Policy

    _: type[Policy] = LimitPolicy
