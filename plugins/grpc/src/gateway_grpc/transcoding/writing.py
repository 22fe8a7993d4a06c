"""JSON of messages."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format
from google.protobuf.message import DecodeError

from gateway import ErrorType, GatewayError
from gateway_grpc.transcoding.encoding import Encoder

if TYPE_CHECKING:
    from gateway_grpc.config import PrintOptionsConfig
    from gateway_grpc.descriptors.schema import Schema
    from gateway_grpc.transcoding.binding import Binding

__all__ = ["JSON_TYPE", "MessageWriter"]

JSON_TYPE = b"application/json"
HTTP_BODY = "google.api.HttpBody"
DEFAULT_TYPE = b"application/octet-stream"


class MessageWriter:
    """Makes JSON of messages.

    Args:
        schema: What the messages are in.
        options: How.
    """

    def __init__(self, schema: Schema, options: PrintOptionsConfig) -> None:
        self._values = Encoder(schema.pool, options)
        self._encoder = json.JSONEncoder(
            ensure_ascii=False,
            indent=2 if options.add_whitespace else None,
            separators=(",", ": ") if options.add_whitespace else (",", ":"),
        )
        # A line of a stream is one line.
        self._line_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))

    def write(self, binding: Binding, data: bytes) -> tuple[bytes, bytes]:
        """Return the type and the body of the response for a message.

        Raises:
            GatewayError: ``bad_gateway`` if it is no message of the method's.
        """
        response = binding.method.response
        if response.DESCRIPTOR.full_name == HTTP_BODY and binding.response_field is None:
            message = self._message(binding, data)
            return _content_type(message.content_type), message.data
        return JSON_TYPE, self._encoder.encode(self._value(binding, data)).encode()

    def write_line(self, binding: Binding, data: bytes) -> bytes:
        """Return the JSON of a message of a stream, without a line break in it.

        Raises:
            GatewayError: As for ``write``.
        """
        return self._line_encoder.encode(self._value(binding, data)).encode()

    def _value(self, binding: Binding, data: bytes) -> Any:  # noqa: ANN401 - whatever it is in JSON
        message = self._message(binding, data)
        try:
            field = binding.response_field
            return self._values.encode(message) if field is None else self._values.encode_field(message, field)
        except (json_format.SerializeToJsonError, TypeError, ValueError, RecursionError) as error:
            # Such as an Any of a type that the descriptors do not have.
            raise GatewayError(
                ErrorType.BAD_GATEWAY, "the answer of the service has no form in JSON", detail=str(error)
            ) from error

    def _message(self, binding: Binding, data: bytes) -> Any:  # noqa: ANN401 - its fields are known to nobody
        try:
            return binding.method.response.FromString(data)
        except DecodeError as error:
            name = binding.method.response.DESCRIPTOR.full_name
            raise GatewayError(
                ErrorType.BAD_GATEWAY, "the answer of the service cannot be read", detail=f"it is no {name}: {error}"
            ) from error


def _content_type(text: str) -> bytes:
    if text.isascii() and text.isprintable() and text:
        return text.encode("ascii")
    return DEFAULT_TYPE
