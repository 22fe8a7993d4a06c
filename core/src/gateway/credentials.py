"""What clients say in cookies and in the query: found in one way, so that no two plugins read a request otherwise.

All values of a name are returned, in order. Whoever takes credentials refuses more than one, which could be read in two
ways; whoever only prefers something, such as a balancer, takes the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.messages import Request

__all__ = ["cookie_values", "query_values", "remove_cookie", "remove_query"]


def cookie_values(request: Request, name: str) -> list[bytes]:
    """Return the values of the cookie ``name``, without the quotes that may stand around one (RFC 6265 section 4.1.1).

    Args:
        request: The request; several ``Cookie`` fields are one list (RFC 9113 section 8.2.3).
        name: As sent; names of cookies are case-sensitive.
    """
    wanted = name.encode("latin-1", "replace")
    return [
        _unquoted(content)
        for field, value in request.headers.pairs
        if field == b"cookie" and wanted in value
        for cookie, content in _cookies(value)
        if cookie == wanted
    ]


def remove_cookie(request: Request, name: str) -> None:
    """Take the cookie ``name`` off, however often it is there; other cookies stay."""
    wanted = name.encode("latin-1", "replace")
    kept = []
    for field, value in request.headers.pairs:
        if field != b"cookie" or wanted not in value:
            kept.append((field, value))
        elif others := [b"%b=%b" % pair for pair in _cookies(value) if pair[0] != wanted]:
            kept.append((field, b"; ".join(others)))
    # In place: a protocol plugin may hold the same list.
    request.headers.pairs[:] = kept


def query_values(request: Request, name: str) -> list[str]:
    """Return the values of the parameter ``name``, decoded.

    An encoded spelling of the name is the same parameter to the service, so it is here.
    """
    if not request.query:
        return []
    return [unquote_plus(part.partition("=")[2]) for part in request.query.split("&") if _is_named(part, name)]


def remove_query(request: Request, name: str) -> None:
    """Take the parameter ``name`` off, however often and however encoded it is there; the rest stays as it was sent."""
    if request.query:
        request.query = "&".join([part for part in request.query.split("&") if not _is_named(part, name)])


def _is_named(part: str, name: str) -> bool:
    found = part.partition("=")[0]
    return found == name or (("%" in found or "+" in found) and unquote_plus(found) == name)


def _cookies(value: bytes) -> Iterator[tuple[bytes, bytes]]:
    for part in value.split(b";"):
        name, _, content = part.partition(b"=")
        yield name.strip(b" \t"), content.strip(b" \t")


def _unquoted(content: bytes) -> bytes:
    return content[1:-1] if len(content) > 1 and content[:1] == content[-1:] == b'"' else content
