"""What keys may stand where, told from pydantic models: for suggestions, environment variables and masking."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, Secret, SecretBytes, SecretStr

from gateway.pluginhost.check import model_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["NOTHING", "Shape"]


class Shape:
    """What may stand at one place of the configuration; worked out as far as somebody asks.

    Args:
        annotations: Types of the value, as a model declares them; several if several offers read the same block.
        blocks: Returns keys that are there beside those of the models, with what may stand under them.
        entries: What may stand in the list that stands here.
    """

    def __init__(
        self,
        *annotations: object,
        blocks: Callable[[], Mapping[str, Shape]] = dict,
        entries: Shape | None = None,
    ) -> None:
        self._annotations = annotations
        self._blocks = blocks
        self._entries = entries

    @classmethod
    def of_all(cls, shapes: Iterable[Shape], *, blocks: Callable[[], Mapping[str, Shape]] = dict) -> Shape:
        """Return the shape of what may be any of ``shapes``, with further keys."""
        return cls(*(kind for shape in shapes for kind in shape.types), blocks=blocks)

    @cached_property
    def types(self) -> tuple[Any, ...]:
        """The types, one by one."""
        return tuple(kind for annotation in self._annotations for kind in _flatten(annotation))

    @cached_property
    def keys(self) -> Mapping[str, Shape]:
        """The keys that are known to stand here."""
        found: dict[str, list[Any]] = {}
        for model in filter(_is_model, self.types):
            for key, name in model_keys(model).items():
                found.setdefault(key, []).append(model.model_fields[name].annotation)
        return {key: Shape(*annotations) for key, annotations in found.items()} | dict(self._blocks())

    @cached_property
    def entries(self) -> Shape | None:
        """What may stand under any other key, and in a list; ``None`` if there are no such entries."""
        if self._entries is not None:
            return self._entries
        annotations = [get_args(kind)[-1 if _is_mapping(kind) else 0] for kind in self.types if get_args(kind)]
        is_open = any(_is_mapping(kind) or _is_list(kind) for kind in self.types)
        return Shape(*annotations) if is_open else None

    @property
    def is_list(self) -> bool:
        """Whether a list may stand here, and no single text."""
        return any(map(_is_list, self.types)) and str not in self.types

    @property
    def is_text(self) -> bool:
        """Whether nothing but text may stand here."""
        return bool(self.types) and all(kind in (str, SecretStr, types.NoneType) for kind in self.types)

    @property
    def is_mapping(self) -> bool:
        """Whether keys that nobody knows beforehand may stand here."""
        return any(map(_is_mapping, self.types))

    @property
    def is_secret(self) -> bool:
        """Whether what stands here must never be shown."""
        return any((get_origin(kind) or kind) in (SecretStr, SecretBytes, Secret) for kind in self.types)

    def below(self, key: str | int) -> Shape:
        """Return what may stand under ``key``; a shape without keys if it is unknown."""
        known = self.keys.get(key) if isinstance(key, str) else None
        return known or self.entries or NOTHING

    def at(self, keys: Iterable[str | int]) -> Shape:
        """Return what may stand where ``keys`` lead."""
        shape = self
        for key in keys:
            shape = shape.below(key)
        return shape


NOTHING = Shape()
"""Of a key that nobody knows."""


def _flatten(annotation: Any) -> Iterator[object]:  # noqa: ANN401 - annotations have no type of their own
    """Yield the types that an annotation allows one of."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _flatten(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for each in get_args(annotation):
            yield from _flatten(each)
    elif hasattr(annotation, "__value__"):  # ``type X = ...``
        yield from _flatten(annotation.__value__)
    else:
        yield annotation


def _is_model(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _is_mapping(kind: object) -> bool:
    return _is_kind_of(kind, Mapping)


def _is_list(kind: object) -> bool:
    return _is_kind_of(kind, Sequence | AbstractSet) and not _is_kind_of(kind, str | bytes)


def _is_kind_of(kind: object, base: type | types.UnionType) -> bool:
    origin = get_origin(kind) or kind
    return isinstance(origin, type) and issubclass(origin, base)
