"""HTTP semantics (RFC 9110) that every version of the protocol shares, for adapters and connectors.

What two adapters disagreed on, a service could be made to read in two ways: so there is one definition of each.
"""

from __future__ import annotations

import ipaddress
import re
from itertools import product
from random import getrandbits
from typing import TYPE_CHECKING

from gateway.errors import ErrorType, GatewayError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gateway.messages import Request

__all__ = [
    "BODILESS_METHODS",
    "HOP_BY_HOP",
    "IDEMPOTENT_METHODS",
    "METHODS",
    "NO_CONTENT",
    "REQUEST_ID",
    "UNTRAILED",
    "count_forwards",
    "is_authority",
    "lookalikes",
    "new_request_id",
]

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Fields that end at the next hop (RFC 9110 section 7.6.1); those for proxies end here, since we are the server."""

UNTRAILED = HOP_BY_HOP | {
    b"authorization",
    b"cache-control",
    b"client-cert",
    b"client-cert-chain",
    b"content-encoding",
    b"content-length",
    b"content-range",
    b"content-type",
    b"cookie",
    b"expect",
    b"forwarded",
    b"host",
    b"max-forwards",
    b"range",
    b"set-cookie",
    b"trailer",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-proto",
    b"x-request-id",
}
"""Fields for framing, routing, authentication and the like, which a trailer must not hold (RFC 9110 section 6.5.1)."""

METHODS = {
    name.encode("ascii"): name
    for name in (
        *("ACL", "BIND", "CHECKOUT", "CONNECT", "COPY", "DELETE", "GET", "HEAD", "LINK", "LOCK", "M-SEARCH", "MERGE"),
        *("MKACTIVITY", "MKCALENDAR", "MKCOL", "MOVE", "NOTIFY", "OPTIONS", "PATCH", "POST", "PROPFIND", "PROPPATCH"),
        *("PURGE", "PUT", "QUERY", "REBIND", "REPORT", "SEARCH", "SUBSCRIBE", "TRACE", "UNBIND", "UNLINK", "UNLOCK"),
        "UNSUBSCRIBE",
    )
}
"""The methods that are known, as text; others are answered with 501 (RFC 9110 section 9.1)."""

IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "QUERY", "PROPFIND", "REPORT"})
"""Methods that may be repeated when a connection dies (RFC 9110 section 9.2.2, RFC 4918, RFC 3253, RFC 10008)."""

BODILESS_METHODS = frozenset({"GET", "HEAD", "DELETE", "OPTIONS", "TRACE", "PROPFIND"})
"""Methods that anticipate no content: no ``Content-Length: 0`` is sent with them (RFC 9110 section 8.6)."""

NO_CONTENT = frozenset({204, 304})
"""Statuses whose answers have no content whatever their fields say (RFC 9110 sections 15.3.5 and 15.4.5)."""

REQUEST_ID = re.compile(rb"[A-Za-z0-9._~+/=@:-]{1,128}")
"""A well-formed ``X-Request-ID``."""

MAX_PORT = 65535
_HOST = re.compile(rb"(?:[A-Za-z0-9._~-]*|\[(?P<ipv6>[0-9A-Fa-f:.]+)\])(?::(?P<port>[0-9]{0,5}))?")


def is_authority(value: bytes) -> bool:
    """Tell whether ``value`` is a host and perhaps a port (RFC 9110 section 4.2), or empty.

    Escapes and sub-delimiters, which RFC 3986 allows in a name, are not: no host has them, and recipients disagree.
    """
    found = _HOST.fullmatch(value)
    if found is None or int(found["port"] or 0) > MAX_PORT:
        return False
    if found["ipv6"] is not None:
        try:
            ipaddress.IPv6Address(found["ipv6"].decode("ascii"))
        except ValueError:
            return False
    return True


def new_request_id() -> str:
    """Return an id for a request that brought none, or one that is not well-formed: 32 hexadecimal digits, by chance.

    It names the request in logs and is no secret.
    """
    return "%032x" % getrandbits(128)  # noqa: UP031 - three quarters of what an f-string takes


def lookalikes(names: Iterable[bytes]) -> Iterator[bytes]:
    """Yield ``x_forwarded-for`` and the like: CGI and its heirs, WSGI among them, read underscores as hyphens."""
    for name in names:
        first, *others = name.split(b"-")
        for separators in product((b"-", b"_"), repeat=len(others)):
            yield first + b"".join(mark + part for mark, part in zip(separators, others, strict=True))


def count_forwards(request: Request) -> bool:
    """Count ``Max-Forwards`` down (RFC 9110 section 7.6.2); returns whether the request goes no further.

    Raises:
        GatewayError: If it is a TRACE that goes no further.
    """
    if request.method not in ("OPTIONS", "TRACE"):
        return False
    forwards = request.headers.get("max-forwards") or ""
    if not (forwards.isascii() and forwards.isdigit()):
        return False
    if int(forwards):
        request.headers.set("max-forwards", str(int(forwards) - 1))
        return False
    if request.method == "TRACE":
        raise GatewayError(ErrorType.METHOD_NOT_ALLOWED, "TRACE is not answered here", headers=((b"allow", b""),))
    return True
