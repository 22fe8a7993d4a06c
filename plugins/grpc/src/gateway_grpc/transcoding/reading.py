"""Messages from requests: body, path and query."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import parse_qsl

from google.protobuf.message import EncodeError

from gateway import ErrorType, GatewayError
from gateway_grpc.transcoding.decoding import Decoder, NotAMessage
from gateway_grpc.transcoding.fields import FieldError

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from gateway_grpc.config import GrpcConfig
    from gateway_grpc.descriptors.schema import Schema
    from gateway_grpc.transcoding.binding import Binding
    from gateway_grpc.transcoding.router import Match

__all__ = ["MessageReader"]

MAX_QUERY_PARAMETERS = 1000
MAX_PROBLEM_LENGTH = 300


class MessageReader:
    """Makes messages of requests.

    Args:
        schema: What the messages are in.
        config: How JSON is read.
    """

    def __init__(self, schema: Schema, config: GrpcConfig) -> None:
        self._ignores_unknown = config.ignore_unknown_fields
        self._ignored_parameters = frozenset(config.ignored_query_parameters)
        self._decoder = Decoder(schema.pool, ignores_unknown=config.ignore_unknown_fields, max_depth=config.max_depth)

    def read(self, match: Match, body: bytes, query: str) -> bytes:
        """Return the message, serialized.

        Args:
            match: What the request is bound to.
            body: JSON; empty is an empty message.
            query: The query, as sent.

        Raises:
            GatewayError: ``bad_request`` if it cannot be made; says why, and names the field.
        """
        binding = match.binding
        message = binding.method.request()
        if body and binding.has_body:
            self._parse(binding, body, message)
        try:
            if query and (binding.takes_query or not self._ignores_unknown):
                self._read_query(binding, query, message)
            for field, text in zip(binding.variables, match.values, strict=True):
                field.set(message, text)
            return message.SerializeToString()
        except FieldError as error:
            raise GatewayError(ErrorType.BAD_REQUEST, str(error)) from error
        except EncodeError as error:
            raise GatewayError(ErrorType.BAD_REQUEST, f"the message is not complete: {_short(error)}") from error

    def _parse(self, binding: Binding, body: bytes, message: Message) -> None:
        value, field = _json(body), binding.body_field
        try:
            if field is None:
                self._decoder.decode(value, message)
            else:
                self._decoder.decode_field(field, value, message)
        except NotAMessage as error:
            raise GatewayError(ErrorType.BAD_REQUEST, _short(error)) from error

    def _read_query(self, binding: Binding, query: str, message: Message) -> None:
        try:
            parameters = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=MAX_QUERY_PARAMETERS)
        except ValueError as error:
            raise GatewayError(ErrorType.BAD_REQUEST, "the query cannot be read", detail=str(error)) from error
        seen: set[str] = set()
        for name, text in parameters:
            if name in self._ignored_parameters:
                continue
            if not binding.takes_query:
                self._refuse_parameter(name)
                continue
            try:
                field = binding.query_field(name)
            except FieldError as error:
                if self._ignores_unknown:
                    continue
                raise GatewayError(ErrorType.BAD_REQUEST, f"the query cannot be used: {error}") from error
            if field.name in seen and not field.is_repeated:
                raise GatewayError(ErrorType.BAD_REQUEST, f"{field.name!r} is there twice, and takes one value")
            seen.add(field.name)
            field.set(message, text)

    def _refuse_parameter(self, name: str) -> None:
        if not self._ignores_unknown:
            raise GatewayError(ErrorType.BAD_REQUEST, f"the query has {name[:64]!r}, but the body is the whole message")


def _json(body: bytes) -> Any:  # noqa: ANN401 - whatever it is
    try:
        text = body.decode()
        try:
            value, end = _DECODER.raw_decode(text)
        except json.JSONDecodeError:
            value, end = None, -1
        # With white space around it, or no JSON; seldom, and then the library says what is wrong.
        return value if end == len(text) else _DECODER.decode(text)
    except RecursionError as error:
        raise _too_deep() from error
    except UnicodeDecodeError as error:
        raise GatewayError(ErrorType.BAD_REQUEST, "the body is no UTF-8") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise GatewayError(ErrorType.BAD_REQUEST, f"the body is no JSON: {error.msg} ({where})") from error
    except ValueError as error:
        raise GatewayError(ErrorType.BAD_REQUEST, f"the body cannot be read: {_short(error)}") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1) if len(names) < MAX_PROBLEM_LENGTH else ""
        msg = f"the key {twice[:64]!r} is there twice" if twice else "a key is there twice"
        raise ValueError(msg)
    return found


def _refuse_constant(name: str) -> NoReturn:
    msg = f"{name} is no JSON; write it as a string"
    raise ValueError(msg)


def _too_deep() -> GatewayError:
    return GatewayError(ErrorType.BAD_REQUEST, "the body is nested too deep")


def _short(error: Exception) -> str:
    return str(error)[:MAX_PROBLEM_LENGTH]


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant)
