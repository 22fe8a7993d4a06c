"""Path templates of ``google.api.http``.

The grammar of ``google/api/http.proto``::

    Template  = "/" Segments [ ":" LITERAL ]
    Segments  = Segment { "/" Segment }
    Segment   = "*" | "**" | LITERAL | "{" FieldPath [ "=" Segments ] "}"
    FieldPath = IDENT { "." IDENT }
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

__all__ = ["ANY", "REST", "PathTemplate", "TemplateError", "Variable", "parse_template"]

ANY = "*"
REST = "**"

_PIECE = re.compile(r"\{([^{}=]*)(?:=([^{}]*))?\}|([^/{}]+)")
_FIELD_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
MAX_SEGMENTS = 64


class TemplateError(ValueError):
    """A path template that is none; says why."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A part of a path that becomes a field.

    Attributes:
        field_path: The field, such as ``book.name``.
        start: The number of its first segment.
        end: That behind its last one; ``None`` is the end of the path.
        is_single: Whether it is always one segment.
    """

    field_path: str
    start: int
    end: int | None
    is_single: bool


@dataclass(frozen=True, slots=True)
class PathTemplate:
    """A path template.

    Attributes:
        segments: Texts, ``ANY`` and, at the end only, ``REST``.
        variables: Its variables, in order.
        verb: What follows the last colon; empty if there is none.
    """

    segments: tuple[str, ...]
    variables: tuple[Variable, ...]
    verb: str


def parse_template(text: str) -> PathTemplate:
    """Return the template that ``text`` is.

    Raises:
        TemplateError: If it is none.
    """
    if not text.startswith("/"):
        raise TemplateError(f"{text!r} does not begin with '/'")
    rest, verb = _without_verb(text[1:])
    segments: list[str] = []
    variables: list[Variable] = []
    for piece in _pieces(text, rest):
        if not piece.startswith("{"):
            segments.append(_segment(text, piece))
            continue
        path, equals, inner = piece[1:-1].partition("=")
        if not _FIELD_PATH.fullmatch(path):
            raise TemplateError(f"{text!r}: {path!r} is no field")
        start = len(segments)
        segments += [_segment(text, each) for each in (inner if equals else ANY).split("/")]
        is_open = segments[-1] == REST
        is_single = len(segments) == start + 1 and not is_open
        variables.append(Variable(path, start, None if is_open else len(segments), is_single))
    _check(text, segments, variables)
    return PathTemplate(tuple(segments), tuple(variables), verb)


def _without_verb(text: str) -> tuple[str, str]:
    """Split off the verb: behind the last colon, unless that stands in an earlier segment or in a variable."""
    before, colon, verb = text.rpartition(":")
    if colon and "/" not in verb and "}" not in verb:
        return before, verb
    return text, ""


def _pieces(text: str, rest: str) -> list[str]:
    """Split at slashes, but not at those in variables."""
    pieces: list[str] = []
    at = 0
    while True:
        match = _PIECE.match(rest, at)
        if match is None:
            raise TemplateError(f"{text!r} has an empty segment or a lonely brace")
        pieces.append(match[0])
        at = match.end()
        if at == len(rest):
            return pieces
        if rest[at] != "/":
            raise TemplateError(f"{text!r}: a variable is always a whole segment")
        at += 1


def _segment(text: str, piece: str) -> str:
    if piece in (ANY, REST):
        return piece
    if not piece or "*" in piece or "=" in piece:
        raise TemplateError(f"{text!r}: {piece!r} is neither '*', '**' nor a plain text")
    return unquote(piece)


def _check(text: str, segments: list[str], variables: list[Variable]) -> None:
    if REST in segments[:-1]:
        raise TemplateError(f"{text!r}: '**' must come last")
    if len(segments) > MAX_SEGMENTS:
        raise TemplateError(f"{text!r} has more than {MAX_SEGMENTS} segments")
    names = [variable.field_path for variable in variables]
    if len(set(names)) < len(names):
        raise TemplateError(f"{text!r} names a field twice")
