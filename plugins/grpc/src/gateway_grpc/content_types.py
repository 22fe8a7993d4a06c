"""Which kind of gRPC a message is, by its ``Content-Type``."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway import Headers

__all__ = ["NATIVE", "TEXT", "WEB", "content_type_of", "is_web", "says_native"]

NATIVE = "application/grpc"
"""gRPC over HTTP/2; a ``+`` and the format of messages may stand behind it (gRPC over HTTP2, "Content-Type")."""
WEB = "application/grpc-web"
"""gRPC-Web, with the bytes of messages as they are (gRPC Web, "Protocol differences vs gRPC over HTTP2")."""
TEXT = "application/grpc-web-text"
"""gRPC-Web in base64."""

_NATIVE = NATIVE.encode()

MAX_KNOWN_LENGTH = 64
"""Longer values are none of these, and are not remembered."""


def content_type_of(headers: Headers) -> str:
    """Return the content type without parameters, in lower case; empty if there is none."""
    value = headers.values().get(b"content-type")
    if value is None:
        return ""
    return _known(value) if len(value) <= MAX_KNOWN_LENGTH else _parse(value)


def says_native(headers: Headers) -> bool:
    """Tell whether the content type of a message is gRPC's own."""
    value = headers.values().get(b"content-type")
    if value is None or value == _NATIVE:
        return value is not None
    content_type = content_type_of(headers)
    return content_type == NATIVE or content_type.startswith(f"{NATIVE}+")


def is_web(content_type: str) -> bool:
    """Tell whether a content type is one of gRPC-Web."""
    name = content_type.partition("+")[0]
    return name in (WEB, TEXT)


def _parse(value: bytes) -> str:
    return value.decode("latin-1").partition(";")[0].strip().lower()


_known = lru_cache(maxsize=64)(_parse)
