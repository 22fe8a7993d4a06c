"""Header fields that HTTP/1.1 treats specially."""

from __future__ import annotations

from http import HTTPStatus

__all__ = ["BODILESS_METHODS", "HOP_BY_HOP", "IDEMPOTENT_METHODS", "METHODS", "STATUS_LINES", "status_line"]

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-authentication-info",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Fields that end at the next hop (RFC 9110 section 7.6.1, and what its predecessors listed)."""

METHODS = {
    name.encode(): name
    for name in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "QUERY", "PROPFIND", "REPORT")
}
"""Text of the methods that come often; others are decoded each time."""

IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "QUERY", "PROPFIND", "REPORT"})
"""Methods that may be repeated when a connection dies (RFC 9110 section 9.2.2, RFC 4918, RFC 3253, RFC 10008)."""

BODILESS_METHODS = frozenset({"GET", "HEAD", "DELETE", "OPTIONS", "TRACE", "PROPFIND"})
"""Methods that anticipate no content: no ``Content-Length: 0`` is sent with them (RFC 9110 section 8.6)."""

STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode()
    for status in HTTPStatus
    if status.value >= 100
}


def status_line(status: int) -> bytes:
    """Return the status line for ``status``; the reason phrase of unregistered ones is empty (RFC 9112 section 4)."""
    return STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status
