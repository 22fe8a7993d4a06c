"""Taking the values of a pattern's parameters out of a path that matches it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import unquote

from gateway.routing.pattern import GlobSegment, Wildcard

if TYPE_CHECKING:
    import re
    from collections.abc import Callable

    from gateway.routing.pattern import Pattern, Segment

__all__ = ["build_capture"]

Capture: TypeAlias = "Callable[[str], dict[str, str]]"
# A parameter's name, the number of its segment, and where in the segment it begins and ends.
_Slice: TypeAlias = tuple[str, int, int, int | None]


def build_capture(pattern: Pattern) -> Capture | None:
    """Return what takes the parameters out of a path, percent-decoded; ``None`` if the pattern has none.

    What it returns must only be called with paths that match. The groups of a regex are captured by name, or by number
    (``"1"``) if they have none; a group that took no part is left out.
    """
    if pattern.regex is not None:
        return _build_regex_capture(pattern.regex)
    numbered = tuple(enumerate(pattern.segments, 1))
    slices = [found for at, segment in numbered if (found := _slice(segment, at)) is not None]
    globs = [
        (at, segment)
        for at, segment in numbered
        if isinstance(segment, GlobSegment) and len(segment.names) > 1 and any(segment.names)
    ]
    if globs or (slices and pattern.rest is not None):
        return _build_general_capture(slices, globs, pattern.rest, len(numbered) + 1)
    if pattern.rest is not None:
        return _build_rest_capture(pattern.rest, len(numbered) + 1)
    return _build_slice_capture(slices) if slices else None


def _slice(segment: Segment, at: int) -> _Slice | None:
    """Return where the parameter of a segment stands if it has one, always in the same place."""
    match segment:
        case Wildcard(str() as name):
            return name, at, 0, None
        case GlobSegment(glob, (str() as name,)):
            first, last = glob.runs
            return name, at, len(first), -len(last) or None
    return None


def _build_slice_capture(slices: list[_Slice]) -> Capture:
    # What follows the last parameter need not be split.
    splits = max(at for _, at, _, _ in slices) + 1

    def capture(path: str) -> dict[str, str]:
        segments = path.split("/", splits)
        values = {}
        for name, at, start, stop in slices:
            values[name] = segments[at][start:stop]
        return _decode(values) if "%" in path else values

    return capture if len(slices) > 1 else _build_single_capture(*slices[0])


def _build_single_capture(name: str, at: int, start: int, stop: int | None) -> Capture:
    """Do without the loop for what most patterns are like."""
    splits = at + 1

    def capture(path: str) -> dict[str, str]:
        value = path.split("/", splits)[at][start:stop]
        return {name: unquote(value) if "%" in value else value}

    return capture


def _build_rest_capture(name: str, rest_at: int) -> Capture:
    def capture(path: str) -> dict[str, str]:
        segments = path.split("/", rest_at)
        # The bare prefix has no rest.
        value = segments[rest_at] if len(segments) > rest_at else ""
        return {name: unquote(value) if "%" in value else value}

    return capture


def _build_general_capture(
    slices: list[_Slice], globs: list[tuple[int, GlobSegment]], rest: str | None, rest_at: int
) -> Capture:
    def capture(path: str) -> dict[str, str]:
        segments = path.split("/", rest_at)
        values = {name: segments[at][start:stop] for name, at, start, stop in slices}
        for at, segment in globs:
            spans = segment.glob.spans(segments[at]) or ()
            values.update((name, span) for name, span in zip(segment.names, spans, strict=True) if name is not None)
        if rest is not None:
            values[rest] = segments[rest_at] if len(segments) > rest_at else ""
        return _decode(values)

    return capture


def _build_regex_capture(regex: re.Pattern[str]) -> Capture | None:
    if not regex.groups:
        return None
    names = {number: str(number) for number in range(1, regex.groups + 1)}
    names.update((number, name) for name, number in regex.groupindex.items())

    def capture(path: str) -> dict[str, str]:
        found = regex.fullmatch(path)
        groups = found.groups() if found else ()
        return _decode({name: group for name, group in zip(names.values(), groups, strict=False) if group is not None})

    return capture


def _decode(values: dict[str, str]) -> dict[str, str]:
    return {name: unquote(value) for name, value in values.items()}
