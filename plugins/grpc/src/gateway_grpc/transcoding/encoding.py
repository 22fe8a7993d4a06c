"""Values for JSON from messages, by functions that are made once for each type of message.

As in ``decoding``: what is common is done here, and the rest by ``google.protobuf.json_format``.
"""

from __future__ import annotations

import base64
import math
import struct
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor

from gateway_grpc.transcoding.fields import descriptor_of, is_map, is_repeated, is_well_known

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.descriptor import Descriptor, EnumDescriptor
    from google.protobuf.descriptor_pool import DescriptorPool
    from google.protobuf.message import Message

    from gateway_grpc.config import PrintOptionsConfig

    Convert = Callable[[Any], Any]
    """Makes of the value of a field one for JSON."""

__all__ = ["Encoder"]

_FLOAT = struct.Struct("f")
_AS_TEXT = frozenset({FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64})
"""Numbers of 64 bits, which JavaScript cannot have."""


class Encoder:
    """Makes values for JSON of messages.

    Args:
        pool: What the messages are in.
        options: How.
    """

    def __init__(self, pool: DescriptorPool, options: PrintOptionsConfig) -> None:
        self._options: dict[str, Any] = {
            "always_print_fields_with_no_presence": options.always_print_primitive_fields,
            "preserving_proto_field_name": options.preserve_proto_field_names,
            "use_integers_for_enums": options.always_print_enums_as_ints,
            "descriptor_pool": pool,
        }
        self._keeps_names = options.preserve_proto_field_names
        self._has_enum_names = not options.always_print_enums_as_ints
        self._is_slow = options.always_print_primitive_fields
        # By full name: all types of any answer, of which there are only so many in the descriptors.
        self._types: dict[str, dict[FieldDescriptor, tuple[str, Convert]] | None] = {}

    def encode(self, message: Message) -> Any:  # noqa: ANN401 - whatever it is in JSON
        """Return the value of a message.

        Raises:
            ValueError: If it has none.
            TypeError: If an ``Any`` in it is of a type that the descriptors do not have.
        """
        descriptor = message.DESCRIPTOR
        try:
            fields = self._types[descriptor.full_name]
        except KeyError:
            fields = self._types[descriptor.full_name] = self._fields(descriptor_of(message))
        if fields is not None:
            try:
                return {
                    name: convert(value) for field, value in message.ListFields() for name, convert in (fields[field],)
                }
            except KeyError:
                pass  # an extension, say
        return self._slowly(message)

    def encode_field(self, message: Message, field: FieldDescriptor) -> Any:  # noqa: ANN401 - see encode
        """Return the value of a field of a message, also if it has its default."""
        return self._convert(field)(getattr(message, field.name))

    def _slowly(self, message: Message) -> Any:  # noqa: ANN401 - see encode
        return json_format.MessageToDict(message, **self._options)

    def _fields(self, descriptor: Descriptor) -> dict[FieldDescriptor, tuple[str, Convert]] | None:
        """Return how the fields of a type are called and made; ``None`` if that is left to the library."""
        if self._is_slow or is_well_known(descriptor) or any(map(is_map, descriptor.fields)):
            return None
        return {
            field: (field.name if self._keeps_names else field.json_name, self._convert(field))
            for field in descriptor.fields
        }

    def _convert(self, field: FieldDescriptor) -> Convert:
        if is_map(field) and field.message_type is not None:
            of_value = self._convert_one(field.message_type.fields_by_name["value"])
            return lambda values: {_key(key): of_value(each) for key, each in values.items()}
        convert = self._convert_one(field)
        if not is_repeated(field):
            return convert
        return lambda values: [convert(value) for value in values]

    def _convert_one(self, field: FieldDescriptor) -> Convert:
        if field.message_type is not None:
            return self.encode
        if field.enum_type is not None:
            return self._enum(field.enum_type)
        if field.type == FieldDescriptor.TYPE_BYTES:
            return lambda value: base64.b64encode(value).decode("ascii")
        if field.cpp_type in _AS_TEXT:
            return str
        if field.cpp_type == FieldDescriptor.CPPTYPE_DOUBLE:
            return _real
        if field.cpp_type == FieldDescriptor.CPPTYPE_FLOAT:
            return _short_real
        return _same

    def _enum(self, enum: EnumDescriptor) -> Convert:
        names = {value.number: value.name for value in reversed(enum.values)}
        if enum.full_name == "google.protobuf.NullValue":
            return lambda value: None
        if not self._has_enum_names:
            return _same
        return lambda value: names.get(value, value)


def _same(value: Any) -> Any:  # noqa: ANN401 - whatever it is
    return value


def _key(value: object) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _real(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _short_real(value: float) -> float | str:
    """Return the shortest number that is the same in 32 bits: 0.1, not 0.10000000149011612."""
    if not math.isfinite(value):
        return _real(value)
    for digits in (6, 7, 8):
        short = float(f"{value:.{digits}g}")
        if _in_32_bits(short) == value:
            return short
    return float(f"{value:.9g}")


def _in_32_bits(value: float) -> float:
    return float(_FLOAT.unpack(_FLOAT.pack(value))[0])
