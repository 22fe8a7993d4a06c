"""JSON that can be read in one way only."""

from __future__ import annotations

import json
from typing import Any, NoReturn

__all__ = ["parse_object"]


def parse_object(data: bytes) -> dict[str, Any]:
    """Return a JSON object.

    Names that are there twice are refused (RFC 7515 section 4, RFC 7519 section 4): another reader may take the first.

    Raises:
        ValueError: If it is none.
    """
    try:
        value = _DECODER.decode(data.decode("utf-8"))
    except RecursionError:
        msg = "it is nested too deeply"
        raise ValueError(msg) from None
    if not isinstance(value, dict):
        msg = "it is no JSON object"
        raise ValueError(msg)  # noqa: TRY004 - what is wrong is a value
    return value


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        msg = "a name is there twice"
        raise ValueError(msg)
    return found


def _refuse(constant: str) -> NoReturn:
    msg = f"{constant} is not JSON"
    raise ValueError(msg)


_DECODER = json.JSONDecoder(object_pairs_hook=_distinct, parse_constant=_refuse)
