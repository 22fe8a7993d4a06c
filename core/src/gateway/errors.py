"""What can go wrong, and the one place where an error becomes a response.

```
GatewayError            a refusal or failure with a public message and a logged detail
├── Unauthorized        401; carries the challenge for ``WWW-Authenticate``
└── RateLimited         429; carries the delay for ``Retry-After``
ConfigurationError      the configuration cannot be used; raised before anything serves
Outage                  what background work depends on cannot be reached; it is started again
```

Anything else that escapes a plugin is that plugin's bug and becomes ``ErrorType.INTERNAL``.
"""

from __future__ import annotations

import json
import math
from enum import Enum
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "ConfigurationError",
    "ErrorType",
    "GatewayError",
    "Outage",
    "Problem",
    "RateLimited",
    "Unauthorized",
    "problem_body",
]


MAX_RETRY_AFTER_S = 365 * 24 * 3600.0


class ErrorType(Enum):
    """The kinds of failure a client can meet, each with its HTTP status (RFC 9110 section 15, RFC 6585)."""

    NOT_FOUND = ("not_found", 404)
    """No route matches, or there is no such admin endpoint."""
    METHOD_NOT_ALLOWED = ("method_not_allowed", 405)
    """Routes match, but none for this method; with ``Allow``."""
    UNAVAILABLE = ("unavailable", 503)
    """No healthy instance, too many requests wait for a connection, or the gateway stops."""
    TIMEOUT = ("timeout", 408)
    """The client was too slow to send its request (``readTimeout``)."""
    BAD_REQUEST = ("bad_request", 400)
    """The request is malformed or ambiguous: framing, ``Host``, target, a path that can be read in two ways."""
    UNAUTHORIZED = ("unauthorized", 401)
    """Credentials are missing or not valid; with ``WWW-Authenticate``."""
    FORBIDDEN = ("forbidden", 403)
    """The caller is known and may not: a scope is missing."""
    PAYLOAD_TOO_LARGE = ("payload_too_large", 413)
    """The body is larger than ``maxRequestSize`` of the listener or the rule, also when that shows only while it
    streams."""
    URI_TOO_LONG = ("uri_too_long", 414)
    """The target is longer than ``maxUriBytes`` of the listener or the rule."""
    MISDIRECTED = ("misdirected", 421)
    """The host needs a client certificate, and the connection was opened for another one that needs none."""
    RATE_LIMIT = ("rate_limit", 429)
    """A limiter refused; with ``Retry-After`` and ``X-RateLimit-*``."""
    HEADERS_TOO_LARGE = ("headers_too_large", 431)
    """The head is larger than ``maxHeaderBytes`` of the listener or the rule, or has more than ``maxHeaders`` fields.
"""
    INTERNAL = ("internal", 500)
    """A bug: an exception that is no ``GatewayError`` escaped a plugin; the log names it."""
    NOT_IMPLEMENTED = ("not_implemented", 501)
    """A transfer coding other than chunked, CONNECT, a method that the parser does not know."""
    BAD_GATEWAY = ("bad_gateway", 502)
    """The instance cannot be reached, broke off, or did not answer in HTTP."""
    UPSTREAM_TIMEOUT = ("upstream_timeout", 504)
    """The instance was too slow (``timeout`` of the rule); 408 with ``errors.upstreamTimeoutStatus: 408``."""

    def __init__(self, code: str, status: int) -> None:
        self.code = code
        self.status = status


class GatewayError(Exception):
    """A refusal or failure that the gateway answers deliberately.

    Args:
        error_type: The kind of failure; decides the status.
        message: The public text. It is sent to the client, so it names no instance, address or internal cause.
        detail: The text for the log; ``None`` repeats ``message``.
        headers: Response fields that go with the refusal, such as ``(b"allow", b"GET")``.
        plugin: The name of the plugin that refused; ``None`` for the core.
        is_unsent: Whether the instance saw nothing of the request, so that another may be asked, whatever the method
            (RFC 9110 section 9.2.2); for connectors.
        reset_code: The code with which the instance reset the stream (RFC 9113 section 7); ``None`` if it did not. For
            connectors of HTTP/2: it means something to protocols that are carried over them.
    """

    def __init__(
        self,
        error_type: ErrorType,
        message: str,
        *,
        detail: str | None = None,
        headers: Sequence[tuple[bytes, bytes]] = (),
        plugin: str | None = None,
        is_unsent: bool = False,
        reset_code: int | None = None,
    ) -> None:
        super().__init__(detail or message)
        self.type = error_type
        self.message = message
        self.detail = detail or message
        self.headers = tuple(headers)
        self.plugin = plugin
        self.is_unsent = is_unsent
        self.reset_code = reset_code

    def __reduce__(self) -> tuple[object, ...]:
        return _restored, (type(self), self.args, self.__dict__)


class Unauthorized(GatewayError):
    """Credentials are missing or were refused (RFC 9110 section 15.5.2).

    Args:
        message: The public text.
        challenge: The ``WWW-Authenticate`` value, such as ``Bearer error="invalid_token"``, in Latin-1; ``None`` lets
            the core name the scheme of every authenticator of the route.
        detail: The text for the log.
        plugin: The authenticator that refused.
    """

    def __init__(
        self,
        message: str = "authentication required",
        *,
        challenge: str | None = None,
        detail: str | None = None,
        plugin: str | None = None,
    ) -> None:
        headers = ((b"www-authenticate", _field_value(challenge)),) if challenge else ()
        super().__init__(ErrorType.UNAUTHORIZED, message, detail=detail, headers=headers, plugin=plugin)
        self.challenge = challenge


class RateLimited(GatewayError):
    """A limit is used up (RFC 6585 section 4).

    Args:
        retry_after_s: Seconds until the next request may be served; sent rounded up in ``Retry-After``, as at least a
            second and at most a year.
        headers: More response fields, such as the state of the limit.
        plugin: The limiter that refused.
    """

    def __init__(
        self, retry_after_s: float, *, headers: Sequence[tuple[bytes, bytes]] = (), plugin: str | None = None
    ) -> None:
        # max() takes its first argument over a NaN: whatever a limiter works out, its refusal stays a refusal.
        seconds = math.ceil(min(max(1.0, retry_after_s), MAX_RETRY_AFTER_S))
        fields = ((b"retry-after", b"%d" % seconds), *headers)
        super().__init__(ErrorType.RATE_LIMIT, "rate limit exceeded", headers=fields, plugin=plugin)
        self.retry_after_s = retry_after_s


class Problem:
    """One thing wrong with the configuration, with its place and its remedy.

    Attributes:
        where: ``file:line:column``, or the name of the environment variable or flag the value came from.
        path: The dotted path of the key, such as ``gateway.router.rules[2].rateLimit``.
        message: What is wrong and what to do about it.
    """

    __slots__ = ("message", "path", "where")

    def __init__(self, message: str, *, path: str = "", where: str = "") -> None:
        self.where = where
        self.path = path
        self.message = message

    def __str__(self) -> str:
        return ": ".join(part for part in (self.where, self.path, self.message) if part)

    def __repr__(self) -> str:
        return f"Problem({str(self)!r})"


class Outage(Exception):
    """Something that background work depends on cannot be reached: a daemon, an API, a database.

    Work that raises it, or an ``OSError``, is started again like any other, and the log says so in one line, for no
    code is to be mended. The text says what cannot be reached and why.
    """


class ConfigurationError(Exception):
    """The configuration cannot be used; carries every problem that was found, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.problems,)


_BREAKS = str.maketrans("\r\n\0", "   ")


def _field_value(text: str) -> bytes:
    """Return text as the value of a field: an error about credentials may quote them, and must not fail or split."""
    return text.translate(_BREAKS).encode("latin-1", "replace")


def _restored(kind: type[GatewayError], arguments: tuple[object, ...], state: dict[str, object]) -> GatewayError:
    """Rebuild an error that a worker or the control plane sent; its constructor takes more than ``args`` says."""
    error = kind.__new__(kind, *arguments)
    error.args = arguments
    error.__dict__.update(state)
    return error


def problem_body(
    error: GatewayError, *, status: int, request_id: str, accepts_json: bool = True
) -> tuple[bytes, bytes]:
    """Render the public side of ``error`` for a client.

    Args:
        error: The failure.
        status: The status that is sent, which ``errors.upstreamTimeoutStatus`` may have changed.
        request_id: The id that finds the logged side.
        accepts_json: ``False`` renders plain text.

    Returns:
        The content type and the body; ``application/problem+json`` as of RFC 9457.
    """
    if not accepts_json:
        return b"text/plain; charset=utf-8", f"{error.message}\n".encode()
    members: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": error.message,
        "code": error.type.code,
        "requestId": request_id,
    }
    if error.plugin:
        members["plugin"] = error.plugin
    return b"application/problem+json", json.dumps(members).encode()
