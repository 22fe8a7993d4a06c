"""The core's own policies that apply authenticators: who is calling, and do their scopes suffice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.errors import ErrorType, GatewayError, Unauthorized
from gateway.principal import Principal

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from typing import Any

    from gateway.exchange import Exchange, Handler
    from gateway.interfaces import Authenticator, Route
    from gateway.messages import Request, Response
    from gateway.pipeline.shadow import ShadowRecord

__all__ = ["AppliedAuthenticator", "AuthenticationPolicy", "ScopePolicy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedAuthenticator:
    """An authenticator on a route.

    Attributes:
        name: The registration's name.
        challenge: The scheme for ``WWW-Authenticate``.
        authenticator: The component.
        is_shadow: ``mode: shadow``: it refuses nobody, and lets nobody in. Where all are so, none are required.
    """

    name: str
    challenge: str
    authenticator: Authenticator
    is_shadow: bool = False


class AuthenticationPolicy:
    """Tries the route's authenticators in order; the first that finds its kind of credentials decides.

    Invalid credentials are refused with 401 also where none are required; none at all are refused where they are
    (RFC 9110 section 11.6.1).

    Args:
        authenticators: In ``auth.providers`` order.
        shadow: Where is recorded what authenticators in shadow mode would have done.
        is_required: Whether anonymous requests are refused.
        skips: Says of a path in canonical form whether nobody is asked there (``auth.skipPaths``); ``None`` if
            everybody is everywhere.
    """

    def __init__(
        self,
        authenticators: Sequence[AppliedAuthenticator],
        shadow: ShadowRecord,
        *,
        is_required: bool,
        skips: Callable[[str], bool] | None = None,
    ) -> None:
        self._authenticators = tuple(authenticators)
        self._is_required = is_required
        self._skips = skips
        self._shadow = shadow
        self._challenge = ", ".join(dict.fromkeys(applied.challenge for applied in authenticators))
        self._conceal: tuple[Callable[[Request], None], ...] = tuple(
            conceal
            for applied in authenticators
            if not applied.is_shadow and (conceal := getattr(applied.authenticator, "conceal", None)) is not None
        )
        self._is_shadow = bool(authenticators) and all(applied.is_shadow for applied in authenticators)
        self.waits = any(getattr(applied.authenticator, "waits", True) for applied in authenticators)

    def wrap(self, next: Handler, route: Route) -> Handler:  # noqa: A002 - the interface's name
        """Return the handler that knows who is calling; ``next`` itself where there is nothing to try."""
        if not self._authenticators and not self._is_required:
            return next

        skips = self._skips
        if skips is None and len(self._authenticators) == 1 and not self._is_shadow:
            asking = self._by_one(next)
            recall = getattr(self._authenticators[0].authenticator, "recall", None)
            return asking if recall is None else self._recalling(recall, asking, next)

        async def authenticate(exchange: Exchange) -> Response:
            if skips is None or not skips(exchange.request.path):
                await self._identify(exchange)
            return await next(exchange)

        return authenticate

    def _by_one(self, next: Handler) -> Handler:  # noqa: A002 - as above
        """Return the handler for what most routes have: one authenticator, asked on every path."""
        (applied,) = self._authenticators
        ask, conceal = applied.authenticator.authenticate, self._conceal

        async def authenticate(exchange: Exchange) -> Response:
            request = exchange.request
            try:
                principal = await ask(request)
            except Unauthorized as error:
                raise _challenged(error, applied.name, applied.challenge) from error
            if type(principal) is not Principal:
                principal = _checked(applied.name, principal)
            if principal is not None:
                exchange.principal = principal
                for take_off in conceal:
                    take_off(request)
            elif self._is_required:
                raise Unauthorized(challenge=self._challenge)
            return await next(exchange)

        return authenticate

    def _recalling(self, recall: Callable[[Request], Principal | None], asking: Handler, next: Handler) -> Handler:  # noqa: A002 - as above
        """Return the handler that lets in whom the authenticator knows at once; ``asking`` is for everybody else."""
        conceal = self._conceal

        # No coroutine: all of it comes before the rest.
        def authenticate(exchange: Exchange) -> Coroutine[Any, Any, Response]:
            request = exchange.request
            principal = recall(request)
            if type(principal) is not Principal:
                return asking(exchange)
            exchange.principal = principal
            for take_off in conceal:
                take_off(request)
            return next(exchange)

        return authenticate

    async def _identify(self, exchange: Exchange) -> None:
        for applied in self._authenticators:
            try:
                principal = _checked(applied.name, await applied.authenticator.authenticate(exchange.request))
            except Exception as error:
                if applied.is_shadow:
                    self._shadow.refusal(exchange, applied.name, error)
                    continue
                if isinstance(error, Unauthorized):
                    raise _challenged(error, applied.name, applied.challenge) from error
                raise
            if principal is not None and not applied.is_shadow:
                exchange.principal = principal
                for conceal in self._conceal:
                    conceal(exchange.request)
                return
        if self._is_required and not self._is_shadow:
            raise Unauthorized(challenge=self._challenge)


class ScopePolicy:
    """Refuses with 403 who lacks a scope (RFC 6750 section 3.1).

    Args:
        scopes: All of them are needed.
        skips: Says of a path in canonical form whether none is needed there; ``None`` if they are everywhere.
    """

    waits = False

    def __init__(self, scopes: frozenset[str], *, skips: Callable[[str], bool] | None = None) -> None:
        self._scopes = scopes
        self._skips = skips

    def wrap(self, next: Handler, route: Route) -> Handler:  # noqa: A002 - the interface's name
        """Return the handler that checks; ``next`` itself where no scope is asked for."""
        if not self._scopes:
            return next

        wanted, skips = self._scopes, self._skips

        async def check(exchange: Exchange) -> Response:
            principal = exchange.principal
            missing = wanted if principal is None else wanted - principal.scopes
            if missing and (skips is None or not skips(exchange.request.path)):
                who = repr(principal.subject) if principal is not None else "nobody"
                raise GatewayError(
                    ErrorType.FORBIDDEN,
                    "insufficient permissions",
                    detail=f"{who} lacks the scopes {sorted(missing)}",
                )
            return await next(exchange)

        return check


def _checked(authenticator: str, found: object) -> Principal | None:
    """Return who was found, which must not be a ``False`` that was meant as a no."""
    if found is None or isinstance(found, Principal):
        return found
    msg = f"authenticator {authenticator!r} returned {found!r} instead of a Principal or None"
    raise TypeError(msg)


def _challenged(error: Unauthorized, plugin: str, challenge: str) -> Unauthorized:
    return Unauthorized(
        error.message, challenge=error.challenge or challenge, detail=error.detail, plugin=error.plugin or plugin
    )


if TYPE_CHECKING:
    from gateway.interfaces import Policy

    _policies: tuple[type[Policy], type[Policy]] = (AuthenticationPolicy, ScopePolicy)
