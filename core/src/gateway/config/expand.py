"""``${VAR}`` in the configuration file.

=====================  ==========================================================================
``${VAR}``             the variable; it must be set
``${VAR:-default}``    the variable, or ``default`` if it is not set or empty
``$${VAR}``            the text ``${VAR}`` itself
=====================  ==========================================================================

The default may hold variables again; what a variable holds is never expanded. Anything else with a dollar sign is text,
such as ``$1``, ``$VAR`` and ``${request.id}``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Expansion", "expand"]

_TOKEN = re.compile(r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:(?P<end>\})|:-)")
_BRACE = re.compile(r"\$\{|\}")


@dataclass(frozen=True, slots=True)
class Expansion:
    """What a text became.

    Attributes:
        text: With every variable that is set replaced.
        is_whole: Whether the text was one reference and nothing else.
        names: The variables that were asked for.
        missing: Those of them that are not set and have no default.
    """

    text: str
    is_whole: bool
    names: tuple[str, ...]
    missing: tuple[str, ...]


def expand(text: str, environ: Mapping[str, str]) -> Expansion:
    """Replace the references in ``text``.

    Args:
        text: A scalar of the configuration.
        environ: The variables.
    """
    expander = _Expander(environ)
    expanded = expander.replace(text)
    first = _TOKEN.match(text)
    is_whole = first is not None and first["name"] is not None and _end_of(first) == len(text)
    return Expansion(expanded, is_whole, tuple(expander.names), tuple(expander.missing))


class _Expander:
    """Replaces references and writes down which variables it met."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.names: list[str] = []
        self.missing: list[str] = []

    def replace(self, text: str) -> str:
        pieces: list[str] = []
        at = 0
        while (token := _TOKEN.search(text, at)) is not None:
            end = _end_of(token)
            pieces += text[at : token.start()], self._value(token, end)
            at = end
        return "".join((*pieces, text[at:]))

    def _value(self, token: re.Match[str], end: int) -> str:
        """Return what stands for a token; ``end`` is where the next text begins."""
        name = token["name"]
        if name is None:
            return "${"
        if token["end"] is None and end == token.end():  # a default that is never closed
            return token[0]
        self.names.append(name)
        value = self._environ.get(name)
        if token["end"] is None:
            return value or self.replace(token.string[token.end() : end - 1])
        if value is None:
            self.missing.append(name)
        return value or ""


def _end_of(token: re.Match[str]) -> int:
    """Return where a token ends: after the brace that closes its default, or after itself if none does."""
    if token["name"] is None or token["end"] is not None:
        return token.end()
    depth = 1
    for brace in _BRACE.finditer(token.string, token.end()):
        depth += 1 if brace[0] == "${" else -1
        if depth == 0:
            return brace.end()
    return token.end()
