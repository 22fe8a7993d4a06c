"""The header block of a response, read: its status, and what goes on to the client."""

from __future__ import annotations

from gateway import Section
from gateway.semantics import HOP_BY_HOP
from gateway_http2.engine import ErrorCode, HeaderBlock, StreamFault
from gateway_http2.request_fields import check_field

__all__ = ["ResponseFields", "read_response_fields"]

SWITCHING_PROTOCOLS = 101
NO_FIELDS = Section(())
_DROPPED = HOP_BY_HOP | {b"x-request-id"}  # the client gets the id that the service was sent


class ResponseFields:
    """What a header block says. The same for every response that has the same block.

    Attributes:
        status: The status.
        pairs: What goes on to the client: end-to-end fields without those for framing.
        shared: The same, for all responses with this block.
        content_length: How long the content is, or ``None``.
    """

    __slots__ = ("content_length", "pairs", "shared", "status")

    def __init__(self, status: int) -> None:
        self.status = status
        self.pairs: list[tuple[bytes, bytes]] = []
        self.shared = NO_FIELDS
        self.content_length: int | None = None


def read_response_fields(block: HeaderBlock) -> ResponseFields:
    """Read the header block of a response (RFC 9113 section 8.3.2).

    Raises:
        StreamFault: If it is malformed, or too large.
    """
    if block.is_too_large:
        raise StreamFault(ErrorCode.ENHANCE_YOUR_CALM, "the response head is too large")
    first = block.fields[0] if block.fields else (b"", b"")
    digits = first[1]
    if first[0] != b":status" or len(digits) != 3 or not digits.isdigit() or digits < b"100":
        raise _malformed("no status")
    fields = ResponseFields(int(digits))
    if fields.status == SWITCHING_PROTOCOLS:
        raise _malformed("101, which HTTP/2 has not")  # RFC 9113 section 8.6
    for pair in block.fields[1:]:
        name, value = pair
        check_field(name, value)
        if name == b"content-length":
            if fields.content_length is not None or not value.isdigit() or len(value) > 18:
                raise _malformed("Content-Length is not one number")
            fields.content_length = int(value)
        elif name not in _DROPPED:
            fields.pairs.append(pair)
    fields.shared = Section(fields.pairs)
    block.meaning = fields
    return fields


def _malformed(what: str) -> StreamFault:
    return StreamFault(ErrorCode.PROTOCOL_ERROR, f"malformed response: {what}")
