"""What of a request decides where ``consistent_hash`` sends it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway import Request

    Find = Callable[[Request], str | None]
    """Returns the key, or ``None`` if the request does not have it."""

__all__ = ["KEY", "key_finder"]

KEY = re.compile(r"address|path|(?:header|cookie|query):[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""How a key is written."""


def key_finder(key: str) -> Find:
    """Return what finds the key that is written so; see ``KEY``."""
    kind, _, name = key.partition(":")
    if kind == "header":
        return lambda request: request.headers.get(name) or None
    if kind == "cookie":
        cookie = re.compile(rf"(?:^|;)[ \t]*{re.escape(name)}=\"?([^;\"]*)")
        return lambda request: _first(cookie, request.headers.get("cookie"))
    if kind == "query":
        parameter = re.compile(rf"(?:^|&){re.escape(name)}=([^&]*)")
        return lambda request: _decoded(_first(parameter, request.query))
    if kind == "address":
        return lambda request: request.client or None
    return lambda request: request.path


def _first(pattern: re.Pattern[str], text: str | None) -> str | None:
    match = pattern.search(text) if text else None
    return (match[1].strip() or None) if match is not None else None


def _decoded(value: str | None) -> str | None:
    return unquote_plus(value) if value is not None else None
