"""Messages from values of JSON, by functions that are made once for each type of message.

What is common is done here, four times as fast as by ``google.protobuf.json_format``; that does the rest, field by
field: well-known types, maps, bytes, and whatever is wrong, so that what is accepted and what is said are its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor

from gateway_grpc.transcoding.fields import descriptor_of, is_map, is_repeated, is_well_known

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from google.protobuf.descriptor import Descriptor
    from google.protobuf.descriptor_pool import DescriptorPool
    from google.protobuf.message import Message

    Set = Callable[[Message, Any, int], None]
    """Sets a field of a message to a value; the number says how deep it is."""

__all__ = ["Decoder", "NotAMessage"]

MAX_INT64_DIGITS = 20
MAX_NAME_LENGTH = 64


class NotAMessage(ValueError):
    """A value that is no message of the type; says why, and names the field."""


class Decoder:
    """Makes messages of values.

    Args:
        pool: What the messages are in.
        ignores_unknown: Whether what a message does not have is left out.
        max_depth: How deep messages may lie in each other.
    """

    def __init__(self, pool: DescriptorPool, *, ignores_unknown: bool, max_depth: int) -> None:
        self._pool = pool
        self._ignores_unknown = ignores_unknown
        self._max_depth = max_depth
        # By full name: all types that any request needed, of which there are only so many in the descriptors.
        self._types: dict[str, _Type] = {}

    def decode(self, value: Any, message: Message, depth: int = 1) -> None:  # noqa: ANN401 - whatever JSON has
        """Fill a message.

        Args:
            value: What ``json.loads`` returned.
            message: The message; what is in it stays, unless ``value`` says otherwise.
            depth: How deep it lies in others.

        Raises:
            NotAMessage: If the value is none of its type.
        """
        name = message.DESCRIPTOR.full_name
        known = self._types.get(name)
        if known is None:
            known = self._types[name] = _Type(descriptor_of(message), self)
        if known.is_well_known:
            self._slowly(value, message)
            return
        if type(value) is not dict:
            msg = f"this is no {name}, which is an object in JSON"
            raise NotAMessage(msg)
        if depth > self._max_depth:
            msg = f"it is nested too deep: more than {self._max_depth} messages lie in each other"
            raise NotAMessage(msg)
        self._set_fields(known, value, message, depth)
        if known.twins:
            known.check_twins(value)

    def _set_fields(self, known: _Type, value: dict[str, Any], message: Message, depth: int) -> None:
        setters = known.setters
        if known.has_choices and len(value) > 1:
            known.check_choices(value)
        for name, each in value.items():
            setter = setters.get(name)
            if setter is None:
                self._unknown(name, each, message)
                continue
            try:
                setter(message, each, depth)
            except (ValueError, TypeError, OverflowError, KeyError) as error:
                if isinstance(error, NotAMessage):
                    raise
                self._slowly({name: each}, message)

    def decode_field(self, field: FieldDescriptor, value: Any, message: Message) -> None:  # noqa: ANN401 - see decode
        """Set one field of a message.

        Raises:
            NotAMessage: If the value is none of its type.
        """
        self.decode({field.json_name: value}, message)

    def _unknown(self, name: str, value: object, message: Message) -> None:
        if name.startswith("["):  # an extension
            self._slowly({name: value}, message)
        elif not self._ignores_unknown:
            msg = f"{message.DESCRIPTOR.full_name} has no field {name[:MAX_NAME_LENGTH]!r}"
            raise NotAMessage(msg)

    def _slowly(self, value: Any, message: Message) -> None:  # noqa: ANN401 - see decode
        """Fill a message, or one field of it, by the library."""
        try:
            json_format.ParseDict(
                value,
                message,
                ignore_unknown_fields=self._ignores_unknown,
                descriptor_pool=self._pool,
                max_recursion_depth=self._max_depth,
            )
        except json_format.ParseError as error:
            raise NotAMessage(_first_line(error)) from error
        except RecursionError as error:
            raise NotAMessage("it is nested too deep") from error
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            # It trusts that what should be an object is one.
            msg = f"this is no {message.DESCRIPTOR.full_name}"
            raise NotAMessage(msg) from error

    # What sets a field.

    def setter(self, field: FieldDescriptor) -> Set:
        """Return what sets ``field``."""
        name = field.name
        descriptor = field.message_type
        if is_map(field) or field.type == FieldDescriptor.TYPE_BYTES or (descriptor and is_well_known(descriptor)):
            return self._by_library(field)
        if descriptor is not None:
            return self._add_messages(field) if is_repeated(field) else self._set_message(field)
        check = _checker(field)
        return _add_scalars(name, check) if is_repeated(field) else _set_scalar(name, check)

    def _by_library(self, field: FieldDescriptor) -> Set:
        name = field.json_name

        def set_field(message: Message, value: object, depth: int) -> None:
            self._slowly({name: value}, message)

        return set_field

    def _set_message(self, field: FieldDescriptor) -> Set:
        name = field.name

        def set_field(message: Message, value: object, depth: int) -> None:
            if value is None:
                raise TypeError(name)
            _check_object(field, value)
            inner = getattr(message, name)
            inner.SetInParent()
            self.decode(value, inner, depth + 1)

        return set_field

    def _add_messages(self, field: FieldDescriptor) -> Set:
        name = field.name

        def set_field(message: Message, value: object, depth: int) -> None:
            if type(value) is not list:
                raise TypeError(name)
            messages = getattr(message, name)
            for each in value:
                _check_object(field, each)
                self.decode(each, messages.add(), depth + 1)

        return set_field


def _check_object(field: FieldDescriptor, value: object) -> None:
    """Refuse what the library would take for an empty message, such as an empty list."""
    if type(value) is not dict:
        type_name = field.message_type.full_name if field.message_type is not None else ""
        msg = f"{field.json_name!r} is no {type_name}, which is an object in JSON"
        raise NotAMessage(msg)


class _Type:
    """A type of messages.

    Attributes:
        setters: By the name in JSON and that in the descriptor, what sets a field.
        twins: Names in the descriptor that differ from those in JSON, with these.
        has_choices: Whether some of its fields exclude each other.
        is_well_known: Whether its JSON is left to the library.
    """

    __slots__ = ("_choices", "_name", "has_choices", "is_well_known", "setters", "twins")

    def __init__(self, descriptor: Descriptor, decoder: Decoder) -> None:
        self._name = descriptor.full_name
        self.is_well_known = is_well_known(descriptor)
        self.setters: dict[str, Set] = {}
        self.twins: dict[str, str] = {}
        self._choices: dict[str, str] = {}
        for field in descriptor.fields:
            setter = decoder.setter(field)
            for name in (field.name, field.json_name):
                self.setters[name] = setter
                if field.containing_oneof is not None and len(field.containing_oneof.fields) > 1:
                    self._choices[name] = field.containing_oneof.name
            if field.name != field.json_name:
                self.twins[field.name] = field.json_name
        self.has_choices = bool(self._choices)

    def check_twins(self, value: Mapping[str, object]) -> None:
        """Refuse a field that is there under both its names."""
        for name in value:
            if name in self.twins and self.twins[name] in value:
                msg = f"{self._name} has {name!r} twice, once as {self.twins[name]!r}"
                raise NotAMessage(msg)

    def check_choices(self, value: Mapping[str, object]) -> None:
        """Refuse fields that exclude each other."""
        seen: set[str] = set()
        for name, each in value.items():
            choice = self._choices.get(name)
            if choice is None or each is None:
                continue
            if choice in seen:
                msg = f"{self._name} has more than one field of {choice!r}"
                raise NotAMessage(msg)
            seen.add(choice)


def _set_scalar(name: str, check: Callable[[Any], Any]) -> Set:
    def set_field(message: Message, value: object, depth: int) -> None:
        setattr(message, name, check(value))

    return set_field


def _add_scalars(name: str, check: Callable[[Any], Any]) -> Set:
    def set_field(message: Message, value: object, depth: int) -> None:
        if type(value) is not list:
            raise TypeError(name)
        getattr(message, name).extend([check(each) for each in value])

    return set_field


def _checker(field: FieldDescriptor) -> Callable[[Any], Any]:
    """Return what makes a value for a field of one in JSON; it raises for all that is left to the library."""
    kind = field.cpp_type
    if field.enum_type is not None:
        return {value.name: value.number for value in field.enum_type.values}.__getitem__
    if kind == FieldDescriptor.CPPTYPE_STRING:
        return _text
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return _truth
    if kind == FieldDescriptor.CPPTYPE_DOUBLE:
        return _real
    if kind == FieldDescriptor.CPPTYPE_FLOAT:
        return _left_to_the_library
    return _whole


def _text(value: Any) -> str:  # noqa: ANN401 - whatever JSON has; here and below
    if type(value) is not str:
        raise TypeError
    return value


def _truth(value: Any) -> bool:  # noqa: ANN401 - see above
    if type(value) is not bool:
        raise TypeError
    return value


def _real(value: Any) -> float:  # noqa: ANN401 - see above
    if type(value) is not float:
        raise TypeError
    return value


def _whole(value: Any) -> int:  # noqa: ANN401 - see above
    if type(value) is int:
        return value
    # 64 bits are text in JSON.
    if type(value) is not str or len(value) > MAX_INT64_DIGITS or not (value.isdecimal() and value.isascii()):
        raise TypeError
    return int(value)


def _left_to_the_library(value: Any) -> float:  # noqa: ANN401 - see above
    # What does not fit into 32 bits is its to say.
    raise TypeError


def _first_line(error: Exception) -> str:
    """Return what the library has to say; the next lines list everything that would be right."""
    return str(error).partition("\n")[0].strip().rstrip(".")
