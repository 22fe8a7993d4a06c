"""The core's own policy that applies limiters: whose quota, and 429 when it is used up."""

from __future__ import annotations

import hashlib
import ipaddress
import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.errors import GatewayError, RateLimited

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.exchange import Exchange, Handler, Response
    from gateway.interfaces import Decision, Limiter, Route

__all__ = ["AppliedLimiter", "LimitPolicy", "key_function"]

logger = logging.getLogger("gateway.pipeline")

IPV6_PREFIX_BITS = 64
"""An IPv6 client is counted by its /64, the least that one subscriber gets (RFC 6177)."""


MAX_KEY_LENGTH = 64
"""Longer values of a header are hashed: limiters keep a bounded number of keys, which must be bounded themselves."""

MAX_RESET_S = 365 * 24 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedLimiter:
    """A limiter on a route.

    Attributes:
        name: The registration's name.
        key: Says whose quota an exchange counts against.
        limiter: The component.
        is_optional: ``onError: allow``: its failure lets the exchange pass.
    """

    name: str
    key: Callable[[Exchange], str]
    limiter: Limiter
    is_optional: bool = False


class LimitPolicy:
    """Asks every limiter of the route; one refusal refuses the request.

    Answers carry ``X-RateLimit-Limit``, ``-Remaining`` and ``-Reset`` of the tightest limit.

    Args:
        limiters: In the order they are asked.
    """

    def __init__(self, limiters: Sequence[AppliedLimiter]) -> None:
        self._limiters = tuple(limiters)
        self.waits = any(getattr(applied.limiter, "waits", True) for applied in limiters)

    def wrap(self, next: Handler, route: Route) -> Handler:  # noqa: A002 - the interface's name
        """Return the handler that limits; ``next`` itself where nothing does."""
        if not self._limiters:
            return next
        limiters, prefix = self._limiters, f"{route.id}|"

        async def limit(exchange: Exchange) -> Response:
            tightest: Decision | None = None
            for applied in limiters:
                try:
                    decision = await applied.limiter.acquire(prefix + applied.key(exchange), 1)
                except GatewayError:
                    raise
                except Exception:
                    if not applied.is_optional:
                        raise
                    logger.exception(
                        "limiter %r failed and was skipped (onError: allow)",
                        applied.name,
                        extra={"request_id": exchange.request.id, "route": route.id},
                    )
                    continue
                if not decision.is_allowed:
                    raise RateLimited(decision.retry_after_s, headers=_fields(decision), plugin=applied.name)
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
        return lambda exchange: _bounded(exchange.request.headers.get(name)) or _client(exchange)
    msg = f"{key!r} is not a limit key; use 'client', 'principal', 'route' or 'header:<name>'"
    raise ValueError(msg)


def _client(exchange: Exchange) -> str:
    client = exchange.request.client
    if ":" not in client:
        return client
    try:
        address = ipaddress.IPv6Address(client.partition("%")[0])
    except ValueError:
        return client
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address.packed, IPV6_PREFIX_BITS), strict=False).network_address)


def _bounded(value: str | None) -> str | None:
    if value is None or len(value) <= MAX_KEY_LENGTH:
        return value
    return hashlib.sha256(value.encode("latin-1", "replace")).hexdigest()


def _principal(exchange: Exchange) -> str:
    principal = exchange.principal
    return f"{principal.provider}:{principal.subject}" if principal is not None else _client(exchange)


def _fields(decision: Decision) -> list[tuple[bytes, bytes]]:
    return [
        (b"x-ratelimit-limit", b"%d" % decision.limit),
        (b"x-ratelimit-remaining", b"%d" % max(0, decision.remaining)),
        # max() takes its first argument over a NaN.
        (b"x-ratelimit-reset", b"%d" % math.ceil(min(max(0.0, decision.reset_s), MAX_RESET_S))),
    ]


if TYPE_CHECKING:
    from gateway.interfaces import Policy

    _: type[Policy] = LimitPolicy
