"""What a rule's ``path`` and ``pathType`` mean.

====================  ==================================================================================================
``/users/me``         these segments
``/users/:id``        one segment, not empty, captured as ``id``; ``/users/{id}`` is the same
``/v1/{job}:cancel``  part of a segment, not empty, captured as ``job``
``/v*/users``         part of a segment, perhaps empty, not captured
``/a/*/c``            one segment, not empty, not captured
``/files/*``          the rest: ``/files``, ``/files/`` and everything below, captured as ``*``
``/files/{path...}``  the same, captured as ``path``
====================  ==================================================================================================

That is ``template``, the default. ``exact`` and ``prefix`` take every character for itself; ``prefix`` matches whole
segments and captures what follows as ``*``; ``regex`` is Python's, must match the whole path, and is as quick as it is
written. To mean ``:``, ``*``, ``{`` or ``}`` themselves in a template, write ``%3A``, ``%2A``, ``%7B`` or ``%7D``. A
trailing slash counts: ``/users`` is not ``/users/``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NoReturn, TypeAlias, TypeVar, get_args

from gateway.routing.glob import Glob
from gateway.routing.path import MalformedPath, canonical_text, comparison_form, normalise_path, remove_dot_segments

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["GlobSegment", "PathType", "Pattern", "PatternError", "Segment", "Wildcard", "parse_pattern"]

PathType = Literal["template", "exact", "prefix", "regex"]
S = TypeVar("S")


class PatternError(ValueError):
    """A rule's path cannot be understood.

    Attributes:
        pattern: The path as it stands in the rule.
        column: Where in it the trouble begins, from 1.
    """

    def __init__(self, pattern: str, column: int, problem: str) -> None:
        self.pattern = pattern
        self.column = column
        super().__init__(f"{pattern!r}, column {column}: {problem}")


@dataclass(frozen=True, slots=True)
class Wildcard:
    """Stands for one whole segment, not empty.

    Attributes:
        name: What the segment is captured as; ``None`` means not at all.
    """

    name: str | None


@dataclass(frozen=True, slots=True)
class GlobSegment:
    """One segment, part of which is a wildcard.

    Attributes:
        glob: Matches the segment.
        names: What the text of each wildcard is captured as; ``None`` means not at all.
    """

    glob: Glob
    names: tuple[str | None, ...]


Segment: TypeAlias = str | Wildcard | GlobSegment


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """A rule's path, parsed.

    Attributes:
        text: The path as it stands in the rule.
        path_type: How it was read.
        segments: What must stand between the slashes, in the form in which paths are compared; empty for a regex.
        rest: What everything after the segments is captured as; ``None`` means that nothing may follow.
        regex: What the whole path must match, or ``None``.
    """

    text: str
    path_type: PathType
    segments: tuple[Segment, ...] = ()
    rest: str | None = None
    regex: re.Pattern[str] | None = None

    @property
    def exact_path(self) -> str | None:
        """The only path that matches, or ``None`` if there are others."""
        if self.regex is not None or self.rest is not None or self.literal_segments < len(self.segments):
            return None
        return self.literal_prefix

    @property
    def literal_prefix(self) -> str:
        """The segments before the first wildcard, as a path: what there is to strip by ``stripPrefix: true``."""
        prefix = ""
        for segment in self.segments:
            if not isinstance(segment, str):
                break
            prefix += f"/{segment}"
        return prefix

    @property
    def literal_segments(self) -> int:
        """How many segments have no wildcard in them."""
        return sum(isinstance(segment, str) for segment in self.segments)


def parse_pattern(text: str, path_type: str = "template") -> Pattern:
    """Parse a rule's path.

    Args:
        text: The path; paths and patterns are normalised by the same rules, and what is not ASCII is taken as UTF-8
            (RFC 3987 section 3.1).
        path_type: One of ``template``, ``exact``, ``prefix`` and ``regex``.

    Raises:
        PatternError: If it cannot be understood; says where and what to write instead.
        ValueError: If there is no such ``path_type``.
    """
    match path_type:
        case "template":
            return _parse_template(text)
        case "exact":
            return Pattern(text=text, path_type="exact", segments=_parse_literal_path(text))
        case "prefix":
            return _parse_prefix(text)
        case "regex":
            return Pattern(text=text, path_type="regex", regex=_compile_regex(text))
    raise ValueError(f"{path_type!r} is not a path type; write one of {', '.join(get_args(PathType))}")


def _parse_template(text: str) -> Pattern:
    segments = _parse_segments(text, _TemplateParser(text).parse_segment)
    last = segments[-1]
    return Pattern(
        text=text,
        path_type="template",
        segments=tuple(segment for segment in segments if not isinstance(segment, _Rest)),
        rest=last.name if isinstance(last, _Rest) else None,
    )


def _parse_prefix(text: str) -> Pattern:
    if text.endswith("/*"):
        problem = f"a prefix matches what follows it anyway; write {text[:-2] or '/'!r}, or leave out the pathType"
        raise PatternError(text, len(text), problem)
    segments = _parse_literal_path(text)
    if segments[-1] == "":  # "/api/" and "/api" are the same prefix, and "/" is none at all
        segments = segments[:-1]
    return Pattern(text=text, path_type="prefix", segments=segments, rest="*")


def _parse_literal_path(text: str) -> tuple[str, ...]:
    def parse_segment(raw: str, column: int) -> str:
        return _parse_literal(text, raw, column)

    return tuple(_parse_segments(text, parse_segment))


def _compile_regex(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as exc:
        problem = f"not a regular expression: {exc.msg}; write it for Python's 're' module"
        raise PatternError(text, (exc.pos or 0) + 1, problem) from exc
    except (OverflowError, RecursionError) as exc:
        raise PatternError(text, 1, f"not a usable regular expression: {exc}; write a simpler one") from exc


def _parse_segments(text: str, parse_segment: Callable[[str, int], S]) -> list[S | str]:
    """Split a pattern, parse what stands between the slashes, and remove empty and dot segments."""
    if not text.startswith("/"):
        raise PatternError(text, 1, f"a path starts with '/'; write {'/' + text!r}")
    segments: list[S] = []
    column = 2
    for raw in text[1:].split("/"):
        segments.append(parse_segment(raw, column))
        column += len(raw) + 1
    try:
        return remove_dot_segments(segments)
    except MalformedPath as exc:
        raise PatternError(text, 1, f"{exc}; write the path without dot segments") from exc


def _parse_literal(text: str, raw: str, column: int) -> str:
    if raw in ("", ".", ".."):  # for remove_dot_segments
        return raw
    try:
        return comparison_form(normalise_path("/" + _to_ascii(raw), encoded_slashes=True)[1:])
    except MalformedPath as exc:
        raise _literal_error(text, column, exc) from exc


def _literal_error(text: str, column: int, exc: MalformedPath) -> PatternError:
    remedy = "the query is matched by queryParams" if "'?'" in str(exc) else "no request can have such a path"
    return PatternError(text, column, f"{exc}; {remedy}")


def _to_ascii(text: str) -> str:
    return "".join(char if char.isascii() else "".join(f"%{byte:02X}" for byte in char.encode()) for char in text)


@dataclass(frozen=True, slots=True)
class _Rest:
    name: str


# A named or anonymous wildcard, or a character that looks like the beginning or end of one.
_TOKEN = re.compile(r"\{[^{}]*\}|\*+|[{}]")
# OpenAPI documents have names such as "user-id" and "filter.name"; after a colon these would rather be a mistake for
# "{user}-{id}" or "{file}.json".
_BRACED_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_COLON_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class _TemplateParser:
    """Parses the segments of one template, in order."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._names: set[str] = set()

    def parse_segment(self, raw: str, column: int) -> Segment | _Rest:
        is_last = column + len(raw) > len(self._text)
        if raw == "*":
            return _Rest("*") if is_last else Wildcard(None)
        if raw.startswith(":"):
            return Wildcard(self._colon_name(raw[1:], column))
        tokens = list(_TOKEN.finditer(raw))
        if not tokens:
            return _parse_literal(self._text, raw, column)
        if tokens[0].group() == raw:
            return self._whole_segment(raw, column, is_last=is_last)
        return self._glob_segment(raw, column, tokens)

    def _whole_segment(self, raw: str, column: int, *, is_last: bool) -> Wildcard | _Rest:
        if not raw.endswith("...}"):
            return Wildcard(self._wildcard_name(raw, column))
        if not is_last:
            self._fail(column, f"{raw!r} takes the rest of the path, so nothing may follow; write it last")
        return _Rest(self._braced_name(raw[1:-4], column))

    def _glob_segment(self, raw: str, column: int, tokens: list[re.Match[str]]) -> GlobSegment:
        runs, names, at = [], [], 0
        for token in tokens:
            if token.start() == at > 0:
                self._fail(column + at, "nothing tells two wildcards apart; put text between them")
            runs.append(self._run(raw[at : token.start()], column + at))
            names.append(self._wildcard_name(token[0], column + token.start()))
            at = token.end()
        runs.append(self._run(raw[at:], column + at))
        return GlobSegment(Glob(tuple(runs), tuple(int(name is not None) for name in names)), tuple(names))

    def _run(self, raw: str, column: int) -> str:
        try:
            return comparison_form(canonical_text(_to_ascii(raw), encoded_slashes=True))
        except MalformedPath as exc:
            raise _literal_error(self._text, column, exc) from exc

    def _wildcard_name(self, token: str, column: int) -> str | None:
        match token:
            case "*":
                return None
            case "{":
                self._fail(column, "this '{' is never closed; write '{name}', or '%7B' for the character itself")
            case "}":
                self._fail(column, "this '}' closes nothing; write '{name}', or '%7D' for the character itself")
        if token.startswith("*"):
            self._fail(column, f"{token!r} means nothing; '*' is one segment, a last '/*' everything that follows")
        if token.endswith("...}"):
            self._fail(column, f"{token!r} takes the rest of the path, so it must be a segment of its own")
        return self._braced_name(token[1:-1], column)

    def _colon_name(self, name: str, column: int) -> str:
        if not _COLON_NAME.fullmatch(name):
            problem = (
                f"':' names the whole segment, and {name!r} is not a name; write ':name', or '{{name}}' beside text"
            )
            self._fail(column, f"{problem}, or '%3A' for the character itself")
        return self._unused(name, column)

    def _braced_name(self, name: str, column: int) -> str:
        if not _BRACED_NAME.fullmatch(name):
            problem = f"{name!r} is not a name; use letters, digits, '_', '-' and '.'"
            self._fail(column, f"{problem}, and pathType regex to restrict the value")
        return self._unused(name, column)

    def _unused(self, name: str, column: int) -> str:
        if name in self._names:
            self._fail(column, f"the name {name!r} is used twice; give each parameter its own")
        self._names.add(name)
        return name

    def _fail(self, column: int, problem: str) -> NoReturn:
        raise PatternError(self._text, column, problem)
