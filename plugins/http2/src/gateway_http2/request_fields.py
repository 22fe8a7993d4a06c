"""The header block of a request, read: what its fields ask of the gateway, and what goes on to the service.

RFC 9113 section 8. A block that no request may have is a ``StreamFault``; a request that is refused has a ``fault``,
which is answered.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gateway import ErrorType, GatewayError, Section
from gateway.forwarding import FORWARDING_FIELDS
from gateway.semantics import HOP_BY_HOP, METHODS, REQUEST_ID, UNTRAILED, is_authority, lookalikes
from gateway_http2.engine import ErrorCode, StreamFault

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway import Origin
    from gateway_http2.engine import HeaderBlock

__all__ = ["RequestFields", "check_field", "read_request_fields", "read_trailers"]

Pairs = list[tuple[bytes, bytes]]

CONNECTION_SPECIFIC = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"})
"""Fields that HTTP/2 has not (RFC 9113 section 8.2.2)."""

PSEUDO_FIELDS = frozenset({b":authority", b":method", b":path", b":protocol", b":scheme"})
WEBSOCKET = b"websocket"

_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
_VALUE = re.compile(rb"(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?")
_TARGET = re.compile(r"(/[!-\"$->@-~]*)(?:\?([!-\"$-~]*))?")


class RequestFields:
    """What a header block says. The same for every request that has the same block.

    Attributes:
        method: The method; of an extended CONNECT the one that HTTP/1.1 would have.
        path: The path; ``*`` asks about the gateway itself.
        query: The query without ``?``.
        pairs: What goes on to the service, with ``host`` first: end-to-end fields that nothing else here stands for.
        shared: The same, for all requests with this block.
        origin: Where the requests of this connection that have this block come from; the connection's own.
        content_length: How long the body says it is, or ``None``.
        expects_continue: Whether the client waits for 100 before it sends the body.
        request_id: A well-formed ``X-Request-ID``; ``None`` if there is none, empty if it cannot be used.
        upgrade: The protocol of an extended CONNECT (RFC 8441), or ``None``.
        takes_trailers: Whether the client takes trailer fields.
        forwarding: What it says about hops before.
        fault: Why such a request is refused, or ``None``.
    """

    # Most blocks say little: defaults in the class spare setting them.
    method = "-"
    path = "/"
    query = ""
    origin: Origin
    shared: Section
    content_length: int | None = None
    expects_continue = False
    request_id: str | None = None
    upgrade: str | None = None
    takes_trailers = False
    fault: GatewayError | None = None

    def __init__(self) -> None:
        self.pairs: Pairs = []
        self.forwarding: Pairs = []
        self.cookies: list[bytes] = []
        self.host: bytes | None = None

    def refuse(self, error_type: ErrorType, message: str) -> None:
        """Note a fault; what was wrong first is what is answered."""
        if self.fault is None:
            self.fault = GatewayError(error_type, message)


def read_request_fields(block: HeaderBlock, *, max_uri_bytes: int) -> RequestFields:
    """Read the header block of a request.

    Args:
        block: The block.
        max_uri_bytes: Longer targets are a fault.

    Raises:
        StreamFault: If it is malformed.
    """
    fields = RequestFields()
    _read(fields, block, max_uri_bytes)
    fields.shared = Section(fields.pairs)
    return fields


def _read(fields: RequestFields, block: HeaderBlock, max_uri_bytes: int) -> None:
    pseudo = _pseudo_fields(block)
    pairs = fields.pairs
    for pair in block.fields[len(pseudo) :]:
        name, value = pair
        if not (_NAME.fullmatch(name) and _VALUE.fullmatch(value)):
            raise _malformed("a field that none may be")
        read = _READERS.get(name)
        if read is None:
            pairs.append(pair)
        else:
            read(fields, name, value)
    if block.is_too_large:
        fields.refuse(ErrorType.HEADERS_TOO_LARGE, "the request head is too large")
        return
    if fields.cookies:
        # RFC 9113 section 8.2.3: crumbs of one field, which others than HTTP/2 take only whole.
        pairs.append((b"cookie", b"; ".join(fields.cookies)))
    _read_method(fields, pseudo)
    _read_host(fields, pseudo.get(b":authority"))
    if fields.fault is None:
        _read_target(fields, pseudo, max_uri_bytes)
    pairs.insert(0, (b"host", fields.host or b""))


def check_field(name: bytes, value: bytes) -> None:
    """Refuse a field that no message may have.

    Raises:
        StreamFault: If its name or value is malformed, or HTTP/2 does not have it.
    """
    if not (_NAME.fullmatch(name) and _VALUE.fullmatch(value)) or name in CONNECTION_SPECIFIC:
        raise _malformed("a field that none may be")


def read_trailers(block: HeaderBlock) -> Sequence[tuple[bytes, bytes]]:
    """Return the trailer fields of a block that may be passed on (RFC 9110 section 6.5.1).

    Raises:
        StreamFault: If it is malformed, or holds pseudo-header fields (RFC 9113 section 8.1).
    """
    if block.trailers is None:
        for name, value in block.fields:
            check_field(name, value)
        block.trailers = tuple(pair for pair in block.fields if pair[0] not in UNTRAILED)
    return block.trailers


def _pseudo_fields(block: HeaderBlock) -> dict[bytes, bytes]:
    """Return the pseudo-header fields; those behind an ordinary one are no fields at all."""
    pseudo: dict[bytes, bytes] = {}
    for name, value in block.fields:
        if not name.startswith(b":"):
            break
        if name in pseudo or name not in PSEUDO_FIELDS or not _VALUE.fullmatch(value):
            raise _malformed("a pseudo-header field that is not known, or twice there")
        pseudo[name] = value
    return pseudo


def _read_method(fields: RequestFields, pseudo: dict[bytes, bytes]) -> None:
    asked = pseudo.get(b":method")
    if asked is None or not re.fullmatch(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+", asked):
        raise _malformed("no method")
    protocol = pseudo.get(b":protocol")
    if asked != b"CONNECT":
        if protocol is not None:
            raise _malformed(":protocol without CONNECT")  # RFC 8441 section 4
        method = METHODS.get(asked)
        if method is None:
            fields.refuse(ErrorType.NOT_IMPLEMENTED, "the method is not supported")
        else:
            fields.method = method
    elif protocol is None:
        if b":scheme" in pseudo or b":path" in pseudo or b":authority" not in pseudo:
            raise _malformed("CONNECT with a target")  # RFC 9113 section 8.5
        fields.refuse(ErrorType.NOT_IMPLEMENTED, "the method is not supported")
    elif protocol != WEBSOCKET:
        fields.refuse(ErrorType.NOT_IMPLEMENTED, "the protocol is not supported")
    else:
        fields.method, fields.upgrade = "GET", "websocket"


def _read_host(fields: RequestFields, authority: bytes | None) -> None:
    """Take the authority, and see that a ``Host`` field does not name another (RFC 9113 section 8.3.1)."""
    host = fields.host
    if authority is not None:
        if host is not None and host.lower() != authority.lower():
            raise _malformed("the Host field and :authority differ")
        host = authority
    if host is None:
        fields.refuse(ErrorType.BAD_REQUEST, "the authority is missing")
    elif not is_authority(host):
        fields.refuse(ErrorType.BAD_REQUEST, "the authority is malformed")
    else:
        fields.host = host


def _read_target(fields: RequestFields, pseudo: dict[bytes, bytes], max_uri_bytes: int) -> None:
    scheme, target = pseudo.get(b":scheme"), pseudo.get(b":path")
    if not scheme or not target:
        raise _malformed("no scheme, or no path")
    if scheme not in (b"http", b"https"):
        fields.refuse(ErrorType.BAD_REQUEST, "the scheme of the request is not served here")
    if len(target) > max_uri_bytes:
        fields.refuse(ErrorType.URI_TOO_LONG, "the request target is too long")
        return
    if target == b"*" and fields.method == "OPTIONS":
        fields.path = "*"
        return
    found = _TARGET.fullmatch(target.decode("latin-1"))
    if found is None:
        raise _malformed("a path that is none")
    fields.path, fields.query = found.groups("")


def _read_host_field(fields: RequestFields, _name: bytes, value: bytes) -> None:
    if fields.host is not None:
        raise _malformed("more than one Host field")
    fields.host = value


def _read_content_length(fields: RequestFields, _name: bytes, value: bytes) -> None:
    # int() alone would take "+1" and "1_0", and a length of a thousand digits.
    if not value.isdigit() or len(value) > 18 or fields.content_length is not None:
        raise _malformed("Content-Length is not one number")
    fields.content_length = int(value)


def _read_expect(fields: RequestFields, _name: bytes, value: bytes) -> None:
    # Any other expectation ends here: services disagree on what a garbled one means, and none is registered.
    fields.expects_continue = value.lower() == b"100-continue"


def _read_request_id(fields: RequestFields, _name: bytes, value: bytes) -> None:
    # Two of them name no request.
    is_usable = fields.request_id is None and REQUEST_ID.fullmatch(value)
    fields.request_id = value.decode("ascii") if is_usable else ""


def _read_forwarding(fields: RequestFields, name: bytes, value: bytes) -> None:
    fields.forwarding.append((name, value))


def _read_te(fields: RequestFields, _name: bytes, value: bytes) -> None:
    if value.lower() != b"trailers":
        raise _malformed("TE with anything but trailers")  # RFC 9113 section 8.2.2
    fields.takes_trailers = True


def _read_cookie(fields: RequestFields, _name: bytes, value: bytes) -> None:
    fields.cookies.append(value)


def _refuse_field(_fields: RequestFields, _name: bytes, _value: bytes) -> None:
    raise _malformed("a field of HTTP/1.1 connections")


def _drop(_fields: RequestFields, _name: bytes, _value: bytes) -> None:
    """Ends here, and means nothing here."""


def _malformed(message: str) -> StreamFault:
    return StreamFault(ErrorCode.PROTOCOL_ERROR, f"malformed message: {message}")


_SPECIAL: dict[bytes, Callable[[RequestFields, bytes, bytes], None]] = {
    **dict.fromkeys(HOP_BY_HOP, _drop),
    **dict.fromkeys(FORWARDING_FIELDS, _read_forwarding),
    **dict.fromkeys(CONNECTION_SPECIFIC, _refuse_field),
    b"content-length": _read_content_length,
    b"cookie": _read_cookie,
    b"expect": _read_expect,
    b"host": _read_host_field,
    b"te": _read_te,
    b"x-request-id": _read_request_id,
}
_READERS = {**dict.fromkeys(lookalikes(_SPECIAL), _drop), **_SPECIAL}
