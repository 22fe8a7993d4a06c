"""The static table of HPACK (RFC 7541 appendix A)."""

from __future__ import annotations

__all__ = ["ENTRY_OVERHEAD", "STATIC_FIELDS", "STATIC_NAMES", "STATIC_TABLE"]

Pair = tuple[bytes, bytes]

ENTRY_OVERHEAD = 32
"""What an entry counts beside its name and value (RFC 7541 section 4.1), and a field of a list (RFC 9113 6.5.2)."""

STATIC_TABLE: tuple[Pair, ...] = (
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    (b":status", b"200"),
    (b":status", b"204"),
    (b":status", b"206"),
    (b":status", b"304"),
    (b":status", b"400"),
    (b":status", b"404"),
    (b":status", b"500"),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    *(
        (name, b"")
        for name in (
            b"accept-language",
            b"accept-ranges",
            b"accept",
            b"access-control-allow-origin",
            b"age",
            b"allow",
            b"authorization",
            b"cache-control",
            b"content-disposition",
            b"content-encoding",
            b"content-language",
            b"content-length",
            b"content-location",
            b"content-range",
            b"content-type",
            b"cookie",
            b"date",
            b"etag",
            b"expect",
            b"expires",
            b"from",
            b"host",
            b"if-match",
            b"if-modified-since",
            b"if-none-match",
            b"if-range",
            b"if-unmodified-since",
            b"last-modified",
            b"link",
            b"location",
            b"max-forwards",
            b"proxy-authenticate",
            b"proxy-authorization",
            b"range",
            b"referer",
            b"refresh",
            b"retry-after",
            b"server",
            b"set-cookie",
            b"strict-transport-security",
            b"transfer-encoding",
            b"user-agent",
            b"vary",
            b"via",
            b"www-authenticate",
        )
    ),
)

STATIC_FIELDS = {pair: index for index, pair in enumerate(STATIC_TABLE, 1)}
"""The index of a field."""

STATIC_NAMES = {name: index for index, (name, _) in reversed(list(enumerate(STATIC_TABLE, 1)))}
"""The first index of a name."""
