"""The first line of a request (RFC 9112 section 3)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from gateway import ErrorType, GatewayError
from gateway.semantics import is_authority
from gateway_http.fields import METHODS

__all__ = ["RequestLine", "check_beginning_of_line", "read_request_line", "split_ordinary_line"]

MAX_KNOWN_LINES = 128
"""How many request lines are remembered: to find one again takes a seventh of what splitting it takes."""
MAX_KNOWN_LENGTH = 256
"""In bytes; longer ones are not remembered."""

_ORDINARY_LINE = re.compile(r"(GET|HEAD|POST|PUT|PATCH|DELETE) (/[!-\"$->@-~]*)(?:\?([!-\"$-~]*))? HTTP/1\.1", re.ASCII)
"""What most requests begin with, split into method, path and query; nothing about these needs a closer look."""

_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-~]+) (HTTP/1\.[01])")
_BEGINNING_OF_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]*(?: [!-~]*(?: [HTP/1.0]{0,8})?)?\r?")
_ORIGIN_FORM = re.compile(r"(/[^?#]*)(?:\?([^#]*))?")
_ABSOLUTE_FORM = re.compile(r"(https?)://([^/?#]+)(/[^?#]*)?(?:\?([^#]*))?", re.IGNORECASE)
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


class RequestLine(NamedTuple):
    """What a client asks for.

    Attributes:
        method: The method.
        path: The path; ``*`` asks about the gateway itself.
        query: The query without ``?``.
        http_version: ``1.0`` or ``1.1``.
        scheme: The scheme of a target in absolute form, else empty.
        authority: The authority of a target in absolute form, else empty.
    """

    method: str
    path: str
    query: str
    http_version: str
    scheme: str = ""
    authority: str = ""

    def is_same_authority(self, host: str) -> bool:
        """Tell whether ``host`` is the authority of the target; a default port makes no difference."""
        default = _DEFAULT_PORTS[self.scheme]
        return host.lower().removesuffix(default) == self.authority.lower().removesuffix(default)


def read_request_line(line: bytes, max_target_bytes: int) -> RequestLine:
    """Read a request line.

    Args:
        line: The line without its end.
        max_target_bytes: Longer targets are refused.

    Raises:
        GatewayError: ``bad_request``, ``uri_too_long``, or ``not_implemented`` if the method is not known.
    """
    found = _LINE.fullmatch(line)
    if found is None:
        raise GatewayError(ErrorType.BAD_REQUEST, "the request line is malformed")
    method, version = METHODS.get(found[1]), found[3].decode("ascii").removeprefix("HTTP/")
    if method is None or method == "CONNECT":
        raise GatewayError(ErrorType.NOT_IMPLEMENTED, "the method is not supported")
    if len(found[2]) > max_target_bytes:
        raise GatewayError(ErrorType.URI_TOO_LONG, "the request target is too long")
    target = found[2].decode("ascii")
    if target == "*" and method == "OPTIONS":
        return RequestLine(method, "*", "", version)
    if (origin := _ORIGIN_FORM.fullmatch(target)) is not None:
        return RequestLine(method, origin[1], origin[2] or "", version)
    absolute = _ABSOLUTE_FORM.fullmatch(target)
    if absolute is None or not is_authority(absolute[2].encode("ascii")):
        raise GatewayError(ErrorType.BAD_REQUEST, "the request target is malformed")
    scheme, authority, path, query = absolute.groups("")
    return RequestLine(method, path or "/", query, version, scheme.lower(), authority)


def split_ordinary_line(line: bytes) -> tuple[str, str, str] | None:
    """Return method, path and query of a request line; ``None`` if it needs a closer look."""
    return _split_again(line) if len(line) <= MAX_KNOWN_LENGTH else _split(line)


def _split(line: bytes) -> tuple[str, str, str] | None:
    found = _ORDINARY_LINE.fullmatch(line.decode("latin-1"))
    return None if found is None else found.groups("")  # type: ignore[return-value]  # it has three groups


_split_again = lru_cache(MAX_KNOWN_LINES)(_split)


def check_beginning_of_line(line: bytes, max_target_bytes: int) -> None:
    """Refuse at once what will not become a request line, however it goes on.

    Args:
        line: What came so far, without a line's end.
        max_target_bytes: Longer targets are refused.

    Raises:
        GatewayError: As ``read_request_line``.
    """
    if not _BEGINNING_OF_LINE.fullmatch(line):
        raise GatewayError(ErrorType.BAD_REQUEST, "the request line is malformed")
    if len(line.partition(b" ")[2].partition(b" ")[0]) > max_target_bytes:
        raise GatewayError(ErrorType.URI_TOO_LONG, "the request target is too long")
