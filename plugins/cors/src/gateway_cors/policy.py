"""The policy: answers preflights, and says on every answer who may read it (Fetch standard, section 3.2)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gateway import ErrorType, GatewayError, Headers, Response
from gateway_cors.origins import MAX_ORIGIN_LENGTH, Origins

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway import Exchange, Handler, Route
    from gateway_cors.config import CorsConfig

    Pairs = list[tuple[bytes, bytes]]

__all__ = ["CorsPolicy"]

MAX_REMEMBERED = 1024
"""Origins whose fields are remembered. Beyond that it begins anew, so that strangers cannot fill the memory."""

_VARY = (b"vary", b"Origin")
_ALLOW_ORIGIN = b"access-control-allow-origin"
_OURS = frozenset(
    {
        _ALLOW_ORIGIN,
        b"access-control-allow-credentials",
        b"access-control-allow-headers",
        b"access-control-allow-methods",
        b"access-control-allow-private-network",
        b"access-control-expose-headers",
        b"access-control-max-age",
    }
)
"""Fields that only the gateway says here. A second opinion of the service's would void the first, or undo it."""
_TOKENS = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+(?:[ \t]*,[ \t]*[A-Za-z0-9!#$%&'*+.^_`|~-]+)*")


class CorsPolicy:
    """Cross-origin resource sharing.

    Preflights end here, before anybody is asked for credentials, which browsers do not send with them. Every other
    answer, errors included, is marked for the browser: what may not be read is still answered.

    Args:
        config: The effective block.
    """

    waits = False

    def __init__(self, config: CorsConfig) -> None:
        self._config = config
        self._origins = Origins(config.allowed_origins, config.allowed_origin_regexes)
        self._methods = frozenset(method.encode("ascii") for method in config.allowed_methods)
        self._methods_line = ", ".join(config.allowed_methods).encode("ascii")
        self._headers = frozenset(name.lower().encode("ascii") for name in config.allowed_headers)
        self._exposed = _exposed(config)
        self._remembered: dict[bytes, Pairs] = {}
        self._preflight_vary = (b"vary", _preflight_vary(config))
        self._max_age = (b"access-control-max-age", b"%d" % config.max_age) if config.max_age >= 1 else None

    def wrap(self, next: Handler, route: Route) -> Handler:  # noqa: A002 - the field's word for it
        """Return the handler that stands before ``next``."""
        passes_on = self._config.options_passthrough
        remembered = self._remembered  # emptied in place, never replaced

        async def handler(exchange: Exchange) -> Response:
            request = exchange.request
            origin = request.headers.values().get(b"origin")
            preflight = None
            if origin is not None and request.method == "OPTIONS":
                preflight = self._preflight(origin, request.headers.pairs)
                if preflight is not None and not passes_on and _is_answerable(exchange.error):
                    exchange.error = None
                    return Response(self._config.options_success_status, headers=Headers(preflight))
            response = await next(exchange)
            headers = response.headers
            headers.drop(_OURS)
            if preflight is not None:
                headers.extend(preflight)
            elif origin is None:
                headers.extend((_VARY,))
            else:
                headers.extend(remembered.get(origin) or self._fields_for(origin))
            return response

        return handler

    def _fields_for(self, origin: bytes) -> Pairs:
        """Return the fields of an answer to a page of ``origin``, and remember them."""
        fields = [_VARY]
        if self._origins.allows(origin):
            fields += [*self._who_may_read(origin), *self._exposed]
        if len(origin) <= MAX_ORIGIN_LENGTH:
            if len(self._remembered) >= MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[origin] = fields
        return fields

    def _who_may_read(self, origin: bytes) -> Pairs:
        """Return the fields that let pages of an allowed origin read the answer."""
        if self._config.allow_credentials:
            return [(_ALLOW_ORIGIN, origin), (b"access-control-allow-credentials", b"true")]
        return [(_ALLOW_ORIGIN, b"*" if self._origins.allows_all else origin)]

    def _preflight(self, origin: bytes, asked: Sequence[tuple[bytes, bytes]]) -> Pairs | None:
        """Return the fields that answer a preflight; ``None`` if the request is none (Fetch standard, 3.2.2)."""
        fields = dict(asked)
        method = fields.get(b"access-control-request-method")
        if method is None:
            return None
        answer = [self._preflight_vary]
        if not self._origins.allows(origin):
            return answer
        answer += self._who_may_read(origin)
        methods = self._allowed_methods(method)
        if methods is not None:
            answer.append((b"access-control-allow-methods", methods))
        # A list may come in several lines (RFC 9110 section 5.3).
        lines = [value for name, value in asked if name == b"access-control-request-headers" and value]
        headers = self._allowed_headers(b", ".join(lines))
        if headers:
            answer.append((b"access-control-allow-headers", headers))
        if self._config.allow_private_network and fields.get(b"access-control-request-private-network") == b"true":
            answer.append((b"access-control-allow-private-network", b"true"))
        if self._max_age is not None:
            answer.append(self._max_age)
        return answer

    def _allowed_methods(self, method: bytes) -> bytes | None:
        """Return the methods to name to somebody who asks for ``method``; ``None`` if it is not allowed."""
        if b"*" in self._methods:
            # Browsers take "*" for a method of that name where there are credentials, so it is never sent.
            return method if b"," not in method and _TOKENS.fullmatch(method) else None
        return self._methods_line if method in self._methods else None

    def _allowed_headers(self, names: bytes) -> bytes | None:
        """Return the request fields to allow to somebody who asks for ``names``; ``None`` unless all are allowed."""
        if not _TOKENS.fullmatch(names):
            return None
        wanted = [name.strip().lower() for name in names.split(b",")]
        if b"*" in self._headers or self._headers.issuperset(wanted):
            # Echoed, for "*" does not mean Authorization, nor anything where there are credentials.
            return b", ".join(wanted)
        return None


def _is_answerable(error: BaseException | None) -> bool:
    """Tell whether a preflight can be answered: that no route takes OPTIONS is no error then, but others are."""
    return error is None or (
        isinstance(error, GatewayError) and error.type in (ErrorType.NOT_FOUND, ErrorType.METHOD_NOT_ALLOWED)
    )


def _exposed(config: CorsConfig) -> Pairs:
    names = ", ".join(config.exposed_headers)
    return [(b"access-control-expose-headers", names.encode("ascii"))] if names else []


def _preflight_vary(config: CorsConfig) -> bytes:
    vary = b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
    return vary + b", Access-Control-Request-Private-Network" if config.allow_private_network else vary


if TYPE_CHECKING:
    from gateway.interfaces import Policy

    _: type[Policy] = CorsPolicy
