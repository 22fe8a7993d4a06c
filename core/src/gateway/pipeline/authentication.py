"""The core's own policies that apply authenticators: who is calling, and do their scopes suffice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import ErrorType, GatewayError, Unauthorized

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.exchange import Exchange, Handler, Response
    from gateway.interfaces import Authenticator, Route

__all__ = ["AuthenticationPolicy", "PathPrefixes", "ScopePolicy"]


class PathPrefixes:
    """``auth.skipPaths``: paths that nobody needs to be known for.

    Segment-aware, so that ``/public`` covers ``/public`` and ``/public/a`` but not ``/publicity``; a trailing ``*`` or
    ``/*`` says the same.

    Args:
        paths: The configured paths.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self._prefixes = tuple(path.removesuffix("*").rstrip("/") for path in paths)

    def __bool__(self) -> bool:
        return bool(self._prefixes)

    def __contains__(self, path: str) -> bool:
        return any(path == prefix or path.startswith(f"{prefix}/") for prefix in self._prefixes)


class AuthenticationPolicy:
    """Tries the route's authenticators in order; the first that finds its kind of credentials decides.

    Invalid credentials are refused with 401 also where none are required; none at all are refused where they are
    (RFC 9110 section 11.6.1).

    Args:
        authenticators: Name, challenge and component, in ``auth.providers`` order.
        is_required: Whether anonymous requests are refused.
        skipped: Paths on which nothing is asked.
    """

    def __init__(
        self, authenticators: Sequence[tuple[str, str, Authenticator]], *, is_required: bool, skipped: PathPrefixes
    ) -> None:
        self._authenticators = tuple(authenticators)
        self._is_required = is_required
        self._skipped = skipped
        self._challenge = ", ".join(dict.fromkeys(challenge for _, challenge, _ in authenticators))
        self.waits = any(getattr(component, "waits", True) for _, _, component in authenticators)

    def wrap(self, next: Handler, route: Route) -> Handler:  # noqa: A002 - the interface's name
        """Return the handler that knows who is calling; ``next`` itself where there is nothing to try."""
        if not self._authenticators and not self._is_required:
            return next

        skipped = self._skipped

        async def authenticate(exchange: Exchange) -> Response:
            if not (skipped and exchange.request.path in skipped):
                await self._identify(exchange)
            return await next(exchange)

        return authenticate

    async def _identify(self, exchange: Exchange) -> None:
        for name, challenge, authenticator in self._authenticators:
            try:
                principal = await authenticator.authenticate(exchange.request)
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
        skipped: Paths on which none is.
    """

    waits = False

    def __init__(self, scopes: frozenset[str], *, skipped: PathPrefixes) -> None:
        self._scopes = scopes
        self._skipped = skipped

    def wrap(self, next: Handler, route: Route) -> Handler:  # noqa: A002 - the interface's name
        """Return the handler that checks; ``next`` itself where no scope is asked for."""
        if not self._scopes:
            return next

        async def check(exchange: Exchange) -> Response:
            principal = exchange.principal
            if exchange.request.path in self._skipped:
                return await next(exchange)
            if principal is None or not self._scopes <= principal.scopes:
                who = principal.subject if principal is not None else "nobody"
                missing = sorted(self._scopes - (principal.scopes if principal is not None else frozenset()))
                raise GatewayError(
                    ErrorType.FORBIDDEN, "insufficient permissions", detail=f"{who!r} lacks the scopes {missing}"
                )
            return await next(exchange)

        return check


def _challenged(error: Unauthorized, plugin: str, challenge: str) -> Unauthorized:
    return Unauthorized(
        error.message, challenge=error.challenge or challenge, detail=error.detail, plugin=error.plugin or plugin
    )


if TYPE_CHECKING:
    from gateway.interfaces import Policy

    _policies: tuple[type[Policy], type[Policy]] = (AuthenticationPolicy, ScopePolicy)
