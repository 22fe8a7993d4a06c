"""Configuration data that knows where it stands, so that a message about a value can point at it.

The data are what YAML makes of a file, plain scalars in ``Block`` (a ``dict``) and ``Items`` (a ``list``); each entry
has a ``Place`` beside it. Places travel with the entries when layers are merged, so a value that came from an
environment variable still says so afterwards. Treat blocks and items as immutable once they are made: aliases in YAML,
layers and rules share them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Block", "Items", "Place", "Value", "assign", "block_of", "dotted", "find_entry", "plain", "value_of"]

Value: TypeAlias = "Block | Items | str | int | float | bool | None"
"""A value of the configuration."""


class Place:
    """Where an entry stands.

    Attributes:
        source: The file as the operator named it, or the environment variable or flag.
        parent: The place of the block or list the entry is in; ``None`` for the whole.
        key: The entry's key, or its position in a list.
        line: Of the value, from 1; 0 where there are no lines.
        column: Of the value, from 1.
        key_line: Of the key, from 1; in a list that of the value.
        key_column: Of the key, from 1.
        text: A scalar as it is written, when it was taken for something else than text.
        variables: Names of the environment variables that were expanded in it.
    """

    __slots__ = ("column", "key", "key_column", "key_line", "line", "parent", "source", "text", "variables")

    def __init__(
        self,
        source: str,
        parent: Place | None = None,
        key: str | int = "",
        line: int = 0,
        column: int = 0,
    ) -> None:
        self.source = source
        self.parent = parent
        self.key = key
        self.line = self.key_line = line
        self.column = self.key_column = column
        self.text: str | None = None
        self.variables: tuple[str, ...] = ()

    @property
    def at_value(self) -> str:
        """The place of the value: ``file:line:column``, or the name of what has no lines."""
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source

    @property
    def at_key(self) -> str:
        """The place of the key."""
        return f"{self.source}:{self.key_line}:{self.key_column}" if self.key_line else self.source

    @property
    def keys(self) -> tuple[str | int, ...]:
        """The keys that lead here from the whole, as they are written."""
        return () if self.parent is None else (*self.parent.keys, self.key)

    @property
    def path(self) -> str:
        """The keys that lead here as people write them: ``gateway.router.rules[2].path``."""
        return dotted(self.keys)

    def below(self, *keys: str | int, source: str | None = None) -> Place:
        """Return the place, without a line, of an entry that is not written in the block that stands here.

        Args:
            keys: What leads there.
            source: Where the entry comes from instead; ``None`` means from the same file.
        """
        place = self
        for key in keys:
            place = Place(source or self.source, place, key)
        return place

    def __repr__(self) -> str:
        return f"<Place {self.at_key} {self.path}>"


def dotted(keys: Sequence[str | int]) -> str:
    """Return keys as people write them."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).removeprefix(".")


class Block(dict[str, Any]):
    """A mapping from keys to values.

    Attributes:
        place: Where it stands.
        places: Where each of its entries stands.
    """

    __slots__ = ("place", "places")

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place
        self.places: dict[str, Place] = {}

    def put(self, key: str, value: Value, place: Place) -> None:
        """Add or replace an entry; only while the block is being made."""
        self[key] = value
        self.places[key] = place

    def drop(self, key: str) -> None:
        """Remove an entry; only while the block is being made."""
        del self[key], self.places[key]

    def copy(self) -> Block:
        """Return a block of its own with the same entries."""
        copied = Block(self.place)
        copied.update(self)
        copied.places.update(self.places)
        return copied


class Items(list[Any]):
    """A list of values.

    Attributes:
        place: Where it stands.
        places: Where each of its values stands.
    """

    __slots__ = ("place", "places")

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place
        self.places: list[Place] = []

    def put(self, value: Value, place: Place) -> None:
        """Append a value; only while the list is being made."""
        self.append(value)
        self.places.append(place)

    def copy(self) -> Items:
        """Return a list of its own with the same values."""
        copied = Items(self.place)
        copied.extend(self)
        copied.places.extend(self.places)
        return copied


def plain(value: Value) -> Any:  # noqa: ANN401 - whatever the configuration holds
    """Return the value in ordinary dictionaries and lists."""
    # Scalars are told apart here, not by calling this for each of them: there may be a hundred thousand.
    if isinstance(value, dict):
        return {key: plain(entry) if isinstance(entry, Block | Items) else entry for key, entry in value.items()}
    if isinstance(value, list):
        return [plain(entry) if isinstance(entry, Block | Items) else entry for entry in value]
    return value


def block_of(data: Mapping[str, Any], place: Place) -> Block:
    """Return ordinary data as a block whose every entry has the source of ``place`` and no line."""
    block = Block(place)
    for key, value in data.items():
        entry = Place(place.source, place, key)
        block.put(key, value_of(value, entry), entry)
    return block


def value_of(value: Any, place: Place) -> Value:  # noqa: ANN401 - whatever a flag or a plugin gives
    """Return any ordinary value as one that knows its place; see ``block_of``."""
    if isinstance(value, dict):
        return block_of(value, place)
    if isinstance(value, list | tuple):
        items = Items(place)
        for position, entry in enumerate(value):
            at = Place(place.source, place, position)
            items.put(value_of(entry, at), at)
        return items
    scalar: Value = value
    return scalar


def find_entry(container: Value, key: str | int) -> tuple[Value, Place] | None:
    """Return the value and the place of an entry, or ``None`` if ``container`` has no such entry."""
    if isinstance(container, Block) and isinstance(key, str) and key in container:
        return container[key], container.places[key]
    if isinstance(container, Items) and isinstance(key, int) and 0 <= key < len(container):
        return container[key], container.places[key]
    return None


def assign(container: Block, keys: Sequence[str | int], value: Value, place: Place) -> Block:
    """Return a copy of ``container`` in which the entry that ``keys`` lead to is ``value``; missing blocks are made.

    Args:
        container: Where to begin; it is not changed.
        keys: At least one, the first of them text. A position in a list must exist.
        value: The new value.
        place: Where the new value comes from.
    """
    copied = container.copy()
    _set(copied, keys, value, place)
    return copied


def _set(copied: Block | Items, keys: Sequence[str | int], value: Value, place: Place) -> None:
    key, *rest = keys
    if rest:
        entry = find_entry(copied, key)
        inner, inner_place = entry if entry is not None else (None, Place(place.source, copied.place, key))
        inner = inner.copy() if isinstance(inner, Block | Items) else Block(inner_place)
        _set(inner, rest, value, place)
        value, place = inner, inner_place
    if isinstance(copied, Block):
        copied.put(str(key), value, place)
    else:
        copied[int(key)], copied.places[int(key)] = value, place
