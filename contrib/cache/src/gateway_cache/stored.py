"""A stored response: whether one may be stored, how fresh it is, and how a 304 renews it."""

from __future__ import annotations

import enum
from email.utils import formatdate
from typing import TYPE_CHECKING

from gateway import Headers
from gateway_cache.directives import parse_directives, parse_http_date, seconds_of
from gateway_cache.freshness import GUESSABLE, explicit_lifetime_s, guessed_lifetime_s, initial_age_s

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway_cache.asked import Asked
    from gateway_cache.config import CacheConfig

__all__ = ["Arrival", "StoredResponse", "Verdict", "may_store", "refreshed_pairs", "vary_names", "vary_values"]

OVERHEAD_BYTES = 1024
"""What a stored response takes beside its bytes: objects, and its places in the store's tables. Measured."""

_NOT_STORED = frozenset((b"age", b"cache-status", b"connection", b"content-length", b"proxy-authenticate")) | {
    b"proxy-authentication-info",
    b"proxy-authorization",
    b"x-request-id",
}
"""RFC 9111 section 3.1, and what says something about one exchange only."""
_KEPT_BY_304 = frozenset({b"content-encoding", b"content-length", b"content-range", b"content-type", b"vary"})
"""What a 304 does not change: it describes the stored content (RFC 9111 section 3.2)."""
_SHAREABLE = frozenset({"public", "s-maxage", "must-revalidate"})
"""With one of these a response to a request with credentials is for others, too (RFC 9111 section 3.5)."""
_SAY_WHETHER = frozenset({b"cache-control", b"expires", b"last-modified", b"set-cookie"})
"""Fields that say whether a response may be stored."""
_VARY = frozenset({b"vary"})
_EXPLICIT = _SHAREABLE | {"max-age", "no-cache"}
MAX_TAGS = 64


class Verdict(enum.Enum):
    """What may be done with a stored response."""

    FRESH = "fresh"
    """It is given."""
    STALE = "stale"
    """It is given, for the client takes it stale."""
    BEHIND = "behind"
    """It is given, and a new one is fetched behind it (RFC 5861 section 3)."""
    VALIDATE = "validate"
    """The service is asked first."""


class Arrival:
    """When a response was asked for and when it came.

    Args:
        asked_utc: Unix time.
        answered_utc: Unix time.
        answered_s: Monotonic time.
    """

    __slots__ = ("answered_s", "answered_utc", "asked_utc")

    def __init__(self, asked_utc: float, answered_utc: float, answered_s: float) -> None:
        self.asked_utc = asked_utc
        self.answered_utc = answered_utc
        self.answered_s = answered_s


class StoredResponse:
    """A response as it is stored. Once it has its content it never changes: a renewed one takes its place.

    Args:
        uri: The target URI.
        scope: The route and its service; what one of them said is not given for another.
        vary: What the request had in the fields that ``Vary`` names, by name.
        status: The status.
        headers: The fields of the response.
        arrival: When it came.
        may_guess: Whether its lifetime may be guessed.
        config: The block.

    Attributes:
        body: The content.
        pairs: The fields that are given again, with a date.
        etag: Its ``ETag``, or ``None``.
        modified: Its ``Last-Modified``, or ``None``.
        lifetime_s: How long it is fresh.
        size: How much memory it takes.
        tags: The words that it can be purged by.
        must_validate: ``no-cache``: never given without asking.
        must_revalidate: Never given stale.
    """

    __slots__ = (
        "_born_s",
        "_stale_if_error_s",
        "_stale_while_revalidate_s",
        "body",
        "etag",
        "lifetime_s",
        "modified",
        "must_revalidate",
        "must_validate",
        "pairs",
        "scope",
        "size",
        "status",
        "tags",
        "uri",
        "vary",
    )

    def __init__(
        self,
        uri: str,
        scope: str,
        vary: tuple[tuple[bytes, bytes | None], ...],
        *,
        status: int,
        headers: Headers,
        arrival: Arrival,
        may_guess: bool,
        config: CacheConfig,
    ) -> None:
        self.uri, self.scope, self.vary, self.status = uri, scope, vary, status
        self.body = b""
        date_utc = parse_http_date(headers.get("date") or "")
        self.pairs = [pair for pair in headers.pairs if pair[0] not in _NOT_STORED]
        if date_utc is None:
            # RFC 9110 section 6.6.1: a recipient with a clock dates what it stores.
            date_utc = arrival.answered_utc
            self.pairs = [pair for pair in self.pairs if pair[0] != b"date"]
            self.pairs.append((b"date", formatdate(date_utc, usegmt=True).encode()))
        self.etag, self.modified = headers.get("etag"), headers.get("last-modified")
        directives = parse_directives(headers.get_all("cache-control"))
        self._note_freshness(directives, headers, date_utc, may_guess=may_guess, config=config)
        age_s = initial_age_s(headers, date_utc, asked_utc=arrival.asked_utc, answered_utc=arrival.answered_utc)
        self._born_s = arrival.answered_s - age_s
        self.tags = _tags_of(headers, config.tag_headers)
        self.size = (
            sum(len(name) + len(value) for name, value in self.pairs)
            + sum(len(name) + len(value or b"") for name, value in vary)
            + 2 * len(uri)
            + OVERHEAD_BYTES
        )

    def _note_freshness(
        self,
        directives: Mapping[str, str | None],
        headers: Headers,
        date_utc: float,
        *,
        may_guess: bool,
        config: CacheConfig,
    ) -> None:
        lifetime_s = explicit_lifetime_s(directives, headers, date_utc)
        if lifetime_s is None:
            lifetime_s = 0.0
            if may_guess:
                lifetime_s = guessed_lifetime_s(
                    self.status,
                    headers,
                    date_utc,
                    default_s=config.default_ttl,
                    fraction=config.heuristic_fraction,
                    max_s=config.heuristic_max,
                )
        self.lifetime_s = lifetime_s
        self.must_validate = "no-cache" in directives
        # RFC 9111 section 5.2.2.10: s-maxage means proxy-revalidate, too.
        self.must_revalidate = not {"must-revalidate", "proxy-revalidate", "s-maxage"}.isdisjoint(directives)
        behind_s = seconds_of(directives, "stale-while-revalidate")
        error_s = seconds_of(directives, "stale-if-error")
        self._stale_while_revalidate_s = config.stale_while_revalidate if behind_s is None else behind_s
        self._stale_if_error_s = config.stale_if_error if error_s is None else error_s
        if "s-maxage" in directives and (behind_s or error_s):
            # Whoever says both wants both (RFC 5861 has an example with max-age only, CDNs are used with s-maxage).
            self.must_revalidate = not {"must-revalidate", "proxy-revalidate"}.isdisjoint(directives)

    def fill(self, content: bytes) -> None:
        """Take the content, before it is stored."""
        self.body = content
        self.size += len(content)

    @property
    def can_be_validated(self) -> bool:
        """Whether the service can be asked if it still holds."""
        return self.etag is not None or self.modified is not None

    @property
    def is_useful(self) -> bool:
        """Whether it can ever spare anything."""
        return self.can_be_validated or (self.lifetime_s > 0 and not self.must_validate)

    def age_s(self, now_s: float) -> float:
        """Return how old it is at a monotonic time."""
        return max(0.0, now_s - self._born_s)

    def judge(self, asked: Asked, now_s: float) -> Verdict:
        """Return what may be done with it for a request (RFC 9111 section 4.2.4)."""
        age_s = self.age_s(now_s)
        if asked.no_cache or self.must_validate or (asked.max_age_s is not None and age_s > asked.max_age_s):
            return Verdict.VALIDATE
        left_s = self.lifetime_s - age_s
        if left_s > 0 and left_s >= asked.min_fresh_s:
            return Verdict.FRESH
        if self.must_revalidate or asked.min_fresh_s:
            return Verdict.VALIDATE
        if asked.max_stale_s is not None and -left_s <= asked.max_stale_s:
            return Verdict.STALE
        return Verdict.BEHIND if -left_s < self._stale_while_revalidate_s else Verdict.VALIDATE

    def may_stand_in(self, asked: Asked, now_s: float) -> bool:
        """Say whether it may be given when the service fails (RFC 5861 section 4)."""
        if asked.no_cache or self.must_validate or self.must_revalidate:
            return False
        return self.age_s(now_s) - self.lifetime_s < self._stale_if_error_s

    def suits(self, headers: Headers) -> bool:
        """Say whether it was given to a request that had the same in what ``Vary`` names (RFC 9111 section 4.1)."""
        return not self.vary or vary_values(tuple(name for name, _ in self.vary), headers) == self.vary


def may_store(status: int, headers: Headers, asked: Asked, config: CacheConfig) -> bool:
    """Say whether a shared cache may store a response (RFC 9111 sections 3 and 3.5).

    Stricter in this: nothing with ``Set-Cookie``, nothing that is a part, ``private`` and ``no-cache`` count as a whole
    also where they name fields, and what does not speak of caches is stored only if the configuration says for how
    long, and if the request has neither credentials nor a cookie.
    """
    said = headers.names_among(_SAY_WHETHER)
    if status < 200 or status in (206, 304) or asked.no_store or b"set-cookie" in said:
        return False
    directives = parse_directives(headers.get_all("cache-control")) if b"cache-control" in said else {}
    if "no-store" in directives or "private" in directives or vary_names(headers) is None:
        return False
    if asked.has_credentials:
        return not _SHAREABLE.isdisjoint(directives)
    if not _EXPLICIT.isdisjoint(directives) or b"expires" in said:
        return True
    may_guess = config.default_ttl > 0 or (config.heuristic_fraction > 0 and b"last-modified" in said)
    return may_guess and status in GUESSABLE and not asked.has_cookie


def vary_names(headers: Headers) -> tuple[bytes, ...] | None:
    """Return the names in ``Vary``, sorted; ``None`` if it says that no other request is alike."""
    if not headers.has_any(_VARY):
        return ()
    names = {name.strip().lower() for value in headers.get_all("vary") for name in value.split(",")} - {""}
    return None if "*" in names else tuple(sorted(name.encode("latin-1") for name in names))


def vary_values(names: tuple[bytes, ...], headers: Headers) -> tuple[tuple[bytes, bytes | None], ...]:
    """Return what a request has in the fields of these names; several values as one."""
    found: dict[bytes, bytes | None] = dict.fromkeys(names)
    for name, value in headers.pairs:
        if name in found:
            known = found[name]
            found[name] = value if known is None else known + b", " + value
    return tuple(found.items())


def refreshed_pairs(stored: StoredResponse, headers: Headers) -> Headers:
    """Return the fields of a stored response with those of a 304 in their place (RFC 9111 section 3.2)."""
    new = [pair for pair in headers.pairs if pair[0] not in _KEPT_BY_304]
    names = {name for name, _ in new}
    return Headers([pair for pair in stored.pairs if pair[0] not in names] + new)


def _tags_of(headers: Headers, names: tuple[str, ...]) -> frozenset[str]:
    words = (word for name in names for value in headers.get_all(name) for word in value.replace(",", " ").split())
    return frozenset(word for word, _ in zip(words, range(MAX_TAGS), strict=False))
