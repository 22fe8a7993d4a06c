"""The head of a response, read: where its content ends, and what goes on to the client."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING

from gateway import Section
from gateway_http.fields import (
    END_OF_HEAD,
    HOP_BY_HOP,
    KEEP_ALIVE,
    Malformed,
    check_response_fields,
    cut_fields,
    nominated,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway_http.fields import Pairs

__all__ = [
    "NO_FIELDS",
    "ORDINARY_STATUSES",
    "LastHead",
    "ResponseFields",
    "check_beginning_of_line",
    "read_response_fields",
    "read_status_line",
]

_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: [\t -~\x80-\xff]*)?")
_BEGINNING_OF_LINE = re.compile(rb"[\t -~\x80-\xff]*\r?")
_TIMEOUT = re.compile(rb"(?:^|[,; \t])timeout=([0-9]{1,6})(?:$|[,; \t])", re.IGNORECASE)

ORDINARY_STATUSES = {
    f"HTTP/1.1 {status.value} {status.phrase}".encode("ascii"): status.value
    for status in HTTPStatus
    if status.value >= 200 and status.value not in (204, 304)
}
"""The status of what most responses begin with."""


class ResponseFields:
    """What a header section says. The same for every response that has the same section.

    Attributes:
        section: Its bytes.
        lines: The same without the line ends at its end.
        pairs: What goes on to the client: end-to-end fields without those for framing.
        shared: The same for all responses with this section, if it is plain.
        is_plain: Whether it says nothing that needs a closer look: a length, and nothing about the connection.
        content_length: How long the content is, or ``None``.
        is_chunked: Whether it is chunked.
        options: The options of ``Connection``.
        upgrade: The protocols that ``Upgrade`` names, lower-case.
        keep_alive_s: How long the service says it keeps the connection, or ``None``.
    """

    # Most sections say little: defaults in the class spare setting them. What every response asks for is no default:
    # reading one takes more than twice as long.
    shared: Section
    content_length: int | None = None
    is_chunked = False
    options: frozenset[bytes] = frozenset()
    upgrade: frozenset[bytes] = frozenset()
    keep_alive_s: int | None = None

    def __init__(self, section: bytes, pairs: Pairs) -> None:
        self.section = section
        self.lines = section[:-4]
        self.pairs = pairs
        self.is_plain = True


NO_FIELDS = ResponseFields(b"", [])
"""Equals no section: each has at least the line that ends it."""
NO_FIELDS.lines = END_OF_HEAD


class LastHead:
    """What the last plain head said, whichever connection of a connector it came by: the next often says the same.

    Attributes:
        fields: The fields.
    """

    __slots__ = ("fields",)

    def __init__(self) -> None:
        self.fields = NO_FIELDS


def read_status_line(line: bytes) -> tuple[int, bool]:
    """Return the status, and whether the version is 1.0 (RFC 9112 section 4).

    Raises:
        Malformed: If it is no status line of HTTP/1.0 or 1.1.
    """
    found = _LINE.fullmatch(line)
    if found is None:
        raise Malformed("the status line is malformed")
    return int(found[2]), found[1] == b"0"


def check_beginning_of_line(line: bytes) -> None:
    """Refuse at once what will not become a status line, however it goes on.

    Raises:
        Malformed: If it will not.
    """
    if not b"HTTP/1.".startswith(line[:7]) or not _BEGINNING_OF_LINE.fullmatch(line):
        raise Malformed("the status line is malformed")


def read_response_fields(section: bytes) -> ResponseFields:
    """Read a header section.

    Args:
        section: What follows the status line, with the empty line at its end.

    Raises:
        Malformed: If it is not in order.
    """
    check_response_fields(section)
    ordinary, special = cut_fields(section[:-4], _READERS) if len(section) > 2 else ([], [])
    fields = ResponseFields(section, ordinary)
    for name, value in special:
        _READERS[name](fields, value)
    if not fields.is_plain:
        fields.pairs = [pair for pair in fields.pairs if pair[0] not in fields.options]
    elif fields.content_length is None:
        fields.is_plain = False
    if fields.is_plain:
        fields.shared = Section(fields.pairs)
    return fields


def _read_content_length(fields: ResponseFields, value: bytes) -> None:
    if not value.isdigit() or fields.content_length is not None:
        raise Malformed("Content-Length is not one number")
    fields.content_length = int(value)


def _read_transfer_encoding(fields: ResponseFields, value: bytes) -> None:
    # No other was asked for (RFC 9110 section 10.1.4).
    if value.lower() != b"chunked" or fields.is_chunked:
        raise Malformed("a transfer coding that was not asked for")
    fields.is_chunked = True


def _read_connection(fields: ResponseFields, value: bytes) -> None:
    options = nominated(value)
    if options != KEEP_ALIVE:
        fields.is_plain = False
    fields.options |= options


def _read_keep_alive(fields: ResponseFields, value: bytes) -> None:
    found = _TIMEOUT.search(value)
    if found is not None:
        fields.keep_alive_s = int(found[1])


def _read_upgrade(fields: ResponseFields, value: bytes) -> None:
    fields.upgrade |= nominated(value)


def _drop(fields: ResponseFields, value: bytes) -> None:
    """Ends here."""


_READERS: dict[bytes, Callable[[ResponseFields, bytes], None]] = {
    **dict.fromkeys(HOP_BY_HOP, _drop),
    b"connection": _read_connection,
    b"content-length": _read_content_length,
    b"keep-alive": _read_keep_alive,
    b"transfer-encoding": _read_transfer_encoding,
    b"upgrade": _read_upgrade,
    b"x-request-id": _drop,  # the client gets the one that the service was sent
}
