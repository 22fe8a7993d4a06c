"""How long a response is fresh and how old it is: the arithmetic of RFC 9111 section 4.2."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway_cache.directives import parse_http_date, seconds_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway import Headers

__all__ = ["GUESSABLE", "explicit_lifetime_s", "guessed_lifetime_s", "initial_age_s"]

GUESSABLE = frozenset({200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501})
"""Statuses whose lifetime may be guessed (RFC 9110 section 15.1), without 206: parts are not stored."""


def explicit_lifetime_s(directives: Mapping[str, str | None], headers: Headers, date_utc: float) -> float | None:
    """Return how long a response says that it is fresh for a shared cache; ``None`` if it does not.

    Args:
        directives: Its ``Cache-Control``.
        headers: Its fields.
        date_utc: When it was made.
    """
    for name in ("s-maxage", "max-age"):
        said = seconds_of(directives, name)
        if said is not None:
            return said
    expires = headers.get("expires")
    if expires is None:
        return None
    expires_utc = parse_http_date(expires)
    # "0" and whatever else is no date means that it has expired (RFC 9111 section 5.3).
    return max(0.0, expires_utc - date_utc) if expires_utc is not None else 0.0


def guessed_lifetime_s(
    status: int, headers: Headers, date_utc: float, *, default_s: float, fraction: float, max_s: float
) -> float:
    """Return how long a response that does not say is taken as fresh (RFC 9111 section 4.2.2).

    Args:
        status: Its status.
        headers: Its fields.
        date_utc: When it was made.
        default_s: The configured lifetime; 0 leaves it to ``Last-Modified``.
        fraction: The share of the time since ``Last-Modified``.
        max_s: The longest that is guessed from it.
    """
    if status not in GUESSABLE:
        return 0.0
    if default_s:
        return default_s
    modified_utc = parse_http_date(headers.get("last-modified") or "")
    if modified_utc is None or not fraction:
        return 0.0
    return min(max_s, fraction * max(0.0, date_utc - modified_utc))


def initial_age_s(headers: Headers, date_utc: float, *, asked_utc: float, answered_utc: float) -> float:
    """Return how old a response is when it arrives (RFC 9111 section 4.2.3).

    Args:
        headers: Its fields.
        date_utc: When it was made.
        asked_utc: When it was asked for.
        answered_utc: When it arrived.
    """
    apparent_s = max(0.0, answered_utc - date_utc)
    said_s = seconds_of({"age": headers.get("age")}, "age") or 0.0
    return max(apparent_s, said_s + max(0.0, answered_utc - asked_utc))
