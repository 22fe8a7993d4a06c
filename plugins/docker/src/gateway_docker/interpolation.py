"""``${NAME}`` in Compose files, by the Compose specification (chapter "Interpolation")."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["InterpolationError", "interpolate", "parse_env_file"]

MAX_LENGTH = 64 * 1024
"""Of one value with everything put in; values that name each other could grow without end."""

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
# The word after an operator may itself hold ${...}, one level deep.
_VARIABLE = re.compile(rf"\$(?:(\$)|({_NAME})|\{{({_NAME})(?:(:?[-?+])((?:[^{{}}]|\$\{{[^{{}}]*\}})*))?\}}|)")
_ENV_LINE = re.compile(rf"\s*(?:export\s+)?({_NAME})\s*=\s*(.*?)\s*")
_QUOTED = re.compile(r"""(?:'([^']*)'|"((?:[^"\\]|\\.)*)")\s*(?:#.*)?""")


class InterpolationError(ValueError):
    """A value asks for what is not there, or cannot be read."""


def interpolate(text: str, values: Mapping[str, str]) -> str:
    """Return ``text`` with its variables replaced; one without a value is empty, ``$$`` is ``$``.

    Raises:
        InterpolationError: If ``${NAME:?message}`` has no value, or the text is malformed.
    """
    result = _VARIABLE.sub(lambda match: _replacement(match, values), text) if "$" in text else text
    if len(result) > MAX_LENGTH:
        msg = f"a value is longer than {MAX_LENGTH} characters"
        raise InterpolationError(msg)
    return result


def parse_env_file(text: str) -> dict[str, str]:
    """Read lines ``NAME=value``; ``#`` begins a comment, quotes keep what is between them."""
    values: dict[str, str] = {}
    for line in text.splitlines():
        match = _ENV_LINE.fullmatch(line)
        if match is not None:
            values[match[1]] = _env_value(match[2])
    return values


def _env_value(text: str) -> str:
    if (quoted := _QUOTED.fullmatch(text)) is not None:
        return quoted[1] if quoted[1] is not None else re.sub(r"\\(.)", r"\1", quoted[2])
    return re.split(r"(?:^|\s)#", text, maxsplit=1)[0].strip()


def _replacement(match: re.Match[str], values: Mapping[str, str]) -> str:
    dollar, bare, braced, operator, word = match.groups()
    if dollar:
        return "$"
    name = bare or braced
    if name is None:
        msg = "'$' stands before something that is no name; write '$$' for a dollar sign"
        raise InterpolationError(msg)
    value = values.get(name)
    if operator is None:
        return value or ""
    # With a colon, empty counts as unset.
    is_set = bool(value) if operator.startswith(":") else value is not None
    if operator.endswith("+"):
        return interpolate(word, values) if is_set else ""
    if is_set:
        return value or ""
    if operator.endswith("?"):
        msg = f"{name} has no value: {word or 'it is required'}"
        raise InterpolationError(msg)
    return interpolate(word, values)
