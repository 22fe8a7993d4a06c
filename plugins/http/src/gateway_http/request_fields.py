"""The header section of a request, read: what its fields ask of the gateway, and what goes on to the service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import ErrorType, GatewayError, Section
from gateway.forwarding import FORWARDING_FIELDS
from gateway.semantics import REQUEST_ID, is_authority, lookalikes
from gateway_http.fields import HOP_BY_HOP, KEEP_ALIVE, check_request_fields, cut_fields, nominated

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway import Origin
    from gateway_http.fields import Pairs

__all__ = ["NO_FIELDS", "RequestFields", "read_request_fields"]

_KEPT = frozenset({b"host", b"via", b"authorization", b"content-type", b"cookie", b"max-forwards"})
"""Fields that a client cannot have removed by nominating them: what they carry must reach the service."""


class RequestFields:
    """What a header section says. The same for every request that has the same section.

    Attributes:
        section: Its bytes.
        pairs: What goes on to the service, with ``host`` first: end-to-end fields that nothing else here stands for.
        shared: The same for all requests with this section, if it is plain.
        origin: Where the requests of this connection that have this section come from; the connection's own.
        is_plain: Whether it says nothing that needs a closer look: one good host, and nothing about the connection.
        host: The ``Host`` field; ``None`` if there is none.
        has_body: Whether a body follows.
        content_length: How long it is, or ``None``.
        is_chunked: Whether the body is chunked.
        options: The options of ``Connection``.
        expects_continue: Whether the client waits for 100 before it sends the body.
        request_id: A well-formed ``X-Request-ID``; ``None`` if there is none, empty if it cannot be used.
        upgrade: The protocol that is asked for first, lower-case, or ``None``.
        takes_trailers: Whether the client takes trailer fields.
        forwarding: What it says about hops before.
        fault: Why such a request is refused, or ``None``.
    """

    # Most sections say little: defaults in the class spare setting them. What every request asks for is no default:
    # reading one takes more than twice as long.
    origin: Origin
    shared: Section
    host: bytes | None = None
    content_length: int | None = None
    is_chunked = False
    options: frozenset[bytes] = frozenset()
    expects_continue = False
    upgrade: str | None = None
    takes_trailers = False
    forwarding: Sequence[tuple[bytes, bytes]] = ()
    fault: GatewayError | None = None

    def __init__(self, section: bytes, pairs: Pairs) -> None:
        self.section = section
        self.pairs = pairs
        self.is_plain = True
        self.has_body = False
        self.request_id: str | None = None

    def refuse(self, error_type: ErrorType, message: str) -> None:
        """Note a fault; what was wrong first is what is answered."""
        self.is_plain = False
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
    if not fields.is_plain and (dropped := fields.options - _KEPT):
        fields.pairs = [pair for pair in fields.pairs if pair[0] not in dropped]
    if fields.host is None:
        fields.is_plain = False
    else:
        fields.pairs.insert(0, (b"host", fields.host))
    if fields.is_plain:
        fields.shared = Section(fields.pairs)
    return fields


def _read_host(fields: RequestFields, _name: bytes, value: bytes) -> None:
    if fields.host is not None:
        fields.refuse(ErrorType.BAD_REQUEST, "more than one Host field")
    elif not is_authority(value):
        fields.refuse(ErrorType.BAD_REQUEST, "the Host field is malformed")
    else:
        fields.host = value


def _read_content_length(fields: RequestFields, _name: bytes, value: bytes) -> None:
    fields.has_body = True
    # The parser took no other than one number for it; int() alone would take "+1" and "1_0".
    if value.isdigit() and fields.content_length is None:
        fields.content_length = int(value)
    else:
        fields.refuse(ErrorType.BAD_REQUEST, "Content-Length is not one number")


def _read_transfer_encoding(fields: RequestFields, _name: bytes, value: bytes) -> None:
    if value.lower() != b"chunked" or fields.is_chunked:
        fields.refuse(ErrorType.NOT_IMPLEMENTED, "only the chunked transfer coding is supported")
    fields.has_body = fields.is_chunked = True


def _read_connection(fields: RequestFields, _name: bytes, value: bytes) -> None:
    options = nominated(value)
    if options != KEEP_ALIVE:
        fields.is_plain = False
    fields.options |= options


def _read_expect(fields: RequestFields, _name: bytes, value: bytes) -> None:
    # Any other expectation ends here: services disagree on what a garbled one means, and none is registered.
    fields.expects_continue = value.lower() == b"100-continue"


def _read_request_id(fields: RequestFields, _name: bytes, value: bytes) -> None:
    # Two of them name no request.
    is_usable = fields.request_id is None and REQUEST_ID.fullmatch(value)
    fields.request_id = value.decode("ascii") if is_usable else ""


def _read_forwarding(fields: RequestFields, name: bytes, value: bytes) -> None:
    fields.forwarding = [*fields.forwarding, (name, value)]


def _read_upgrade(fields: RequestFields, _name: bytes, value: bytes) -> None:
    if fields.upgrade is None:
        fields.upgrade = value.partition(b",")[0].strip().lower().decode("latin-1")


def _read_te(fields: RequestFields, _name: bytes, value: bytes) -> None:
    fields.takes_trailers |= b"trailers" in nominated(value)


def _drop(fields: RequestFields, name: bytes, value: bytes) -> None:
    """Ends here, and means nothing here."""


_SPECIAL: dict[bytes, Callable[[RequestFields, bytes, bytes], None]] = {
    **dict.fromkeys(HOP_BY_HOP, _drop),
    **dict.fromkeys(FORWARDING_FIELDS, _read_forwarding),
    b"connection": _read_connection,
    b"content-length": _read_content_length,
    b"expect": _read_expect,
    b"host": _read_host,
    b"te": _read_te,
    b"transfer-encoding": _read_transfer_encoding,
    b"upgrade": _read_upgrade,
    b"x-request-id": _read_request_id,
}
_READERS = {**dict.fromkeys(lookalikes(_SPECIAL), _drop), **_SPECIAL}
