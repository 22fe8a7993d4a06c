"""What a configuration model says of its fields, those of the models in it included."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, get_args, get_origin

from pydantic import BaseModel, SecretBytes, SecretStr

from gateway.config.mask import looks_secret
from gateway.units import Milliseconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pydantic.fields import FieldInfo

__all__ = ["MIN_SECRET_LENGTH", "has_milliseconds", "secrets_of", "undescribed_fields", "unmasked_fields"]

MIN_SECRET_LENGTH = 4
"""Shorter ones stand in anything."""

_MILLISECONDS = get_args(Milliseconds)[1]


def undescribed_fields(model: type[BaseModel]) -> list[str]:
    """Return the fields without a description, as ``Model.field``."""
    return [f"{owner.__name__}.{name}" for owner, name, field in _fields(model) if not field.description]


def unmasked_fields(model: type[BaseModel]) -> list[str]:
    """Return the fields that are called like secrets and are plain text."""
    return [
        f"{owner.__name__}.{name}"
        for owner, name, field in _fields(model)
        if looks_secret(field.alias or name) and _is_plain(field.annotation)
    ]


def _is_plain(annotation: Any) -> bool:  # noqa: ANN401 - any annotation
    """Return whether a field holds text as it is, or several of them; the keys of a mapping are names."""
    inner = get_args(annotation)
    if isinstance(get_origin(annotation), type) and issubclass(get_origin(annotation), Mapping):
        inner = inner[1:]
    return annotation in (str, bytes) or any(map(_is_plain, inner))


def has_milliseconds(model: type[BaseModel]) -> bool:
    """Say whether bare numbers mean milliseconds somewhere in it, which are kept as seconds."""
    return any(
        _MILLISECONDS in field.metadata or _mentions(field.annotation, _MILLISECONDS) for _, _, field in _fields(model)
    )


def secrets_of(value: object) -> Iterator[str]:
    """Yield the secrets in a configuration that are long enough to be found again."""
    if isinstance(value, SecretStr | SecretBytes):
        secret = value.get_secret_value()
        text = secret if isinstance(secret, str) else secret.decode("latin-1")
        if len(text) >= MIN_SECRET_LENGTH:
            yield text
    for entry in _entries(value):
        yield from secrets_of(entry)


def _entries(value: object) -> Iterable[object]:
    if isinstance(value, BaseModel):
        return vars(value).values()
    if isinstance(value, Mapping):
        return value.values()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [getattr(value, field.name) for field in dataclasses.fields(value)]
    return value if isinstance(value, Sequence | AbstractSet) and not isinstance(value, str | bytes) else ()


def _fields(model: type[BaseModel]) -> Iterator[tuple[type[BaseModel], str, FieldInfo]]:
    """Yield every field with the model it belongs to."""
    waiting, seen = [model], {model}
    while waiting:
        owner = waiting.pop()
        owner.model_rebuild()
        for name, field in owner.model_fields.items():
            yield owner, name, field
            for inner in _models_in(field.annotation):
                if inner not in seen:
                    seen.add(inner)
                    waiting.append(inner)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:  # noqa: ANN401 - any annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


def _mentions(annotation: Any, marker: object) -> bool:  # noqa: ANN401 - any annotation
    return any(inner is marker or _mentions(inner, marker) for inner in get_args(annotation))
