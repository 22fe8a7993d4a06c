"""Where a request carries an API key, and how it is taken off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.credentials import cookie_values, query_values, remove_cookie, remove_query

if TYPE_CHECKING:
    from collections.abc import Callable

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
        is_field: Whether the header fields alone say what it finds.
    """

    __slots__ = ("find", "is_field", "remove")

    def __init__(
        self,
        find: Callable[[Request], bytes | None],
        remove: Callable[[Request], None],
        *,
        is_field: bool = False,
    ) -> None:
        self.find = find
        self.remove = remove
        self.is_field = is_field


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
        try:
            return request.headers.only(wanted)
        except ValueError as error:
            raise Malformed(str(error)) from None

    names = frozenset({wanted})
    return Source(find, lambda request: request.headers.drop(names), is_field=True)


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
        # In place: a protocol plugin may hold the same list.
        pairs[:] = [pair for pair in pairs if pair[0] != b"authorization" or not is_ours(pair[1])]

    return Source(find, remove, is_field=True)


def _query(name: str) -> Source:
    def find(request: Request) -> bytes | None:
        found = query_values(request, name)
        if len(found) > 1:
            raise Malformed("the parameter is there twice")
        return found[0].encode("utf-8", "replace") if found else None

    return Source(find, lambda request: remove_query(request, name))


def _cookie(name: str) -> Source:
    def find(request: Request) -> bytes | None:
        found = cookie_values(request, name)
        if len(found) > 1:
            raise Malformed("the cookie is there twice")
        return found[0] if found else None

    return Source(find, lambda request: remove_cookie(request, name))
