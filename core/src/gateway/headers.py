"""Header fields: a list of byte pairs with a small class around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Headers"]


class Headers:
    """The fields of a message, in order, names in lower case (RFC 9110 section 5).

    Protocol plugins work on ``pairs`` directly; everybody else uses text. Names are matched without regard to case.
    Not safe for concurrent change; one exchange owns it.

    Args:
        pairs: The fields as ``(lower-case name, value)`` in bytes; the list is used as it is, not copied.
    """

    __slots__ = ("pairs",)

    def __init__(self, pairs: list[tuple[bytes, bytes]] | None = None) -> None:
        self.pairs = pairs if pairs is not None else []

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
        for key, value in self.pairs:
            if key == wanted:
                return value.decode("latin-1")
        return default

    def get_all(self, name: str) -> list[str]:
        """Return every value of ``name`` in order."""
        wanted = _key(name)
        return [value.decode("latin-1") for key, value in self.pairs if key == wanted]

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
        return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self.pairs]

    def copy(self) -> Headers:
        """Return headers with the same fields that can be changed on their own."""
        return Headers(self.pairs.copy())

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
        return (name.decode("latin-1") for name, _ in self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self.pairs == other.pairs

    __hash__ = None  # type: ignore[assignment]  # mutable, as list is

    def __repr__(self) -> str:
        # Names only: values hold credentials, and a repr ends up in tracebacks.
        return f"<Headers {list(self)}>"


_TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")


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
    if b"\r" in raw_value or b"\n" in raw_value or b"\0" in raw_value:
        msg = f"the value of header {name!r} holds a line break or NUL, which would split the message"
        raise ValueError(msg)
    return raw_name, raw_value
