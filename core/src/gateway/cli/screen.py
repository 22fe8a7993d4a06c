"""Printing for people: aligned tables that fit the terminal, colour where it can be seen."""

from __future__ import annotations

import json
import os
import re
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
_COMFORTABLE = 12
"""With how many characters a column can be read; where that is too much for all, some give way."""
_NARROWEST = 6
"""To how many characters a column may be squeezed."""
_BREAKS = frozenset("/,.:;_-=@|")
"""After these a word may be broken."""
_UNBROKEN = re.compile(rf"[^ {re.escape(''.join(_BREAKS))}]+[{re.escape(''.join(_BREAKS))}]?")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        title: Its heading.
        style: How its cells look.
        is_optional: Whether it is left out when it has nothing to say.
        gives_way: Whether it is left out when there is no room; of several columns the highest number goes first.
    """

    title: str
    style: Style = "plain"
    is_optional: bool = False
    gives_way: int = 0


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
        """Print a table. What does not fit is wrapped in its cell; columns that give way are named below."""
        numbers = [
            number
            for number, column in enumerate(columns)
            if not column.is_optional or any(row[number] for row in rows)
        ]
        cells = [[columns[number].title, *(escape_controls(row[number]) for row in rows)] for number in numbers]
        natural = [max(map(_width, column)) for column in cells]
        kept = self._kept([columns[number] for number in numbers], natural)
        shown = [columns[numbers[at]] for at in kept]
        least = [max(_width(column.title), _NARROWEST) for column in shown]
        # First only as far as words stay whole.
        whole = [max(_NARROWEST, *map(_longest_piece, cells[at])) for at in kept]
        widths = self._fit(self._fit([natural[at] for at in kept], whole), least)
        titles, *body = zip(*(cells[at] for at in kept), strict=True)
        self._row(titles, widths, ["bold"] * len(shown))
        for row in body:
            self._row(row, widths, [column.style for column in shown])
        left_out = [columns[number].title for at, number in enumerate(numbers) if at not in kept]
        if left_out:
            self.line(f"(no room for {', '.join(left_out)}; a wider terminal or --json shows everything)", "dim")

    def _kept(self, columns: Sequence[Column], natural: Sequence[int]) -> list[int]:
        """Return the numbers of the columns for which there is room."""
        kept = list(range(len(columns)))
        while self._width is not None:
            needed = sum(min(natural[at], _COMFORTABLE) + len(_GAP) for at in kept) - len(_GAP)
            first = max(kept, key=lambda at: columns[at].gives_way)
            if needed <= self._width or not columns[first].gives_way:
                break
            kept.remove(first)
        return kept

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
    """Return a word in pieces that fit, broken after punctuation where there is some; at least one."""
    pieces = []
    while _width(word) > width:
        length = max(1, _length_that_fits(word, width))
        breaks = [at + 1 for at in range(length) if word[at] in _BREAKS]
        # A short piece is worth it if the rest then fits.
        if breaks and (breaks[-1] > length // 2 or _width(word[breaks[-1] :]) <= width):
            length = breaks[-1]
        pieces.append(word[:length])
        word = word[length:]
    return [*pieces, word]


def _longest_piece(text: str) -> int:
    """Return how many columns the longest word takes that cannot be broken well."""
    return max(map(_width, _UNBROKEN.findall(text)), default=0)


def _length_that_fits(word: str, width: int) -> int:
    taken = 0
    for length, char in enumerate(word):
        taken += _char_width(char)
        if taken > width:
            return length
    return len(word)


def _width(text: str) -> int:
    """Return how many columns of a terminal a text takes (Unicode Standard Annex #11)."""
    if text.isascii():
        return len(text)
    return sum(_char_width(char) for char in text)


def _char_width(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
