"""Header fields of HTTP/1.1: which are special, and how the bytes of a header section become fields."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import httptools

from gateway.semantics import BODILESS_METHODS, HOP_BY_HOP, IDEMPOTENT_METHODS, METHODS, UNTRAILED

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from httptools import HttpRequestParser, HttpResponseParser

__all__ = [
    "BODILESS_METHODS",
    "END_OF_HEAD",
    "HOP_BY_HOP",
    "IDEMPOTENT_METHODS",
    "KEEP_ALIVE",
    "METHODS",
    "STATUS_LINES",
    "UNTRAILED",
    "Malformed",
    "Pairs",
    "check_request_fields",
    "check_response_fields",
    "cut_fields",
    "field_line",
    "nominated",
    "status_line",
]

Pairs = list[tuple[bytes, bytes]]
"""Fields as ``(lower-case name, value)``."""

END_OF_HEAD = b"\r\n\r\n"

KEEP_ALIVE = frozenset({b"keep-alive"})
"""The options of most ``Connection`` fields."""

STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}".encode("ascii")
    for status in HTTPStatus
    if status.value >= 100
}


def status_line(status: int) -> bytes:
    """Return the status line for ``status``; the reason phrase of unregistered ones is empty (RFC 9112 section 4)."""
    return STATUS_LINES.get(status) or f"HTTP/1.1 {status} ".encode("ascii")


field_line: Callable[[tuple[bytes, bytes]], bytes] = b": ".join
"""Returns a field as it stands in a head, without the line's end."""


class Malformed(Exception):
    """Bytes that are no HTTP message, or that two recipients could read in two ways; says what is wrong."""


def check_request_fields(section: bytes) -> None:
    """Check the header section of a request, or its beginning.

    Every name has to be a token right before its colon, every value free of control characters, every line ended by
    CRLF, none folded, and the framing must not be ambiguous (RFC 9112 sections 2.2, 5 and 6.3).

    Args:
        section: What follows the request line.

    Raises:
        Malformed: If it is not in order.
    """
    _feed(httptools.HttpRequestParser(None), b"POST / HTTP/1.1\r\n" + section)


def check_response_fields(section: bytes) -> None:
    """Check the header section of a response as ``check_request_fields`` does.

    Raises:
        Malformed: If it is not in order.
    """
    _feed(httptools.HttpResponseParser(None), b"HTTP/1.1 200 OK\r\n" + section)


def _feed(parser: HttpRequestParser | HttpResponseParser, data: bytes) -> None:
    # The parser is there for its strictness only: a section that it accepts has one reading, which cut_fields() makes.
    try:
        parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError as error:
        raise Malformed(str(error)) from error


def cut_fields(section: bytes, special: Container[bytes]) -> tuple[Pairs, Pairs]:
    """Return the fields of a section that was checked: the ordinary ones, and those that are ``special``.

    Args:
        section: The header section without the line ends at its end.
        special: Lower-case names.
    """
    ordinary: Pairs = []
    extraordinary: Pairs = []
    for line in section.split(b"\r\n"):
        name, _, value = line.partition(b":")
        name = name.lower()
        (extraordinary if name in special else ordinary).append((name, value.strip()))
    return ordinary, extraordinary


def nominated(value: bytes) -> frozenset[bytes]:
    """Return the options of a ``Connection`` field, which are names of fields too (RFC 9110 section 7.6.1)."""
    value = value.lower()
    if value == b"keep-alive":
        return KEEP_ALIVE  # what most of them say
    return frozenset(option.strip() for option in value.split(b",")) - {b""}
