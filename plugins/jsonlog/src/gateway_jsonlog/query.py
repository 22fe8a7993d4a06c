"""Queries without secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

__all__ = ["redact_query"]


def redact_query(query: str, names: AbstractSet[str]) -> str:
    """Return the query with ``***`` for the values of some parameters.

    Names are compared in lower case and decoded, since ``%74oken`` is ``token`` to the service. Both ``&`` and ``;``
    separate, since to some services they do.

    Args:
        query: As sent, without ``?``.
        names: The names, in lower case.
    """
    if ";" in query:
        return ";".join([redact_query(part, names) for part in query.split(";")])
    return "&".join([_redact(parameter, names) for parameter in query.split("&")])


def _redact(parameter: str, names: AbstractSet[str]) -> str:
    name, equals, _ = parameter.partition("=")
    if not equals:
        return parameter
    plain = name.lower()
    if not plain.isalnum() and not plain.isidentifier():
        plain = unquote_plus(name).lower().strip()
        if "[" in plain and not names.isdisjoint(plain.replace("]", "").split("[")):
            # token[] and user[token] are how some frameworks spell lists and maps.
            return f"{name}=***"
    return f"{name}=***" if plain in names else parameter
