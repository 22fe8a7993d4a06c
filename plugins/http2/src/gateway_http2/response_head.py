"""What stands in the header block of a response to a client."""

from __future__ import annotations

import time
from email.utils import formatdate
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING

from gateway.semantics import UNTRAILED
from gateway_http2.engine import literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway import Headers

__all__ = ["content_length_field", "request_id_field", "response_fields", "sendable_trailers"]

Pair = tuple[bytes, bytes]

_OURS = frozenset(
    {
        b"connection",
        b"content-length",
        b"date",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"transfer-encoding",
        b"upgrade",
        b"x-request-id",
    }
)
"""Fields that are looked at: those of connections must not come from elsewhere, a date must be there."""
_DATE_ONLY = frozenset({b"date"})
_STATUSES = {status: (b":status", b"%d" % status) for status in range(100, 600)}
_LENGTH_BEGINNING = literal(b"content-length", b"")[:-1]
_REQUEST_ID_BEGINNING = literal(b"x-request-id", b"")[:-1]
_LONGEST_IN_ONE_BYTE = 126
_name = itemgetter(0)


def response_fields(status: int, headers: Headers) -> tuple[Pair, ...]:
    """Return the fields of a response, its status first: end-to-end ones, and a date (RFC 9110 section 6.6.1)."""
    pairs = headers.view()
    if headers.names_among(_OURS) != _DATE_ONLY:
        kept = [pair for pair in pairs if pair[0] not in _OURS or pair[0] == b"date"]
        if b"date" not in map(_name, kept):
            kept.append((b"date", _date(int(time.time()))))
        pairs = kept
    return (_STATUSES.get(status) or (b":status", b"%d" % status), *pairs)


@lru_cache(maxsize=1)
def _date(now_s: int) -> bytes:
    return formatdate(now_s, usegmt=True).encode("ascii")


def request_id_field(request_id: str) -> bytes:
    """Return the field, encoded; another one each time, it stays out of the dynamic table."""
    value = request_id.encode("latin-1")
    if len(value) > _LONGEST_IN_ONE_BYTE:
        return literal(b"x-request-id", value)
    return b"%b%c%b" % (_REQUEST_ID_BEGINNING, len(value), value)


def content_length_field(length: int) -> bytes:
    """Return the field, encoded."""
    value = b"%d" % length
    return b"%b%c%b" % (_LENGTH_BEGINNING, len(value), value)


def sendable_trailers(trailers: Sequence[Pair]) -> list[Pair]:
    """Return the trailer fields that a trailer may hold (RFC 9110 section 6.5.1)."""
    return [pair for pair in trailers if pair[0] not in UNTRAILED and not pair[0].startswith(b":")]
