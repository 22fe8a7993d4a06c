"""The messages of server reflection, as far as they are used here.

Written out, for the library that has them brings all of grpcio. The fields are those of ``grpc.reflection.v1`` and of
``v1alpha``, which are the same on the wire; here each may be absent, which in the original the ``oneof`` says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ReflectionRequest", "ReflectionResponse"]

_PACKAGE = "gateway.reflection"
_TEXT, _BYTES = FieldDescriptorProto.TYPE_STRING, FieldDescriptorProto.TYPE_BYTES
_ONE, _MANY = FieldDescriptorProto.LABEL_OPTIONAL, FieldDescriptorProto.LABEL_REPEATED

_MESSAGES: Mapping[str, tuple[tuple[str, int, Any, Any], ...]] = {
    # Name, number, type or other message, and how many.
    "Request": (
        ("file_by_filename", 3, _TEXT, _ONE),
        ("file_containing_symbol", 4, _TEXT, _ONE),
        ("list_services", 7, _TEXT, _ONE),
    ),
    "Response": (
        ("file_descriptor_response", 4, "Files", _ONE),
        ("list_services_response", 6, "Services", _ONE),
        ("error_response", 7, "Error", _ONE),
    ),
    "Files": (("file_descriptor_proto", 1, _BYTES, _MANY),),
    "Services": (("service", 1, "Service", _MANY),),
    "Service": (("name", 1, _TEXT, _ONE),),
    "Error": (("error_message", 2, _TEXT, _ONE),),
}


def _file() -> FileDescriptorProto:
    file = FileDescriptorProto(name="gateway/reflection.proto", package=_PACKAGE, syntax="proto2")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field_name, number, kind, label in fields:
            field = message.field.add(name=field_name, number=number, label=label)
            if isinstance(kind, str):
                field.type, field.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
            else:
                field.type = kind
    return file


def _class(name: str) -> Any:  # noqa: ANN401 - its fields are known to nobody
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


_POOL = descriptor_pool.DescriptorPool()
_POOL.Add(_file())

ReflectionRequest = _class("Request")
"""A question: ``list_services``, ``file_containing_symbol`` or ``file_by_filename``."""
ReflectionResponse = _class("Response")
"""An answer: ``list_services_response``, ``file_descriptor_response`` or ``error_response``."""
