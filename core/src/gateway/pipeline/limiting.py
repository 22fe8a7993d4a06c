"""The core's own policy that applies limiters: whose quota, and 429 when it is used up."""

from __future__ import annotations

import hashlib
import ipaddress
import logging
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from gateway.errors import GatewayError, RateLimited

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.exchange import Exchange, Handler, Response
    from gateway.interfaces import Decision, Limiter, Route
    from gateway.metrics import Metrics
    from gateway.pipeline.shadow import ShadowRecord

__all__ = ["AppliedLimiter", "LimitPolicy", "bounded_key", "key_function"]

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
        cost: How much of the quota a request takes.
        fields: Which fields tell clients: ``both``, ``x-ratelimit``, ``ratelimit`` or ``none``.
        is_optional: ``onError: allow``: its failure lets the exchange pass.
        is_shadow: ``mode: shadow``: it refuses nothing.
    """

    name: str
    key: Callable[[Exchange], str]
    limiter: Limiter
    cost: int = 1
    fields: str = "both"
    is_optional: bool = False
    is_shadow: bool = False


class LimitPolicy:
    """Asks every limiter of the route; one refusal refuses the request, and what the others took is given back.

    Answers tell the client about the tightest limit; see ``LimitConfig.headers``.

    Args:
        limiters: In the order they are asked.
        metrics: Where refusals and failures are counted.
        shadow: Where is recorded what limiters in shadow mode would have done.
        is_outer: Whether another one may stand further in, and have told the client about its own limits.
    """

    def __init__(
        self,
        limiters: Sequence[AppliedLimiter],
        metrics: Metrics,
        shadow: ShadowRecord,
        *,
        is_outer: bool = False,
    ) -> None:
        self._limiters = tuple(limiters)
        self._is_outer = is_outer
        self._shadow = shadow
        self._asked = metrics.counter(
            "gateway_rate_limit_hits_total", "Requests that a limit was asked about.", ("route", "limit_type")
        )
        self._refused = metrics.counter(
            "gateway_rate_limit_rejected_total", "Requests that a limit refused.", ("route", "limit_type")
        )
        self._failed = metrics.counter(
            "gateway_limiter_failures_total", "Requests for which a limiter failed.", ("route", "limiter")
        )
        self.waits = any(getattr(applied.limiter, "waits", True) for applied in limiters)

    def wrap(self, next: Handler, route: Route) -> Handler:  # noqa: A002 - the interface's name
        """Return the handler that limits; ``next`` itself where nothing does."""
        if not self._limiters:
            return next
        if len(self._limiters) == 1 and not self._is_outer:
            return self._by_one(next, route)
        prefix, may_be_told_already = f"{route.id}|", self._is_outer
        limiters = [
            (applied, self._asked.labels(route.id, applied.name), _Teller(applied)) for applied in self._limiters
        ]

        async def limit(exchange: Exchange) -> Response:
            tightest: Decision | None = None
            tell = limiters[0][2]
            taken: list[tuple[AppliedLimiter, str]] = []
            for applied, asked, teller in limiters:
                asked.value += 1.0
                key = prefix + applied.key(exchange)
                try:
                    decision = await applied.limiter.acquire(key, applied.cost)
                except Exception as error:  # noqa: BLE001 - raised again, unless it may pass
                    self._note_failure(exchange, applied, error)
                    continue
                if not decision.is_allowed:
                    self._refuse(exchange, applied, decision, taken)
                    continue
                taken.append((applied, key))
                if (tightest is None or decision.remaining < tightest.remaining) and not applied.is_shadow:
                    tightest, tell = decision, teller
            response = await next(exchange)
            if tightest is not None:
                fields = tell.fields(tightest)
                if may_be_told_already and fields and response.headers.has_any(frozenset({fields[0][0]})):
                    return response
                response.headers.extend(fields)
            return response

        return limit

    def _by_one(self, next: Handler, route: Route) -> Handler:  # noqa: A002 - as above
        """Return the handler for what most routes have: one limiter."""
        (applied,) = self._limiters
        prefix, key_of, acquire, cost = f"{route.id}|", applied.key, applied.limiter.acquire, applied.cost
        asked, fields_of = self._asked.labels(route.id, applied.name), _Teller(applied).fields

        async def limit(exchange: Exchange) -> Response:
            asked.value += 1.0
            try:
                decision = await acquire(prefix + key_of(exchange), cost)
            except Exception as error:  # noqa: BLE001 - raised again, unless it may pass
                self._note_failure(exchange, applied, error)
                return await next(exchange)
            if not decision.is_allowed:
                self._refuse(exchange, applied, decision, ())
            response = await next(exchange)
            if not applied.is_shadow:
                response.headers.extend(fields_of(decision))
            return response

        return limit

    def _refuse(
        self,
        exchange: Exchange,
        applied: AppliedLimiter,
        decision: Decision,
        taken: Sequence[tuple[AppliedLimiter, str]],
    ) -> None:
        """Refuse the request, unless the limiter is only watched."""
        error = RateLimited(decision.retry_after_s, headers=_Teller(applied).fields(decision), plugin=applied.name)
        if applied.is_shadow:
            self._shadow.refusal(exchange, applied.name, error)
            return
        for earlier, key in taken:
            refund = getattr(earlier.limiter, "refund", None)
            if refund is not None:
                refund(key, earlier.cost)
        self._refused.labels(exchange.route.id, applied.name).add()
        raise error

    def _note_failure(self, exchange: Exchange, applied: AppliedLimiter, error: Exception) -> None:
        """Let the failure of a limiter pass, where that is allowed."""
        self._failed.labels(exchange.route.id, applied.name).add()
        if applied.is_shadow:
            self._shadow.refusal(exchange, applied.name, error)
            return
        if isinstance(error, GatewayError) or not applied.is_optional:
            raise error
        logger.error(
            "limiter %r failed and was skipped (onError: allow)",
            applied.name,
            exc_info=error,
            extra={"request_id": exchange.request.id, "route": exchange.route.id},
        )


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
        return lambda exchange: bounded_key(exchange.request.headers.get(name) or "") or _client(exchange)
    msg = f"{key!r} is not a limit key; use 'client', 'principal', 'route' or 'header:<name>'"
    raise ValueError(msg)


def _client(exchange: Exchange) -> str:
    client = exchange.request.origin.client
    return _network(client) if ":" in client else client


@lru_cache(4096)
def _network(client: str) -> str:
    """Return what stands for an IPv6 client; remembered, since finding it takes longer than the rest of a limit."""
    try:
        address = ipaddress.IPv6Address(client.partition("%")[0])
    except ValueError:
        return client
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address.packed, IPV6_PREFIX_BITS), strict=False).network_address)


def bounded_key(value: str) -> str:
    """Return what a client says as a part of a key: a digest of it, if it is long."""
    if len(value) <= MAX_KEY_LENGTH:
        return value
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()


def _principal(exchange: Exchange) -> str:
    principal = exchange.principal
    return bounded_key(f"{principal.provider}:{principal.subject}") if principal is not None else _client(exchange)


class _Teller:
    """Makes the fields that tell clients about a limit. What no answer changes is made once.

    Args:
        applied: The limiter.
    """

    __slots__ = ("_begin", "_kind", "_limit", "_name", "_policy", "_quota", "_window_s")

    def __init__(self, applied: AppliedLimiter) -> None:
        self._kind = applied.fields
        self._name = applied.name
        self._begin = f'"{applied.name}";r='.encode()
        self._limit = -1
        self._window_s: float | None = None

    def fields(self, decision: Decision) -> list[tuple[bytes, bytes]]:
        """Return the fields that go with a decision."""
        kind = self._kind
        if kind == "none":
            return []
        if decision.limit != self._limit or decision.window_s != self._window_s:
            self._take_note(decision)
        remaining, reset_s = decision.remaining, decision.reset_s
        left = b"%d" % remaining if remaining > 0 else b"0"
        # What is no number passes no comparison.
        reset = b"%d" % math.ceil(reset_s) if 0.0 < reset_s < MAX_RESET_S else self._extreme(reset_s)
        if kind == "both":
            return [
                self._quota,
                (b"x-ratelimit-remaining", left),
                (b"x-ratelimit-reset", reset),
                self._policy,
                (b"ratelimit", b"%b%b;t=%b" % (self._begin, left, reset)),
            ]
        if kind == "ratelimit":
            return [self._policy, (b"ratelimit", b"%b%b;t=%b" % (self._begin, left, reset))]
        return [self._quota, (b"x-ratelimit-remaining", left), (b"x-ratelimit-reset", reset)]

    @staticmethod
    def _extreme(reset_s: float) -> bytes:
        return b"%d" % MAX_RESET_S if reset_s >= MAX_RESET_S else b"0"

    def _take_note(self, decision: Decision) -> None:
        # draft-ietf-httpapi-ratelimit-headers-10, sections 3 and 4.
        window = f";w={math.ceil(decision.window_s)}" if decision.window_s else ""
        self._limit, self._window_s = decision.limit, decision.window_s
        self._quota = (b"x-ratelimit-limit", b"%d" % decision.limit)
        self._policy = (b"ratelimit-policy", f'"{self._name}";q={decision.limit}{window}'.encode())


if TYPE_CHECKING:
    from gateway.interfaces import Policy

    _: type[Policy] = LimitPolicy
