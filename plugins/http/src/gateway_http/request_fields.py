"""The header section of a request, read: what its fields ask of the gateway, and what goes on to the service."""

from __future__ import annotations

import ipaddress
import re
from itertools import product
from typing import TYPE_CHECKING

from gateway import ErrorType, GatewayError
from gateway_http.fields import HOP_BY_HOP, check_request_fields, cut_fields, nominated
from gateway_http.forwarding import FORWARDING_FIELDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from gateway import Origin
    from gateway_http.fields import Pairs

__all__ = ["NO_FIELDS", "RequestFields", "is_authority", "read_request_fields"]

MAX_PORT = 65535
_HOST = re.compile(rb"(?:[A-Za-z0-9._~-]*|\[(?P<ipv6>[0-9A-Fa-f:.]+)\])(?::(?P<port>[0-9]{0,5}))?")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._~+/=@:-]{1,128}")
_KEEP_ALIVE = frozenset({b"keep-alive"})
_KEPT = frozenset({b"host", b"via", b"authorization", b"content-type", b"cookie", b"max-forwards"})
"""Fields that a client cannot have removed by nominating them: what they carry must reach the service."""


class RequestFields:
    """What a header section says. The same for every request that has the same section.

    Attributes:
        section: Its bytes.
        pairs: What goes on to the service, with ``host`` first: end-to-end fields that nothing else here stands for.
        origin: Where the requests of this connection that have this section come from; the connection's own.
        is_plain: Whether it says nothing that needs a closer look: one good host, no body, no close.
        host: The ``Host`` field; ``None`` if there is none.
        content_length: How long the body is, or ``None``.
        is_chunked: Whether the body is chunked.
        options: The options of ``Connection``.
        expects_continue: Whether the client waits for 100 before it sends the body.
        request_id: A well-formed ``X-Request-ID``; ``None`` if there is none, empty if it cannot be used.
        upgrade: The protocol that is asked for first, lower-case, or ``None``.
        takes_trailers: Whether the client takes trailer fields.
        forwarding: What it says about hops before.
        fault: Why such a request is refused, or ``None``.
    """

    __slots__ = (
        "content_length",
        "expects_continue",
        "fault",
        "forwarding",
        "host",
        "is_chunked",
        "is_plain",
        "options",
        "origin",
        "pairs",
        "request_id",
        "section",
        "takes_trailers",
        "upgrade",
    )

    origin: Origin

    def __init__(self, section: bytes, pairs: Pairs) -> None:
        self.section = section
        self.pairs = pairs
        self.is_plain = True
        self.host: bytes | None = None
        self.content_length: int | None = None
        self.is_chunked = False
        self.options: frozenset[bytes] = frozenset()
        self.expects_continue = False
        self.request_id: str | None = None
        self.upgrade: str | None = None
        self.takes_trailers = False
        self.forwarding: Pairs = []
        self.fault: GatewayError | None = None

    def refuse(self, error_type: ErrorType, message: str) -> None:
        """Note a fault; what was wrong first is what is answered."""
        if self.fault is None:
            self.fault = GatewayError(error_type, message)


NO_FIELDS = RequestFields(b"", [])
"""Equals no section: each has at least the line that ends it."""


def read_request_fields(section: bytes, max_fields: int) -> RequestFields:
    """Read a header section.

    Args:
        section: What follows the request line, with the empty line at its end.
        max_fields: More fields than this are a fault.

    Raises:
        Malformed: If it is not in order.
    """
    check_request_fields(section)
    ordinary, special = cut_fields(section[:-4], _READERS) if len(section) > 2 else ([], [])
    fields = RequestFields(section, ordinary)
    if len(ordinary) + len(special) > max_fields:
        fields.refuse(ErrorType.HEADERS_TOO_LARGE, "the request has too many header fields")
    for name, value in special:
        _READERS[name](fields, name, value)
    if dropped := fields.options - _KEPT:
        fields.pairs = [pair for pair in fields.pairs if pair[0] not in dropped]
    if fields.host is not None:
        fields.pairs.insert(0, (b"host", fields.host))
    if fields.host is None or fields.fault is not None:
        fields.is_plain = False
    return fields


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


def _read_host(fields: RequestFields, _name: bytes, value: bytes) -> None:
    if fields.host is not None:
        fields.refuse(ErrorType.BAD_REQUEST, "more than one Host field")
    elif not is_authority(value):
        fields.refuse(ErrorType.BAD_REQUEST, "the Host field is malformed")
    else:
        fields.host = value


def _read_content_length(fields: RequestFields, _name: bytes, value: bytes) -> None:
    fields.is_plain = False
    # The parser took no other than one number for it; int() alone would take "+1" and "1_0".
    if value.isdigit() and fields.content_length is None:
        fields.content_length = int(value)
    else:
        fields.refuse(ErrorType.BAD_REQUEST, "Content-Length is not one number")


def _read_transfer_encoding(fields: RequestFields, _name: bytes, value: bytes) -> None:
    fields.is_plain = False
    if value.lower() != b"chunked" or fields.is_chunked:
        fields.refuse(ErrorType.NOT_IMPLEMENTED, "only the chunked transfer coding is supported")
    fields.is_chunked = True


def _read_connection(fields: RequestFields, _name: bytes, value: bytes) -> None:
    fields.options |= nominated(value)
    if fields.options != _KEEP_ALIVE:
        fields.is_plain = False


def _read_expect(fields: RequestFields, _name: bytes, value: bytes) -> None:
    fields.is_plain = False
    # Any other expectation ends here: services disagree on what a garbled one means, and none is registered.
    fields.expects_continue = value.lower() == b"100-continue"


def _read_request_id(fields: RequestFields, _name: bytes, value: bytes) -> None:
    fields.is_plain = False
    # Two of them name no request.
    is_usable = fields.request_id is None and _REQUEST_ID.fullmatch(value)
    fields.request_id = value.decode("ascii") if is_usable else ""


def _read_forwarding(fields: RequestFields, name: bytes, value: bytes) -> None:
    fields.is_plain = False
    fields.forwarding.append((name, value))


def _read_upgrade(fields: RequestFields, _name: bytes, value: bytes) -> None:
    fields.is_plain = False
    if fields.upgrade is None:
        fields.upgrade = value.partition(b",")[0].strip().lower().decode("latin-1")


def _read_te(fields: RequestFields, _name: bytes, value: bytes) -> None:
    fields.is_plain = False
    fields.takes_trailers |= b"trailers" in nominated(value)


def _read_max_forwards(fields: RequestFields, name: bytes, value: bytes) -> None:
    fields.is_plain = False
    fields.pairs.append((name, value))


def _drop(fields: RequestFields, name: bytes, value: bytes) -> None:
    """Ends here, and means nothing here."""


def _lookalikes(names: Iterable[bytes]) -> Iterator[bytes]:
    """Yield ``x_forwarded-for`` and the like: CGI and its heirs, WSGI among them, read underscores as hyphens."""
    for name in names:
        first, *others = name.split(b"-")
        for separators in product((b"-", b"_"), repeat=len(others)):
            yield first + b"".join(mark + part for mark, part in zip(separators, others, strict=True))


_SPECIAL: dict[bytes, Callable[[RequestFields, bytes, bytes], None]] = {
    **dict.fromkeys(HOP_BY_HOP, _drop),
    **dict.fromkeys(FORWARDING_FIELDS, _read_forwarding),
    b"connection": _read_connection,
    b"content-length": _read_content_length,
    b"expect": _read_expect,
    b"host": _read_host,
    b"max-forwards": _read_max_forwards,
    b"te": _read_te,
    b"transfer-encoding": _read_transfer_encoding,
    b"upgrade": _read_upgrade,
    b"x-request-id": _read_request_id,
}
_READERS = {**dict.fromkeys(_lookalikes(_SPECIAL), _drop), **_SPECIAL}
