"""What of a request decides where ``consistent_hash`` sends it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gateway.credentials import cookie_values, query_values

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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
        return lambda request: _first([each.decode("latin-1") for each in cookie_values(request, name)])
    if kind == "query":
        return lambda request: _first(query_values(request, name))
    if kind == "address":
        return lambda request: request.client or None
    return lambda request: request.path


def _first(values: Sequence[str]) -> str | None:
    return values[0] or None if values else None
