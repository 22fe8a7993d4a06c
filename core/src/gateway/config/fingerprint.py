"""Telling equal configurations from different ones, by value and type."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from pydantic import BaseModel

__all__ = ["fingerprint"]


def fingerprint(value: object) -> Hashable:
    """Return something hashable that equals that of another value only if both mean the same.

    Unlike ``==`` it tells ``1`` from ``True`` and ``1.0``, and the order of keys counts: a plugin may go by it.
    """
    if isinstance(value, BaseModel):
        return type(value), *((name, fingerprint(entry)) for name, entry in vars(value).items())
    if isinstance(value, Mapping):
        return type(value), *((fingerprint(key), fingerprint(entry)) for key, entry in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return type(value), *map(fingerprint, value)
    if isinstance(value, AbstractSet):
        return type(value), frozenset(map(fingerprint, value))
    try:
        hash(value)
    except TypeError:
        return type(value), _Itself(value)
    return type(value), value


class _Itself:
    """Stands for a value that can only be compared by identity, and keeps it alive so that no other gets its ``id``."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and self._value is other._value

    def __hash__(self) -> int:
        return id(self._value)
