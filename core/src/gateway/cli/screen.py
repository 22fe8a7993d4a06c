"""Printing for people: aligned tables that fit the terminal, colour where it can be seen."""

from __future__ import annotations

import json
import os
import shutil
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TextIO

from gateway.logs import escape_controls

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Column", "Screen", "Style"]

Style = Literal["plain", "bold", "dim", "red", "green", "yellow"]

_CODES: dict[Style, str] = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}
_GAP = "  "
_NARROWEST = 6
"""To how many characters a column may be squeezed."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        title: Its heading.
        style: How its cells look.
        is_optional: Whether it is left out when it has nothing to say.
    """

    title: str
    style: Style = "plain"
    is_optional: bool = False


class Screen:
    """A stream that people may be looking at.

    Args:
        stream: Where to print.
        width: How many characters fit in a line; ``None`` is any number.
        has_colour: Whether it shows colour.
    """

    def __init__(self, stream: TextIO, *, width: int | None = None, has_colour: bool = False) -> None:
        self._stream = stream
        self._width = width
        self._has_colour = has_colour

    @classmethod
    def of(cls, stream: TextIO) -> Screen:
        """Return the screen for a stream: with its width and colour if it is a terminal (https://no-color.org)."""
        if not stream.isatty():
            return cls(stream)
        wants_colour = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        return cls(stream, width=shutil.get_terminal_size().columns, has_colour=wants_colour)

    def line(self, text: str = "", style: Style = "plain") -> None:
        """Print one line, whatever the text holds."""
        self._write(f"{self._styled(escape_controls(text), style)}\n")

    def text(self, text: str) -> None:
        """Print text as it is."""
        self._write(text)

    def json(self, value: Any) -> None:  # noqa: ANN401 - whatever there is to say
        """Print a value as JSON; what JSON does not have becomes text."""
        self._write(f"{json.dumps(value, indent=2, ensure_ascii=False, default=str)}\n")

    def pairs(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Print names and values, those that have one."""
        pairs = [(name, value) for name, value in pairs if value]
        widths = self._fit([max(map(_width, column)) for column in zip(*pairs, strict=True)], [_NARROWEST] * 2)
        for pair in pairs:
            self._row(pair, widths, ("dim", "plain"))

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
        """Print a table. What does not fit is wrapped in its cell."""
        shown = [
            number
            for number, column in enumerate(columns)
            if not column.is_optional or any(row[number] for row in rows)
        ]
        columns = [columns[number] for number in shown]
        table = [[escape_controls(row[number]) for number in shown] for row in rows]
        titles = [column.title for column in columns]
        widths = [max(map(_width, cells)) for cells in zip(titles, *table, strict=True)]
        widths = self._fit(widths, [max(_width(title), _NARROWEST) for title in titles])
        self._row(titles, widths, ["bold"] * len(titles))
        for row in table:
            self._row(row, widths, [column.style for column in columns])

    def _fit(self, widths: Sequence[int], least: Sequence[int]) -> list[int]:
        """Return the widths with the widest squeezed until a line fits, none below its least."""
        fitted = list(widths)
        if self._width is None:
            return fitted
        excess = sum(fitted) + len(_GAP) * (len(fitted) - 1) - self._width
        for _ in range(excess):
            widest = max(range(len(fitted)), key=lambda number: (fitted[number] > least[number], fitted[number]))
            if fitted[widest] <= least[widest]:
                break
            fitted[widest] -= 1
        return fitted

    def _row(self, cells: Sequence[str], widths: Sequence[int], styles: Sequence[Style]) -> None:
        wrapped = [list(_wrap(cell, width)) for cell, width in zip(cells, widths, strict=True)]
        for number in range(max(map(len, wrapped))):
            pieces = [lines[number] if number < len(lines) else "" for lines in wrapped]
            last = max(at for at, piece in enumerate(pieces) if piece or at == 0)
            line = ""
            for piece, width, style in zip(pieces[:last], widths, styles, strict=False):
                line += self._styled(piece, style) + " " * (width - _width(piece)) + _GAP
            self._write(f"{line}{self._styled(pieces[last], styles[last])}\n")

    def _styled(self, text: str, style: Style) -> str:
        code = _CODES.get(style)
        return f"\x1b[{code}m{text}\x1b[0m" if self._has_colour and code and text else text

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
        except UnicodeEncodeError as error:
            self._stream.write(text.encode(error.encoding, "backslashreplace").decode(error.encoding))


def _wrap(text: str, width: int) -> Iterator[str]:
    """Yield the text in lines, broken at spaces where there are any."""
    line = ""
    for word in text.split(" "):
        joined = f"{line} {word}" if line else word
        if _width(joined) <= width:
            line = joined
            continue
        if line:
            yield line
        *whole, line = _pieces(word, width)
        yield from whole
    yield line


def _pieces(word: str, width: int) -> list[str]:
    """Return a word in pieces that fit; at least one."""
    pieces = [""]
    for char in word:
        if pieces[-1] and _width(pieces[-1] + char) > width:
            pieces.append("")
        pieces[-1] += char
    return pieces


def _width(text: str) -> int:
    """Return how many columns of a terminal a text takes (Unicode Standard Annex #11)."""
    if text.isascii():
        return len(text)
    return sum(_char_width(char) for char in text)


def _char_width(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
