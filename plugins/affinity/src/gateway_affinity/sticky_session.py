"""The balancer ``sticky_session``."""

from __future__ import annotations

import random
import secrets
import time
from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, Self

from gateway.credentials import cookie_values, query_values
from gateway.hash_ring import HashRing
from gateway_affinity.tagged import TaggedServices
from gateway_affinity.token import Tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from gateway import BuildContext, Exchange, Handler, Instance, Request, Response, Route
    from gateway_affinity.config import SessionAffinityConfig
    from gateway_affinity.tagged import Tagged

__all__ = ["NamedSession", "StickyCookie"]

SECRET_BYTES = 32
MOST_DRAWS = 8
"""How often lots are drawn for one that is not excluded, before all of them are looked at."""
MAX_SESSION_LENGTH = 1024
"""Of a longer name only so much counts; it is hashed on every request."""


class _Free:
    """Chooses an instance for a client that belongs nowhere: of two by lot, by weight, the one with less to do.

    Args:
        instances: All that are healthy.
        chance: Numbers in [0, 1).
    """

    def __init__(self, instances: Sequence[Instance], chance: Callable[[], float]) -> None:
        self.taking = tuple(each for each in instances if each.weight > 0) or tuple(instances)
        self._ends = list(accumulate(each.weight or 1 for each in self.taking))
        self._chance = chance

    def choose(self, excluded: Sequence[Instance]) -> Instance:
        """Return one that is not excluded, as long as there is one."""
        one, other = self.draw(), self.draw()
        if excluded and (one in excluded or other in excluded):
            return self._choose_but(excluded)
        return one if one.in_flight * (other.weight or 1) <= other.in_flight * (one.weight or 1) else other

    def _choose_but(self, excluded: Sequence[Instance]) -> Instance:
        for _ in range(MOST_DRAWS):
            one = self.draw()
            if one not in excluded:
                return one
        # Nearly all of the weight is excluded.
        left = [each for each in self.taking if each not in excluded]
        return _Free(left, self._chance).draw() if left else self.draw()

    def draw(self) -> Instance:
        """Return one by lot, by weight."""
        return self.taking[bisect_right(self._ends, self._chance() * self._ends[-1])]


class StickyCookie:
    """Sends a client where its cookie says, and gives it one: ``gateway.interfaces.Balancer`` and its ``wrap``.

    A cookie that is forged, too old, or of an instance that is gone, counts as none: another instance is chosen, and
    the client is told. It is told again when half of the time is over, so that a session ends only if it stays away.

    Args:
        config: What the cookie is like.
        context: Of the balancer.
        services: What it shares with the balancers of other routes; ``None`` shares nothing.
        clock_utc: Unix time; tests pass a manual one.
        chance: Numbers in [0, 1).
    """

    def __init__(
        self,
        config: SessionAffinityConfig,
        context: BuildContext,
        services: TaggedServices | None = None,
        *,
        clock_utc: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._context = context
        self._ttl_s = config.ttl
        self._secret = config.secret.get_secret_value().encode() if config.secret is not None else b""
        self._tokens: Tokens | None = None
        self._services = services if services is not None else TaggedServices()
        self._clock_utc = clock_utc
        self._chance = chance
        self._name = config.cookie_name
        self._secure = config.secure
        flags = f"; Path={config.path}; Max-Age={int(config.ttl)}; SameSite={config.same_site.capitalize()}"
        self._flags = flags + ("; HttpOnly" if config.http_only else "")
        self._needs_tls = config.same_site == "none"
        self._instances: Sequence[Instance] = ()
        self._free: _Free
        self._service = ""
        self._tagged: Tagged | None = None

    async def __aenter__(self) -> Self:
        """Take the secret that all workers share, unless the configuration has one."""
        if not self._secret:
            memory = await self._context.shared_memory("secret", SECRET_BYTES)
            try:
                with memory.lock():
                    self._secret = memory.buffer[:SECRET_BYTES]
                    if not any(self._secret):
                        self._secret = memory.buffer[:SECRET_BYTES] = secrets.token_bytes(SECRET_BYTES)
            finally:
                memory.close()
        self._tokens = Tokens(self._secret)
        # Held from now on: the balancer that it takes over from may be gone before the first request.
        self._tagged = self._services.latest(self._secret, self._service)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Nothing is held."""

    # gateway.interfaces.Balancer

    def select(self, instances: Sequence[Instance], exchange: Exchange) -> Instance:
        """Return the instance of the client's cookie, else another one."""
        tagged = self._tagged
        if tagged is None or instances is not self._instances:
            tagged = self._adopt(instances)
        tagged.go_on()
        found = self._read(exchange.request)
        if found is not None:
            instance = tagged.find(found[0])
            if instance is not None and instance not in exchange.excluded:
                return instance
        return self._free.choose(exchange.excluded)

    def wrap(self, next: Handler, route: Route) -> Handler:  # noqa: A002 - the interface's name
        """Stand around each attempt, and tell the client where it belongs."""
        self._service = route.service

        async def tell(exchange: Exchange) -> Response:
            response = await next(exchange)
            instance = exchange.instance
            if instance is not None and not self._is_known(exchange.request, instance):
                response.headers.add("set-cookie", self._made(instance, exchange.request))
            return response

        return tell

    def _adopt(self, instances: Sequence[Instance]) -> Tagged:
        assert self._tokens is not None, "it was not entered"  # noqa: S101 - the core enters before it serves
        self._instances = instances
        self._free = _Free(instances, self._chance)
        # An instance of weight 0 gets no new clients, and keeps those that it has: it runs dry.
        self._tagged = self._services.tagged(instances, self._secret, self._tokens)
        return self._tagged

    def _read(self, request: Request) -> tuple[bytes, float] | None:
        found = cookie_values(request, self._name)
        if not found or self._tokens is None:
            return None
        return self._tokens.read(found[0].decode("latin-1"), self._clock_utc())

    def _is_known(self, request: Request, instance: Instance) -> bool:
        """Say whether the client knows that it belongs to ``instance``, and will for long."""
        found = self._read(request)
        return (
            found is not None
            and self._tagged is not None
            and self._tagged.tag(instance) == found[0]
            and found[1] - self._clock_utc() > self._ttl_s / 2
        )

    def _made(self, instance: Instance, request: Request) -> str:
        assert self._tokens is not None  # noqa: S101 - see _adopt
        assert self._tagged is not None  # noqa: S101 - it was asked for the instance
        token = self._tokens.make(self._tagged.tag(instance), self._clock_utc() + self._ttl_s)
        is_secure = self._needs_tls or self._secure is True or (self._secure == "auto" and request.scheme == "https")
        return f"{self._name}={token}{self._flags}{'; Secure' if is_secure else ''}"


class NamedSession:
    """Sends requests that name the same session to the same instance: ``gateway.interfaces.Balancer``.

    Args:
        config: Where the name stands.
        chance: Numbers in [0, 1).
    """

    def __init__(self, config: SessionAffinityConfig, *, chance: Callable[[], float] = random.random) -> None:
        self._chance = chance
        self._header = config.header_name if config.source == "header" else None
        self._parameter = config.query_param
        self._instances: Sequence[Instance] = ()
        self._free: _Free
        self._ring = HashRing()

    def select(self, instances: Sequence[Instance], exchange: Exchange) -> Instance:
        """Return the instance of the session; any if the request names none."""
        if instances is not self._instances:
            self._adopt(instances)
        session = self._session(exchange.request)
        if session is None:
            return self._free.choose(exchange.excluded)
        key = session[:MAX_SESSION_LENGTH].encode("utf-8", "surrogateescape")
        excluded = exchange.excluded
        return self._ring.find(key, lambda instance: instance not in excluded) if excluded else self._ring.owner(key)

    def _session(self, request: Request) -> str | None:
        if self._header is not None:
            return request.headers.get(self._header) or None
        found = query_values(request, self._parameter)
        return found[0] or None if found else None

    def _adopt(self, instances: Sequence[Instance]) -> None:
        self._instances = instances
        self._free = _Free(instances, self._chance)
        self._ring.become(self._free.taking)


if TYPE_CHECKING:
    from gateway.interfaces import Balancer

    _: type[Balancer] = StickyCookie
    __: type[Balancer] = NamedSession
