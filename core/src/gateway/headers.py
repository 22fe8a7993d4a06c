"""Header fields: a list of byte pairs with a small class around it.

Most messages of a connection bring the fields of the one before, and most fields pass through untouched. So a protocol
plugin may give a message a ``Section``, which all that brought the same fields share; a list of its own is made for it
when somebody asks for ``pairs``. What the gateway adds to nearly every message stands behind the section, as lines that
a connection only has to write.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

__all__ = ["Headers", "Section"]

Pair = tuple[bytes, bytes]

MAX_KEPT = 32
"""What is kept with a section; a request meets a few that keep something."""

_name = itemgetter(0)
_line: Callable[[Pair], bytes] = b": ".join


class Section:
    """Fields as they arrived, in order. Shared, so never changed.

    Args:
        pairs: The fields as ``(lower-case name, value)``.

    Attributes:
        pairs: As given.
        values: The first value of each name.
        block: The fields as lines of an HTTP/1.1 head, each with its end.
        memo: What ``keep`` was given, by its key.
    """

    __slots__ = ("block", "memo", "pairs", "values")

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self.pairs = pairs
        self.values = dict(reversed(pairs))
        self.block = _lines(pairs)
        self.memo: dict[object, Any] = {}

    def keep(self, key: object, value: object) -> None:
        """Keep what follows from these fields alone in ``memo``, as long as the section lives.

        That is usually as long as a connection sends the same fields; with too many it begins anew, since a connection
        may outlive any number of configurations.

        Args:
            key: Whoever worked it out, usually.
            value: What it was. Neither may refer to the section.
        """
        if len(self.memo) >= MAX_KEPT:
            self.memo.clear()
        self.memo[key] = value

    def only(self, name: bytes) -> bytes | None:
        """Return the value of the only field ``name``; see ``Headers.only``."""
        values = self.values
        return values.get(name) if len(values) == len(self.pairs) else _only(self.pairs, name)

    def among(self, names: frozenset[bytes]) -> AbstractSet[bytes]:
        """Return those of ``names`` that fields have; the answer is kept, so ``names`` are always the same."""
        found = self.memo.get(names)
        if found is None:
            found = names.intersection(self.values)
            self.keep(names, found)
        return found

    def without(self, names: frozenset[bytes]) -> Section:
        """Return the section of the fields that have none of ``names``, which are always the same; it is kept."""
        if not self.among(names):
            return self  # and not kept: a cycle would stay until the garbage collector comes
        key = "without", names
        rest: Section | None = self.memo.get(key)
        if rest is None:
            rest = Section([pair for pair in self.pairs if pair[0] not in names])
            self.keep(key, rest)
        return rest


class Headers:
    """The fields of a message, in order, names in lower case (RFC 9110 section 5).

    Protocol plugins work on ``pairs`` directly; everybody else uses text. Names are matched without regard to case.
    Not safe for concurrent change; one exchange owns it.

    Args:
        pairs: The fields as ``(lower-case name, value)`` in bytes; the list is used as it is, not copied.

    Attributes:
        section: The fields as they arrived, until somebody asks for ``pairs``; then ``None``.
        lines: With a section, the fields behind it, as lines of an HTTP/1.1 head: see ``extend_lines``.
        line_names: The names in ``lines``, if there are any.
    """

    __slots__ = ("_pairs", "line_names", "lines", "section")

    section: Section | None
    lines: bytes
    line_names: frozenset[bytes]

    def __init__(self, pairs: list[Pair] | None = None) -> None:
        self._pairs = pairs if pairs is not None else []
        self.section = None
        self.lines = b""

    @classmethod
    def shared(cls, section: Section) -> Headers:
        """Make headers with the fields of a section."""
        headers = cls.__new__(cls)
        headers.section = section
        headers.lines = b""
        return headers

    @property
    def pairs(self) -> list[Pair]:
        """The fields, to be read and changed. Where reading is enough, the methods spare a message its own list."""
        if self.section is not None:
            self.pairs = [*self.view()]
        return self._pairs

    @pairs.setter
    def pairs(self, pairs: list[Pair]) -> None:
        self._pairs = pairs
        self.section = None
        self.lines = b""

    # Bytes, for protocol plugins and for what is on the hot path. Names are in lower case.

    def view(self) -> Sequence[Pair]:
        """Return the fields to be read: unlike ``pairs``, that spares a message its own list."""
        section = self.section
        if section is None:
            return self._pairs
        return (*section.pairs, *_pairs(self.lines)) if self.lines else section.pairs

    def values(self) -> Mapping[bytes, bytes]:
        """Return the first value of each name, for whoever wants to read several."""
        section = self.section
        if section is None:
            return dict(reversed(self._pairs))
        return {**dict(reversed(_pairs(self.lines))), **section.values} if self.lines else section.values

    def only(self, name: bytes) -> bytes | None:
        """Return the value of the only field ``name``; ``None`` if there is none.

        Raises:
            ValueError: If there are several, which can be read in two ways.
        """
        section = self.section
        if section is None or (self.lines and name in self.line_names):
            return _only(self.view(), name)
        return section.only(name)

    def names_among(self, names: frozenset[bytes]) -> AbstractSet[bytes]:
        """Return those of ``names`` that fields have; ask with a constant, since a section keeps its answers."""
        section = self.section
        if section is None:
            return names.intersection(map(_name, self._pairs))
        found = section.among(names)
        return found | (names & self.line_names) if self.lines else found

    def has_any(self, names: frozenset[bytes]) -> bool:
        """Tell whether there is a field with one of ``names``; ask with a constant, as above."""
        section = self.section
        if section is None:
            return not names.isdisjoint(map(_name, self._pairs))
        return bool(section.among(names)) or bool(self.lines and names & self.line_names)

    def section_of(self, names: frozenset[bytes]) -> Section | None:
        """Return the section if it alone says what the fields with ``names`` are: what follows may be kept with it."""
        section = self.section
        return None if section is not None and self.lines and names & self.line_names else section

    def extend(self, pairs: Iterable[Pair]) -> None:
        """Append fields that are known to be in order."""
        if self.section is None:
            self._pairs += pairs
        else:
            self.pairs = [*self.view(), *pairs]

    def extend_lines(self, names: frozenset[bytes], lines: bytes) -> None:
        """Append fields that are known to be in order, written as lines of an HTTP/1.1 head.

        A section stays as it is, with what is remembered of it: the lines stand behind it.

        Args:
            names: Their names, in lower case.
            lines: ``name: value`` and CRLF, each.
        """
        if self.section is None:
            self._pairs += _pairs(lines)
        elif self.lines:
            self.lines += lines
            self.line_names |= names
        else:
            self.lines = lines
            self.line_names = names

    def drop(self, names: frozenset[bytes]) -> None:
        """Remove every field with one of ``names``; ask with a constant, as above."""
        section = self.section
        if section is None or (self.lines and names & self.line_names):
            # In place: a protocol plugin may hold the same list.
            self.pairs[:] = [pair for pair in self.pairs if pair[0] not in names]
        else:
            self.section = section.without(names)

    def block(self) -> bytes:
        """Return the fields as lines of an HTTP/1.1 head, each with its end."""
        section = self.section
        return section.block + self.lines if section is not None else _lines(self._pairs)

    # Text.

    @classmethod
    def of(cls, fields: Iterable[tuple[str, str]]) -> Headers:
        """Make headers from text pairs.

        Raises:
            ValueError: If a name or value holds a character that a field cannot carry.
        """
        headers = cls()
        for name, value in fields:
            headers.add(name, value)
        return headers

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the first value of ``name``, or ``default``."""
        wanted = _key(name)
        for key, value in self.view():
            if key == wanted:
                return value.decode("latin-1")
        return default

    def get_all(self, name: str) -> list[str]:
        """Return every value of ``name`` in order."""
        wanted = _key(name)
        return [value.decode("latin-1") for key, value in self.view() if key == wanted]

    def add(self, name: str, value: str) -> None:
        """Append a field, keeping others of that name.

        Raises:
            ValueError: If the name is not a token, or the value is not Latin-1 or holds CR, LF or NUL (RFC 9110
                section 5.5).
        """
        self.pairs.append(_encode(name, value))

    def set(self, name: str, value: str) -> None:
        """Replace every field of that name by one.

        Raises:
            ValueError: As for ``add``.
        """
        pair = _encode(name, value)
        self.remove(name)
        self.pairs.append(pair)

    def remove(self, name: str) -> None:
        """Drop every field of that name; none is not an error."""
        wanted = _key(name)
        # In place: a protocol plugin may hold the same list.
        self.pairs[:] = [pair for pair in self.pairs if pair[0] != wanted]

    def items(self) -> list[tuple[str, str]]:
        """Return the fields as text pairs, in order."""
        return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self.view()]

    def copy(self) -> Headers:
        """Return headers with the same fields that can be changed on their own."""
        if self.section is None:
            return Headers([*self._pairs])
        headers = Headers.shared(self.section)
        if self.lines:
            headers.extend_lines(self.line_names, self.lines)
        return headers

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __setitem__(self, name: str, value: str) -> None:
        self.set(name, value)

    def __delitem__(self, name: str) -> None:
        self.remove(name)

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name, _ in self.view())

    def __len__(self) -> int:
        return len(self.view())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and [*self.view()] == [*other.view()]

    __hash__ = None  # type: ignore[assignment]  # mutable, as list is

    def __repr__(self) -> str:
        # Names only: values hold credentials, and a repr ends up in tracebacks.
        return f"<Headers {list(self)}>"


_TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")


def _lines(pairs: Iterable[Pair]) -> bytes:
    return b"\r\n".join([*map(_line, pairs), b""])


def _only(pairs: Iterable[Pair], name: bytes) -> bytes | None:
    found = [value for key, value in pairs if key == name]
    if len(found) > 1:
        msg = f"the field {name.decode('latin-1')!r} is there twice"
        raise ValueError(msg)
    return found[0] if found else None


def _pairs(lines: bytes) -> list[Pair]:
    cut = (line.partition(b": ") for line in lines.split(b"\r\n")[:-1])
    return [(name, value) for name, _, value in cut]


def _key(name: str) -> bytes:
    # What is not Latin-1 becomes '?', which no field's name holds.
    return name.lower().encode("latin-1", "replace")


def _encode(name: str, value: str) -> tuple[bytes, bytes]:
    raw_name = _key(name)
    if not raw_name or not _TOKEN.issuperset(raw_name):
        msg = f"{name!r} is not a header name; use letters, digits and hyphens"
        raise ValueError(msg)
    try:
        raw_value = value.encode("latin-1")
    except UnicodeEncodeError:
        msg = f"the value of header {name!r} holds a character outside Latin-1; percent-encode it"
        raise ValueError(msg) from None
    if "\r" in value or "\n" in value or "\0" in value:  # in bytes, CPython 3.11 takes ten times as long to look
        msg = f"the value of header {name!r} holds a line break or NUL, which would split the message"
        raise ValueError(msg)
    return raw_name, raw_value
