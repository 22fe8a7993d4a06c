"""The core's own policies that apply authenticators: who is calling, and do their scopes suffice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import ErrorType, GatewayError, Unauthorized
from gateway.exchange import Principal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.exchange import Exchange, Handler, Response
    from gateway.interfaces import Authenticator, Route

__all__ = ["AuthenticationPolicy", "ScopePolicy"]


class AuthenticationPolicy:
    """Tries the route's authenticators in order; the first that finds its kind of credentials decides.

    Invalid credentials are refused with 401 also where none are required; none at all are refused where they are
    (RFC 9110 section 11.6.1).

    Args:
        authenticators: Name, challenge and component, in ``auth.providers`` order.
        is_required: Whether anonymous requests are refused.
        skips: Says of a path in canonical form whether nobody is asked there (``auth.skipPaths``); ``None`` if
            everybody is everywhere.
    """

    def __init__(
        self,
        authenticators: Sequence[tuple[str, str, Authenticator]],
        *,
        is_required: bool,
        skips: Callable[[str], bool] | None = None,
    ) -> None:
        self._authenticators = tuple(authenticators)
        self._is_required = is_required
        self._skips = skips
        self._challenge = ", ".join(dict.fromkeys(challenge for _, challenge, _ in authenticators))
        self.waits = any(getattr(component, "waits", True) for _, _, component in authenticators)

    def wrap(self, next: Handler, route: Route) -> Handler:  # noqa: A002 - the interface's name
        """Return the handler that knows who is calling; ``next`` itself where there is nothing to try."""
        if not self._authenticators and not self._is_required:
            return next

        skips = self._skips

        async def authenticate(exchange: Exchange) -> Response:
            if skips is None or not skips(exchange.request.path):
                await self._identify(exchange)
            return await next(exchange)

        return authenticate

    async def _identify(self, exchange: Exchange) -> None:
        for name, challenge, authenticator in self._authenticators:
            try:
                principal = _checked(name, await authenticator.authenticate(exchange.request))
            except Unauthorized as error:
                raise _challenged(error, name, challenge) from error
            if principal is not None:
                exchange.principal = principal
                return
        if self._is_required:
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
