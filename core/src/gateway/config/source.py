"""Reading YAML into data that know their line and column.

YAML 1.2's core schema, because its surprises are fewer: ``no`` and ``12:30`` are text, and ``0123`` is no octal
number. Whoever asks for a truth value still takes ``yes`` and ``on``. Keys are text, as written. Merge keys (``<<``),
anchors and aliases work; what they could be abused for is bounded.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from gateway.config.expand import expand
from gateway.config.places import Block, Items, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from gateway.config.places import Value
    from gateway.config.report import Report

__all__ = ["MAX_DEPTH", "MAX_FILE_BYTES", "MAX_VALUES", "file_text", "read_file", "read_text", "resolve_scalar"]

MAX_FILE_BYTES = 32 * 1024 * 1024
"""10,000 rules take about 2 MB."""
MAX_VALUES = 2_000_000
"""Counted with what aliases stand for, so that nine lines cannot become a thousand million values."""
MAX_DEPTH = 100

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_WORDS: Mapping[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]{1,300}")
_BASED = re.compile(r"0o[0-7]{1,300}|0x[0-9a-fA-F]{1,300}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_FLOAT_WORDS = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_NUMBER_START = frozenset("+-.0123456789")
_TAGS = {"!": str} | {
    f"tag:yaml.org,2002:{name}": kind for name, kind in {"str": str, "int": int, "float": float, "bool": bool}.items()
}


def file_text(path: Path, report: Report) -> str | None:
    """Return the text of a configuration file, or ``None`` after reporting why it cannot be read.

    Args:
        path: The file; messages name it in this form.
        report: Takes the problems.
    """
    source = str(path)
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        report.error("there is no such file; check the path, or leave it out to start with the defaults", where=source)
        return None
    except OSError as error:
        report.error(f"cannot be read: {error.strerror or error}; name a file that can", where=source)
        return None
    if len(raw) > MAX_FILE_BYTES:
        report.error(f"is larger than {MAX_FILE_BYTES} bytes; is it the configuration?", where=source)
        return None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        report.error(f"is not UTF-8 text: byte {raw[error.start]:#04x}; save it as UTF-8", where=f"{source}:{line}")
        return None


def read_file(path: Path, environ: Mapping[str, str], report: Report, text: str | None = None) -> Block | None:
    """Read a configuration file; what is wrong with it is reported.

    Args:
        path: The file; messages name it in this form.
        environ: What ``${VAR}`` refers to.
        report: Takes the problems.
        text: What the file holds, as it was read before; ``None`` reads it now.

    Returns:
        What the file holds, or ``None`` if it cannot be read or is no mapping at all.
    """
    source = str(path)
    if text is None and (text := file_text(path, report)) is None:
        return None
    value = read_text(text, Place(source, line=1, column=1), environ, report)
    if value is None and not report.errors:
        report.error("is empty; it needs a block 'gateway:'", where=source)
    elif value is not None and not isinstance(value, Block):
        report.error("does not begin with keys; it needs a block 'gateway:'", where=f"{source}:1:1")
    return value if isinstance(value, Block) else None


def read_text(text: str, place: Place, environ: Mapping[str, str] | None, report: Report) -> Value:
    """Read YAML.

    Args:
        text: One document.
        place: Where the whole stands; its source is that of everything in it.
        environ: What ``${VAR}`` refers to; ``None`` leaves such text alone.
        report: Takes the problems.

    Returns:
        The value; ``None`` if there is none or the text is not YAML.
    """
    try:
        return _Reader(text, place, environ, report).read()
    except _Unreadable as error:
        report.error(str(error), where=error.where)
    except yaml.MarkedYAMLError as error:
        report.error(_yaml_message(error), where=_where(place, error.problem_mark or error.context_mark))
    except (yaml.reader.ReaderError, UnicodeEncodeError):
        message, where = _unprintable(text, place)
        report.error(message, where=where)
    return None


def resolve_scalar(text: str) -> str | int | float | bool | None:
    """Return what a plain scalar means (YAML 1.2.2 section 10.3.2)."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMBER_START:
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    if _BASED.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _FLOAT_WORDS.fullmatch(text):
        return float(text.replace(".", ""))
    return text


class _Unreadable(Exception):
    """The text is YAML, but not such as can be read on."""

    def __init__(self, message: str, where: str) -> None:
        super().__init__(message)
        self.where = where


class _Reader:
    """Makes data of the parser's events.

    Not ``yaml.compose``, which takes six times as long for its nodes and recurses as deep as the text goes.
    """

    def __init__(self, text: str, place: Place, environ: Mapping[str, str] | None, report: Report) -> None:
        self._place = place
        self._source = place.source
        self._environ = environ
        self._report = report
        self._next_event: Callable[[], Any] = _LOADER(text).get_event
        self._depth = 0
        self._count = 0
        # What an alias stands for and how many values that is; None while the anchored block is still being read.
        self._anchors: dict[str, tuple[Value, int] | None] = {}

    def read(self) -> Value:
        value: Value = None
        is_first = True
        while type(event := self._next_event()) is not yaml.StreamEndEvent:
            if isinstance(event, yaml.DocumentStartEvent):
                if not is_first:
                    raise _Unreadable("a second document begins here; remove it", self._where(event))
                is_first = False
            elif not isinstance(event, yaml.StreamStartEvent | yaml.DocumentEndEvent):
                value = self._value(event, self._place)
        return value

    def _value(self, event: Any, place: Place) -> Value:  # noqa: ANN401 - the parser's events have no common type
        self._count += 1
        if self._count > MAX_VALUES:
            raise _Unreadable(f"there are more than {MAX_VALUES} values; do aliases multiply?", self._where(event))
        kind = type(event)
        if kind is yaml.AliasEvent:
            return self._alias(event)
        anchor, before = event.anchor, self._count
        if anchor is not None:
            self._anchors[anchor] = None
        value: Value
        value = self._scalar(event, place) if kind is yaml.ScalarEvent else self._collection(event, place)
        if anchor is not None:
            self._anchors[anchor] = (value, self._count - before + 1)
        return value

    def _alias(self, event: Any) -> Value:  # noqa: ANN401 - see _value
        if event.anchor not in self._anchors:
            raise _Unreadable(
                f"there is no anchor &{event.anchor} above; define it, or quote the '*'", self._where(event)
            )
        anchored = self._anchors[event.anchor]
        if anchored is None:
            raise _Unreadable(f"*{event.anchor} stands inside of what it stands for; remove it", self._where(event))
        self._count += anchored[1]
        return anchored[0]

    def _collection(self, event: Any, place: Place) -> Block | Items:  # noqa: ANN401 - see _value
        if event.tag not in (None, "!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"):
            self._unknown_tag(event)
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _Unreadable(f"blocks are nested more than {MAX_DEPTH} deep; make it flatter", self._where(event))
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        collection = self._mapping(place) if is_mapping else self._sequence(place)
        self._depth -= 1
        return collection

    def _sequence(self, place: Place) -> Items:
        items = Items(place)
        while type(event := self._next_event()) is not yaml.SequenceEndEvent:
            mark = event.start_mark
            entry = Place(self._source, place, len(items), mark.line + 1, mark.column + 1)
            items.put(self._value(event, entry), entry)
        return items

    def _mapping(self, place: Place) -> Block:
        block, merged = Block(place), []
        while type(event := self._next_event()) is not yaml.MappingEndEvent:
            key, mark = self._key(event), event.start_mark
            following = self._next_event()
            entry = Place(self._source, place, key, mark.line + 1, mark.column + 1)
            mark = following.start_mark
            entry.line, entry.column = mark.line + 1, mark.column + 1
            value = self._value(following, entry)
            if key == "<<" and event.implicit[0]:
                merged.append((value, entry))
            elif key in block:
                first = block.places[key].at_key.removeprefix(f"{self._source}:")
                self._report.error(f"the key is given twice, first at {first}; remove one of them", key=entry)
            else:
                block.put(key, value, entry)
        for value, entry in merged:
            self._merge(block, value, entry)
        return block

    def _key(self, event: Any) -> str:  # noqa: ANN401 - see _value
        if type(event) is not yaml.ScalarEvent:
            raise _Unreadable("a key must be text; write it on one line, before a colon", self._where(event))
        key: str = event.value
        return key

    def _merge(self, block: Block, value: Value, entry: Place) -> None:
        """Add what a merge key brings; keys of the block itself, and of earlier ones in a list, come first."""
        for each in value if isinstance(value, Items) else (value,):
            if not isinstance(each, Block):
                self._report.error("'<<' takes a block or a list of blocks; write '<<: *name'", key=entry)
                return
            for key in each.keys() - block.keys():
                block.put(key, each[key], each.places[key])

    def _scalar(self, event: Any, place: Place) -> Value:  # noqa: ANN401 - see _value
        text: str = event.value
        is_plain = event.implicit[0] and event.tag is None
        if "${" in text and self._environ is not None:
            expansion = expand(text, self._environ)
            place.variables = expansion.names
            for name in expansion.missing:
                problem = f"the environment variable {name} is not set; set it, or write ${{{name}:-default}}"
                self._report.error(problem, value=place)
            text, is_plain = expansion.text, is_plain and expansion.is_whole and expansion.text != ""
        value = resolve_scalar(text) if is_plain else self._tagged(event, text)
        if not isinstance(value, str):
            place.text = text
        return value

    def _tagged(self, event: Any, text: str) -> Value:  # noqa: ANN401 - see _value
        if event.tag in (None, "!", "tag:yaml.org,2002:str"):
            return text
        kind = _TAGS.get(event.tag)
        value = resolve_scalar(text)
        if kind is None or type(value) is not kind:
            self._unknown_tag(event)
        return value

    def _unknown_tag(self, event: Any) -> None:  # noqa: ANN401 - see _value
        tag = event.tag.removeprefix("tag:yaml.org,2002:")
        raise _Unreadable(f"the tag {tag!r} cannot be used here; remove it", self._where(event))

    def _where(self, event: Any) -> str:  # noqa: ANN401 - see _value
        return _where(self._place, event.start_mark)


_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What may not stand in YAML (YAML 1.2.2 section 5.1)."""


def _unprintable(text: str, place: Place) -> tuple[str, str]:
    """Return the message about the first character that may not stand in YAML, and where it stands."""
    found = _UNPRINTABLE.search(text)
    at = found.start() if found is not None else 0
    position = f"{place.source}:{text.count(chr(10), 0, at) + 1}:{at - text.rfind(chr(10), 0, at)}"
    message = f"the character U+{ord(text[at]):04X} may not stand in YAML; remove it"
    return message, position if place.line else place.source


def _where(place: Place, mark: Any) -> str:  # noqa: ANN401 - of the parser, in C or in Python
    return f"{place.source}:{mark.line + 1}:{mark.column + 1}" if place.line and mark is not None else place.source


def _yaml_message(error: yaml.MarkedYAMLError) -> str:
    problem = f"not YAML: {error.problem or 'it cannot be parsed'}"
    if error.context:
        line = f" that begins in line {error.context_mark.line + 1}" if error.context_mark is not None else ""
        problem += f" {error.context}{line}"
    return f"{problem}; look at this line and the one above, at indentation, colons and quotes"
