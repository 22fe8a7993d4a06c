"""The core's own policy that applies limiters: whose quota, and 429 when it is used up."""

from __future__ import annotations

import hashlib
import ipaddress
import logging
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from gateway.errors import GatewayError, RateLimited
from gateway.pipeline.limit_fields import Teller, fields_of_all

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.exchange import Exchange, Handler
    from gateway.interfaces import Decision, Limiter, Route
    from gateway.messages import Response
    from gateway.metrics import Metrics
    from gateway.pipeline.limit_fields import Field
    from gateway.pipeline.shadow import ShadowRecord

__all__ = ["AppliedLimiter", "LimitPolicy", "bounded_key", "key_function"]

logger = logging.getLogger("gateway.pipeline")

IPV6_PREFIX_BITS = 64
"""An IPv6 client is counted by its /64, the least that one subscriber gets (RFC 6177)."""


MAX_KEY_LENGTH = 64
"""Longer values of a header are hashed: limiters keep a bounded number of keys, which must be bounded themselves."""

_QUOTA_FIELD = frozenset({b"x-ratelimit-limit"})


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
        told_as: What clients and metrics call it; empty is ``name``.
        is_shared: ``scope: gateway``: all routes have one quota together.
    """

    name: str
    key: Callable[[Exchange], str]
    limiter: Limiter
    cost: int = 1
    fields: str = "both"
    is_optional: bool = False
    is_shadow: bool = False
    told_as: str = ""
    is_shared: bool = False

    @property
    def label(self) -> str:
        """What clients and metrics call it."""
        return self.told_as or self.name

    def prefix(self, route: Route) -> str:
        """Return what its keys on a route begin with. No route has an empty id."""
        return "|" if self.is_shared else f"{route.id}|"


class LimitPolicy:
    """Asks every limiter of the route; one refusal refuses the request, and what the others took is given back.

    Answers tell the client of all limits in ``RateLimit`` and ``RateLimit-Policy``, and of the tightest one in
    ``X-RateLimit-*``; see ``LimitConfig.headers``.

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
        limiters = [
            (
                *(applied, applied.limiter.acquire, getattr(applied.limiter, "acquire_now", None)),
                *(self._asked.labels(route.id, applied.label), applied.prefix(route), Teller(applied)),
            )
            for applied in self._limiters
        ]
        tellers = tuple(teller for applied, *_, teller in limiters if not applied.is_shadow)
        may_be_told_already = self._is_outer

        async def limit(exchange: Exchange) -> Response:
            told: list[tuple[Teller, Decision]] = []
            taken: list[tuple[AppliedLimiter, str]] = []
            for applied, acquire, acquire_now, asked, prefix, teller in limiters:
                asked.value += 1.0
                key = prefix + applied.key(exchange)
                try:
                    cost = applied.cost
                    decision = await acquire(key, cost) if acquire_now is None else acquire_now(key, cost)
                except Exception as error:  # noqa: BLE001 - raised again, unless it may pass
                    self._note_failure(exchange, applied, error)
                    continue
                if not decision.is_allowed:
                    for other, earlier in told:
                        other.take_note(earlier)
                    self._refuse(exchange, applied, teller.refusal(decision, tellers), decision, taken)
                    continue
                taken.append((applied, key))
                if not applied.is_shadow:
                    told.append((teller, decision))
            response = await next(exchange)
            headers = response.headers
            # One further in has told of its own limits: the lists go on, what has room for one limit is taken.
            headers.extend(fields_of_all(told, is_told=may_be_told_already and headers.has_any(_QUOTA_FIELD)))
            return response

        return limit

    def _by_one(self, next: Handler, route: Route) -> Handler:  # noqa: A002 - as above
        """Return the handler for what most routes have: one limiter."""
        (applied,) = self._limiters
        prefix, key_of, acquire, cost = applied.prefix(route), applied.key, applied.limiter.acquire, applied.cost
        acquire_now: Callable[[str, int], Decision] | None = getattr(applied.limiter, "acquire_now", None)
        asked, teller = self._asked.labels(route.id, applied.label), Teller(applied)
        names, lines_of = frozenset[bytes]() if applied.is_shadow else teller.names, teller.lines

        async def limit(exchange: Exchange) -> Response:
            asked.value += 1.0
            try:
                key = prefix + key_of(exchange)
                decision = await acquire(key, cost) if acquire_now is None else acquire_now(key, cost)
            except Exception as error:  # noqa: BLE001 - raised again, unless it may pass
                self._note_failure(exchange, applied, error)
                return await next(exchange)
            if not decision.is_allowed:
                self._refuse(exchange, applied, teller.refusal(decision, (teller,)), decision, ())
            response = await next(exchange)
            if names:
                response.headers.extend_lines(names, lines_of(decision))
            return response

        return limit

    def _refuse(
        self,
        exchange: Exchange,
        applied: AppliedLimiter,
        fields: Sequence[Field],
        decision: Decision,
        taken: Sequence[tuple[AppliedLimiter, str]],
    ) -> None:
        """Refuse the request, unless the limiter is only watched."""
        error = RateLimited(decision.retry_after_s, headers=fields, plugin=applied.name)
        if applied.is_shadow:
            self._shadow.refusal(exchange, applied.name, error)
            return
        for earlier, key in taken:
            refund = getattr(earlier.limiter, "refund", None)
            if refund is not None:
                refund(key, earlier.cost)
        self._refused.labels(exchange.route.id, applied.label).add()
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


if TYPE_CHECKING:
    from gateway.interfaces import Policy

    _: type[Policy] = LimitPolicy
