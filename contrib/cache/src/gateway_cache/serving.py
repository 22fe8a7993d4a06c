"""Answers made of a stored response: whole, 304, a part, or for HEAD."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gateway import Headers, Response
from gateway_cache.directives import parse_http_date

if TYPE_CHECKING:
    from gateway import Request
    from gateway_cache.asked import Asked
    from gateway_cache.stored import StoredResponse

__all__ = ["answer_from", "is_unchanged"]

OK, PARTIAL_CONTENT, NOT_MODIFIED, RANGE_NOT_SATISFIABLE = 200, 206, 304, 416

_IN_A_304 = frozenset((b"cache-control", b"content-location", b"date", b"etag", b"expires", b"vary"))
"""RFC 9110 section 15.4.5."""
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_TAG = re.compile(r'(?:W/)?("[^"]*")')


def answer_from(stored: StoredResponse, request: Request, asked: Asked, age_s: float) -> Response:
    """Return the answer to a request that a stored response is for.

    Args:
        stored: The response.
        request: A GET or HEAD.
        asked: What the request wants.
        age_s: How old the response is.
    """
    age = (b"age", b"%d" % age_s)
    if asked.is_conditional and is_unchanged(stored, request.headers):
        pairs = [pair for pair in stored.pairs if pair[0] in _IN_A_304]
        return Response(NOT_MODIFIED, headers=Headers([*pairs, age]))
    if request.method == "HEAD":
        length = (b"content-length", b"%d" % len(stored.body))
        return Response(stored.status, headers=Headers([*stored.pairs, age, length]))
    if asked.has_range and stored.status == OK and _range_applies(stored, request.headers):
        part = _part_of(stored, request.headers.get("range") or "", age)
        if part is not None:
            return part
    return Response(stored.status, headers=Headers([*stored.pairs, age]), body=stored.body)


def is_unchanged(stored: StoredResponse, headers: Headers) -> bool:
    """Say whether the client has this response already (RFC 9110 section 13.2.2)."""
    if stored.status != OK:
        return False
    wanted = headers.get_all("if-none-match")
    if wanted:
        text = ",".join(wanted)
        own = _TAG.fullmatch(stored.etag or "")
        # Compared weakly (RFC 9110 section 13.1.2).
        return text.strip() == "*" or (own is not None and own[1] in _TAG.findall(text))
    since_utc = parse_http_date(headers.get("if-modified-since") or "")
    modified_utc = parse_http_date(stored.modified or "")
    return since_utc is not None and modified_utc is not None and modified_utc <= since_utc


def _range_applies(stored: StoredResponse, headers: Headers) -> bool:
    """Say whether a range is of this very response (RFC 9110 section 13.1.5); only exact matches count."""
    condition = headers.get("if-range")
    if condition is None:
        return True
    if condition.startswith('"'):
        return condition == stored.etag
    return not condition.startswith("W/") and condition == stored.modified


def _part_of(stored: StoredResponse, wanted: str, age: tuple[bytes, bytes]) -> Response | None:
    """Return the part that a range names; ``None`` if it names several or nothing, which may be ignored.

    RFC 9110 section 14.2.
    """
    match = _RANGE.fullmatch(wanted.strip())
    length = len(stored.body)
    if match is None or not (match[1] or match[2]) or (match[1] and match[2] and int(match[1]) > int(match[2])):
        return None
    if match[1]:
        first, last = int(match[1]), min(int(match[2] or length), length - 1)
    else:
        first, last = max(0, length - int(match[2])), length - 1
    if first >= length or (not match[1] and not int(match[2])):
        unsatisfied = (b"content-range", b"bytes */%d" % length)
        return Response(RANGE_NOT_SATISFIABLE, headers=Headers([age, unsatisfied]))
    part = (b"content-range", b"bytes %d-%d/%d" % (first, last, length))
    return Response(PARTIAL_CONTENT, headers=Headers([*stored.pairs, age, part]), body=stored.body[first : last + 1])
