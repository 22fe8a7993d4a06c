"""Fields of messages that are set from text: of paths and of queries."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Any, cast

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from google.protobuf.descriptor import Descriptor
    from google.protobuf.descriptor_pool import DescriptorPool
    from google.protobuf.message import Message

__all__ = ["FieldError", "TextField", "descriptor_of", "field_of", "is_map", "is_repeated", "is_well_known"]

MAX_FIELD_DEPTH = 10
"""How many points the name of a field in a query may have."""

_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,20}")
_NUMBER = re.compile(r"-?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?|-?Infinity|NaN")
_AS_JSON_STRING = frozenset(
    f"google.protobuf.{name}"
    for name in (
        *("Timestamp", "Duration", "FieldMask", "StringValue", "BytesValue"),
        *("Int32Value", "Int64Value", "UInt32Value", "UInt64Value", "FloatValue", "DoubleValue"),
    )
)
"""Messages whose JSON is a string, or may be one."""


class FieldError(ValueError):
    """There is no such field, or the text cannot be its value; says why, without the text."""


class TextField:
    """A field that can be set from text.

    Args:
        path: The fields that lead to it, it last.
        pool: What its messages are in.
    """

    __slots__ = ("_leaf", "_parents", "_pool", "_read", "is_repeated", "name")

    def __init__(self, path: list[FieldDescriptor], pool: DescriptorPool) -> None:
        self._parents = tuple(field.name for field in path[:-1])
        leaf = path[-1]
        self._leaf = leaf.name
        self._pool = pool
        self.name = ".".join(field.name for field in path)
        self.is_repeated = is_repeated(leaf)
        self._read = _reader(leaf)

    def set(self, message: Message, text: str) -> None:
        """Set it, or add to it if it takes many.

        Raises:
            FieldError: If ``text`` cannot be its value.
        """
        for name in self._parents:
            message = getattr(message, name)
        try:
            if self._read is None:
                self._set_message(message, text)
            elif self.is_repeated:
                getattr(message, self._leaf).append(self._read(text))
            else:
                setattr(message, self._leaf, self._read(text))
        except (ValueError, TypeError, OverflowError, json_format.ParseError) as error:
            msg = f"{self.name!r} cannot have this value"
            raise FieldError(msg) from error

    def _set_message(self, message: Message, text: str) -> None:
        target: Message = getattr(message, self._leaf).add() if self.is_repeated else getattr(message, self._leaf)
        value: Any = _truth(text) if target.DESCRIPTOR.full_name == "google.protobuf.BoolValue" else text
        json_format.ParseDict(value, target, descriptor_pool=self._pool)
        if not self.is_repeated:
            target.SetInParent()


def field_of(descriptor: Descriptor, path: str, pool: DescriptorPool) -> TextField:
    """Return the field that ``path`` leads to.

    Args:
        descriptor: Of the message it begins in.
        path: Names, of the descriptor or of JSON, joined by points.
        pool: What the messages are in.

    Raises:
        FieldError: If there is none, or it cannot be set from text.
    """
    names = path.split(".")
    found: list[FieldDescriptor] = []
    here: Descriptor | None = descriptor
    for name in names[: MAX_FIELD_DEPTH + 1]:
        if here is None or (found and is_repeated(found[-1])):
            msg = f"{'.'.join(field.name for field in found)!r} has no fields that could be set here"
            raise FieldError(msg)
        field = here.fields_by_name.get(name) or here.fields_by_camelcase_name.get(name) or _by_json_name(here, name)
        if field is None:
            msg = f"{here.full_name} has no field {name[:64]!r}"
            raise FieldError(msg)
        found.append(field)
        here = field.message_type
    if len(names) > MAX_FIELD_DEPTH:
        msg = f"a field may lie {MAX_FIELD_DEPTH} messages deep"
        raise FieldError(msg)
    if here is not None and here.full_name not in _AS_JSON_STRING and here.full_name != "google.protobuf.BoolValue":
        msg = f"{path!r} is a whole message, which cannot be set here"
        raise FieldError(msg)
    return TextField(found, pool)


def descriptor_of(message: Message | type[Message]) -> Descriptor:
    """Return the descriptor of a message, or of its class."""
    return cast("Descriptor", message.DESCRIPTOR)  # its stubs have another class for each implementation


def is_repeated(field: FieldDescriptor) -> bool:
    """Tell whether a field takes many values."""
    return bool(field.is_repeated)


def is_map(field: FieldDescriptor) -> bool:
    """Tell whether a field is a map."""
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def is_well_known(descriptor: Descriptor) -> bool:
    """Tell whether messages of a type may have a JSON of their own."""
    return descriptor.full_name.startswith("google.protobuf.")


def _by_json_name(descriptor: Descriptor, name: str) -> FieldDescriptor | None:
    return next((field for field in descriptor.fields if field.json_name == name), None)


def _truth(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(text)
    return text == "true"


def _whole(text: str) -> int:
    if not _WHOLE_NUMBER.fullmatch(text):
        raise ValueError(text)
    return int(text)


def _real(text: str) -> float:
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    return float(text)


def _bytes(text: str) -> bytes:
    padded = text.translate({ord("-"): "+", ord("_"): "/"}).rstrip("=")
    try:
        return base64.b64decode(padded + "=" * (-len(padded) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError(text) from error


_READERS: Mapping[int, Callable[[str], Any]] = {
    FieldDescriptor.CPPTYPE_INT32: _whole,
    FieldDescriptor.CPPTYPE_INT64: _whole,
    FieldDescriptor.CPPTYPE_UINT32: _whole,
    FieldDescriptor.CPPTYPE_UINT64: _whole,
    FieldDescriptor.CPPTYPE_DOUBLE: _real,
    FieldDescriptor.CPPTYPE_FLOAT: _real,
    FieldDescriptor.CPPTYPE_BOOL: _truth,
    FieldDescriptor.CPPTYPE_STRING: str,
}


def _reader(field: FieldDescriptor) -> Callable[[str], Any] | None:
    """Return what makes a value of text; ``None`` for messages."""
    if field.message_type is not None:
        return None
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _bytes
    enum = field.enum_type
    if enum is None:
        return _READERS[field.cpp_type]

    def number_of(text: str) -> int:
        value = enum.values_by_name.get(text)
        return _whole(text) if value is None else int(value.number)

    return number_of
