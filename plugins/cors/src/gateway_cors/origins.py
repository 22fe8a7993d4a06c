"""Origins as operators write them and browsers send them (RFC 6454 section 6.2, Fetch standard section 3.1)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ANY_ORIGIN", "MAX_ORIGIN_LENGTH", "NULL_ORIGIN", "Origins", "matches_anything", "read_origin", "read_regex"]

ANY_ORIGIN = "*"
NULL_ORIGIN = "null"
"""What browsers send for sandboxed frames, ``data:`` pages and files."""

MAX_ORIGIN_LENGTH = 320
"""A host name has at most 253 characters (RFC 1035 section 2.3.4); what is longer is no origin, and not matched."""
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?"
_HOST = rf"{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]+\]"
_ORIGIN = re.compile(rf"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<sub>\*\.)?(?P<host>{_HOST})(?::(?P<port>\d{{1,5}}|\*))?")
_DEFAULT_PORTS = {"http": "80", "https": "443"}

_STRANGERS = ("https://b5d1f0c7.invalid", "http://b5d1f0c7.invalid:8081", "https://a.b5d1f0c7.test", NULL_ORIGIN)
"""Origins that nobody names. A regular expression that matches one of them names nobody."""


def read_origin(text: str) -> str:
    """Return an allowed origin in the form in which browsers send origins: lower case, without the default port.

    Raises:
        ValueError: If no origin can be like it: it has a path, or no scheme, or a ``*`` where that means nothing.
    """
    origin = text.strip().lower()
    if origin in (ANY_ORIGIN, NULL_ORIGIN):
        return origin
    found = _ORIGIN.fullmatch(origin)
    if found is None:
        msg = f"{text!r} is not an origin; {_remedy(origin)}"
        raise ValueError(msg)
    default_port = _DEFAULT_PORTS.get(found["scheme"])
    return origin.removesuffix(f":{default_port}") if found["port"] == default_port else origin


def _remedy(origin: str) -> str:
    if not origin.isascii():
        return "browsers send international names in ASCII; write it with 'xn--'"
    if "://" not in origin:
        return f"write it with its scheme, as in 'https://{origin or 'shop.example'}'"
    scheme, _, rest = origin.partition("://")
    if "/" in rest:
        return f"an origin has no path; write '{scheme}://{rest.partition('/')[0]}'"
    return (
        "write 'https://shop.example', 'https://*.shop.example' or 'http://localhost:*'; see allowedOriginRegexes too"
    )


def read_regex(pattern: str) -> str:
    """Return a regular expression for origins.

    Raises:
        ValueError: If it is none.
    """
    try:
        re.compile(pattern)
    except re.error as error:
        msg = f"{pattern!r} is not a regular expression: {error}"
        raise ValueError(msg) from error
    return pattern


def matches_anything(pattern: str) -> bool:
    """Tell whether a regular expression matches origins that nobody can have meant."""
    compiled = re.compile(pattern, re.IGNORECASE)
    return any(compiled.fullmatch(origin) for origin in _STRANGERS)


class Origins:
    """Tells which origins are allowed. Case does not matter, and everything matches as a whole.

    Args:
        origins: As ``read_origin`` returns them.
        regexes: Regular expressions.

    Attributes:
        allows_all: Whether every origin is allowed.
    """

    def __init__(self, origins: Sequence[str], regexes: Sequence[str] = ()) -> None:
        self.allows_all = ANY_ORIGIN in origins
        self._exact = {origin.encode("ascii") for origin in origins if "*" not in origin}
        patterns = [_pattern(origin) for origin in origins if "*" in origin and origin != ANY_ORIGIN]
        self._patterns = [re.compile(pattern, re.IGNORECASE) for pattern in (*patterns, *regexes)]

    def allows(self, origin: bytes) -> bool:
        """Tell whether an origin, as sent, is allowed."""
        if self.allows_all:
            return True
        if len(origin) > MAX_ORIGIN_LENGTH or not origin.isascii():
            return False
        lower = origin.lower()
        text = lower.decode("ascii")
        return lower in self._exact or any(pattern.fullmatch(text) for pattern in self._patterns)


def _pattern(origin: str) -> str:
    """Return the regular expression of an origin with ``*.`` before its host, or ``*`` for its port."""
    found = _ORIGIN.fullmatch(origin)
    assert found is not None  # noqa: S101 - read_origin() let it pass
    subdomains = rf"(?:{_LABEL}\.)+" if found["sub"] else ""
    port = r"(?::\d{1,5})?" if found["port"] == "*" else re.escape(f":{found['port']}") if found["port"] else ""
    return rf"{re.escape(found['scheme'])}://{subdomains}{re.escape(found['host'])}{port}"
