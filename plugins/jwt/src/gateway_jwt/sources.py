"""Where a request carries a token, and how it is taken off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.credentials import cookie_values, query_values, remove_cookie, remove_query
from gateway_jwt.tokens import InvalidToken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway import Request
    from gateway_jwt.config import JwtConfig

__all__ = ["Source", "sources_of"]

_PROTOCOLS = b"sec-websocket-protocol"


class Source:
    """One place for a token.

    Args:
        find: Returns the token of a request, ``None`` if it has none there; raises ``InvalidToken``.
        remove: Takes it off the request, however often it is there.
        is_always_removed: Whether no service may see it in any case.
    """

    __slots__ = ("find", "is_always_removed", "remove")

    def __init__(
        self,
        find: Callable[[Request], bytes | None],
        remove: Callable[[Request], None],
        *,
        is_always_removed: bool = False,
    ) -> None:
        self.find = find
        self.remove = remove
        self.is_always_removed = is_always_removed


def sources_of(config: JwtConfig) -> tuple[Source, ...]:
    """Return the places of a configuration in the order they are looked at: what was meant most clearly comes first."""
    found = []
    if config.header_name:
        found.append(_field(config.header_name, config.scheme))
    if config.websocket_protocol:
        found.append(_websocket_protocol(config.websocket_protocol))
    if config.query_param:
        found.append(_query(config.query_param))
    if config.cookie_name:
        found.append(_cookie(config.cookie_name))
    return tuple(found)


def _field(name: str, scheme: str | None) -> Source:
    """Take the tokens of a field.

    In ``Authorization`` they stand behind their scheme (RFC 6750 section 2.1), which is compared without case; other
    schemes are for others. In another field it may be missing.
    """
    wanted = name.lower().encode("ascii")
    names = frozenset({wanted})
    prefix = (scheme or "").lower().encode("ascii")
    must_have = bool(prefix) and wanted == b"authorization"

    def token_of(value: bytes) -> bytes | None:
        first, _, rest = value.partition(b" ")
        if prefix and first.lower() == prefix:
            return rest.strip(b" ")
        return None if must_have else value

    def find(request: Request) -> bytes | None:
        section = request.headers.section_of(names)
        if section is not None and len(section.values) == len(section.pairs):
            # No field is there twice; and what the requests of a connection share is not copied to be read.
            sent = section.values.get(wanted)
            return None if sent is None else token_of(sent)
        token, count = None, 0
        for field, value in request.headers.pairs:
            if field == wanted:
                count += 1
                token = token_of(value) if token is None else token
        if count > 1 and token is not None:
            raise InvalidToken(f"there are several fields {name}")
        return token

    def remove(request: Request) -> None:
        pairs = request.headers.pairs
        # In place here and below: a protocol plugin may hold the same list.
        pairs[:] = [pair for pair in pairs if pair[0] != wanted or token_of(pair[1]) is None]

    return Source(find, remove)


def _websocket_protocol(prefix: str) -> Source:
    """Take the token that a browser, which can set no other field, offers as a subprotocol (RFC 6455 section 11.3.4).

    It is never forwarded: a service that chose it would send it back.
    """
    start = prefix.encode("ascii")

    def find(request: Request) -> bytes | None:
        if request.upgrade != "websocket":
            return None
        ours = [
            offer
            for field, value in request.headers.pairs
            if field == _PROTOCOLS
            for offer in _offers(value)
            if offer.startswith(start)
        ]
        if len(ours) > 1:
            raise InvalidToken("several subprotocols carry a token")
        return ours[0][len(start) :] if ours else None

    def remove(request: Request) -> None:
        kept = []
        for field, value in request.headers.pairs:
            if field != _PROTOCOLS:
                kept.append((field, value))
            elif others := [offer for offer in _offers(value) if not offer.startswith(start)]:
                kept.append((field, b", ".join(others)))
        request.headers.pairs[:] = kept

    return Source(find, remove, is_always_removed=True)


def _offers(value: bytes) -> Iterator[bytes]:
    return (offer.strip(b" \t") for offer in value.split(b","))


def _query(name: str) -> Source:
    def find(request: Request) -> bytes | None:
        found = query_values(request, name)
        if len(found) > 1:
            raise InvalidToken("the parameter is there twice")
        return found[0].encode("utf-8", "replace") if found else None

    return Source(find, lambda request: remove_query(request, name))


def _cookie(name: str) -> Source:
    def find(request: Request) -> bytes | None:
        found = cookie_values(request, name)
        if len(found) > 1:
            raise InvalidToken("the cookie is there twice")
        return found[0] if found else None

    return Source(find, lambda request: remove_cookie(request, name))
