"""Where a request carries an API key, and how it is taken off."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway import Request
    from gateway_apikey.config import ApiKeyConfig

__all__ = ["Malformed", "Source", "sources_of"]


class Malformed(ValueError):
    """A request carries a key in a way that can be read in two ways, or not at all."""


class Source:
    """One place for a key.

    Args:
        find: Returns the key of a request, ``None`` if it has none there; raises ``Malformed``.
        remove: Takes it off the request, however often it is there.
    """

    __slots__ = ("find", "remove")

    def __init__(self, find: Callable[[Request], bytes | None], remove: Callable[[Request], None]) -> None:
        self.find = find
        self.remove = remove


def sources_of(config: ApiKeyConfig) -> tuple[Source, ...]:
    """Return the places of a configuration in the order they are looked at: what was meant most clearly comes first."""
    found = []
    if config.header_name:
        found.append(_field(config.header_name))
    if config.scheme:
        found.append(_authorization(config.scheme))
    if config.query_param:
        found.append(_query(config.query_param))
    if config.cookie_name:
        found.append(_cookie(config.cookie_name))
    return tuple(found)


def _field(name: str) -> Source:
    wanted = name.lower().encode("ascii")

    def find(request: Request) -> bytes | None:
        found = None
        for field, value in request.headers.pairs:
            if field == wanted:
                if found is not None:
                    raise Malformed("the field is there twice")
                found = value
        return found

    def remove(request: Request) -> None:
        pairs = request.headers.pairs
        # In place here and below: a protocol plugin may hold the same list.
        pairs[:] = [pair for pair in pairs if pair[0] != wanted]

    return Source(find, remove)


def _authorization(scheme: str) -> Source:
    """Take the keys of ``Authorization: <scheme> <key>``; schemes are compared without case (RFC 9110 section 11.1)."""
    wanted = scheme.lower().encode("ascii")

    def is_ours(value: bytes) -> bool:
        return value.partition(b" ")[0].lower() == wanted

    def find(request: Request) -> bytes | None:
        values = [value for field, value in request.headers.pairs if field == b"authorization"]
        ours = [value for value in values if is_ours(value)]
        if not ours:
            return None
        if len(values) > 1:
            raise Malformed("there are several Authorization fields")
        return ours[0][len(wanted) :].strip(b" ")

    def remove(request: Request) -> None:
        pairs = request.headers.pairs
        pairs[:] = [pair for pair in pairs if pair[0] != b"authorization" or not is_ours(pair[1])]

    return Source(find, remove)


def _query(name: str) -> Source:
    def is_ours(part: str) -> bool:
        found = part.partition("=")[0]
        # An encoded spelling is the same parameter to the service: it is found, and removed, alike.
        return found == name or (("%" in found or "+" in found) and unquote_plus(found) == name)

    def find(request: Request) -> bytes | None:
        if not request.query:
            return None
        ours = [part for part in request.query.split("&") if is_ours(part)]
        if not ours:
            return None
        if len(ours) > 1:
            raise Malformed("the parameter is there twice")
        return unquote_plus(ours[0].partition("=")[2]).encode("utf-8", "replace")

    def remove(request: Request) -> None:
        if request.query:
            request.query = "&".join(part for part in request.query.split("&") if not is_ours(part))

    return Source(find, remove)


def _cookie(name: str) -> Source:
    wanted = name.encode("ascii")

    def find(request: Request) -> bytes | None:
        found = [
            content
            for field, value in request.headers.pairs
            if field == b"cookie" and wanted in value
            for cookie, content in _cookies(value)
            if cookie == wanted
        ]
        if len(found) > 1:
            raise Malformed("the cookie is there twice")
        return _unquoted(found[0]) if found else None

    def remove(request: Request) -> None:
        kept = []
        for field, value in request.headers.pairs:
            if field != b"cookie" or wanted not in value:
                kept.append((field, value))
            elif others := [b"%b=%b" % pair for pair in _cookies(value) if pair[0] != wanted]:
                kept.append((field, b"; ".join(others)))
        request.headers.pairs[:] = kept

    return Source(find, remove)


def _cookies(value: bytes) -> Iterator[tuple[bytes, bytes]]:
    for part in value.split(b";"):
        name, _, content = part.partition(b"=")
        yield name.strip(b" \t"), content.strip(b" \t")


def _unquoted(content: bytes) -> bytes:
    """Return a cookie's value without its quotes (RFC 6265 section 4.1.1)."""
    return content[1:-1] if len(content) > 1 and content[:1] == content[-1:] == b'"' else content
