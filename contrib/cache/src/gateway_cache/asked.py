"""What a request wants of a cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway_cache.directives import MAX_DELTA_S, parse_directives, seconds_of

if TYPE_CHECKING:
    from gateway import Exchange

__all__ = ["PRECONDITIONS", "Asked"]

PRECONDITIONS = frozenset({b"if-none-match", b"if-modified-since"})
"""Those that are for a cache, too (RFC 9111 section 4.3.2)."""
_FOR_THE_SERVICE = frozenset({b"if-match", b"if-unmodified-since"})
_LOOKED_AT = (
    PRECONDITIONS
    | _FOR_THE_SERVICE
    | frozenset((b"authorization", b"cache-control", b"cookie", b"if-range", b"pragma", b"range"))
)


class Asked:
    """The part of a request that decides what it may be given (RFC 9111 section 5.2.1).

    Args:
        exchange: The request.
        counts_directives: Whether its ``Cache-Control`` counts.

    Attributes:
        no_store: Nothing of it is to be stored.
        no_cache: It wants a response that was validated just now.
        max_age_s: The oldest response it takes; ``None`` takes any.
        min_fresh_s: How long the response must stay fresh.
        max_stale_s: How stale a response it takes; ``None`` takes none.
        only_if_cached: It wants no fetch.
        has_range: It wants a part.
        is_conditional: It says what the client has already.
        is_for_the_service: It has a precondition that only the service can judge.
        has_credentials: It says who is calling, to the service or to the gateway (RFC 9111 section 3.5).
        has_cookie: It may say so.
    """

    # Most requests ask for nothing of this: defaults in the class spare setting them.
    no_store = False
    no_cache = False
    max_age_s: float | None = None
    min_fresh_s = 0.0
    max_stale_s: float | None = None
    only_if_cached = False
    has_range = False
    is_conditional = False
    is_for_the_service = False
    has_cookie = False

    def __init__(self, exchange: Exchange, *, counts_directives: bool) -> None:
        present = exchange.request.headers.names_among(_LOOKED_AT)
        # Who the gateway let in is known to it only, whatever the credentials were and if they are still there.
        self.has_credentials = exchange.principal is not None or b"authorization" in present
        if not present:
            return
        self.has_cookie = b"cookie" in present
        self.has_range = b"range" in present
        self.is_conditional = bool(present & PRECONDITIONS)
        self.is_for_the_service = bool(present & _FOR_THE_SERVICE)
        if counts_directives:
            headers = exchange.request.headers
            if b"cache-control" in present:
                self._read(headers.get_all("cache-control"))
            elif b"pragma" in present:
                # RFC 9111 section 5.4: what it meant before there was Cache-Control.
                self.no_cache = "no-cache" in parse_directives(headers.get_all("pragma"))

    @property
    def is_anonymous(self) -> bool:
        """Whether nothing says who is calling."""
        return not self.has_credentials and not self.has_cookie

    def _read(self, values: list[str]) -> None:
        directives = parse_directives(values)
        self.no_store = "no-store" in directives
        self.no_cache = "no-cache" in directives
        self.only_if_cached = "only-if-cached" in directives
        self.max_age_s = seconds_of(directives, "max-age")
        self.min_fresh_s = seconds_of(directives, "min-fresh") or 0.0
        if "max-stale" in directives:
            # Without a value any staleness will do (RFC 9111 section 5.2.1.2).
            is_any = not directives["max-stale"]
            self.max_stale_s = MAX_DELTA_S if is_any else seconds_of(directives, "max-stale")
