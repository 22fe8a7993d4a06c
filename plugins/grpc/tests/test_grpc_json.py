"""JSON to messages and back: the same as google.protobuf.json_format does, only stricter and faster."""

from __future__ import annotations

import contextlib
import json
import math
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from gateway import GatewayError
from gateway_grpc.config import GrpcConfig, PrintOptionsConfig
from gateway_grpc.transcoding.decoding import Decoder, NotAMessage
from gateway_grpc.transcoding.encoding import Encoder
from gateway_grpc.transcoding.transcoder import Transcoder

if TYPE_CHECKING:
    from gateway_grpc.descriptors.schema import Schema

KINDS = """
name: "kinds.proto" package: "kinds" syntax: "proto3"
message_type {
  name: "All"
  SCALARS
  field { name: "inner" number: 20 type: TYPE_MESSAGE type_name: ".kinds.All" label: LABEL_OPTIONAL json_name: "inner" }
  field { name: "inners" number: 21 type: TYPE_MESSAGE type_name: ".kinds.All" label: LABEL_REPEATED
          json_name: "inners" }
  field { name: "color" number: 22 type: TYPE_ENUM type_name: ".kinds.Color" label: LABEL_OPTIONAL json_name: "color" }
  field { name: "mapped" number: 23 type: TYPE_MESSAGE type_name: ".kinds.Mapped" label: LABEL_OPTIONAL
          json_name: "mapped" }
  field { name: "this_one" number: 24 type: TYPE_STRING label: LABEL_OPTIONAL json_name: "thisOne" oneof_index: 0 }
  field { name: "that_one" number: 25 type: TYPE_INT32 label: LABEL_OPTIONAL json_name: "thatOne" oneof_index: 0 }
  oneof_decl { name: "choice" }
}
message_type {
  name: "Mapped"
  field { name: "by_name" number: 1 type: TYPE_MESSAGE type_name: ".kinds.Mapped.ByNameEntry" label: LABEL_REPEATED
          json_name: "byName" }
  nested_type {
    name: "ByNameEntry" options { map_entry: true }
    field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL json_name: "key" }
    field { name: "value" number: 2 type: TYPE_INT64 label: LABEL_OPTIONAL json_name: "value" }
  }
}
enum_type { name: "Color" value { name: "NONE" number: 0 } value { name: "RED" number: 1 } }
service { name: "S" method { name: "M" input_type: ".kinds.All" output_type: ".kinds.All" } }
"""
KINDS = KINDS.replace(
    "SCALARS",
    "\n".join(
        f'field {{ name: "{name}_{label}" number: {number * 2 + (label == "many")} type: TYPE_{name.upper()} '
        f'label: LABEL_{"REPEATED" if label == "many" else "OPTIONAL"} json_name: "{name}{label.title()}" }}'
        for number, name in enumerate(
            ("int32", "int64", "uint32", "uint64", "double", "float", "bool", "string", "bytes"), 1
        )
        for label in ("one", "many")
    ),
)
SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "int32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "uint32": st.integers(0, 2**32 - 1),
    "uint64": st.integers(0, 2**64 - 1),
    "double": st.floats(),
    "float": st.floats(width=32),
    "bool": st.booleans(),
    "string": st.text(),
    "bytes": st.binary(),
}


def messages(
    depth: int = 2, scalars: dict[str, st.SearchStrategy[float]] | None = None
) -> st.SearchStrategy[dict[str, Any]]:
    scalars = {**SCALARS, **(scalars or {})}
    fields: dict[str, st.SearchStrategy[Any]] = {
        **{f"{name}_one": strategy for name, strategy in scalars.items()},
        **{f"{name}_many": st.lists(strategy, max_size=3) for name, strategy in scalars.items()},
        "color": st.sampled_from([0, 1, 7]),
        "mapped": st.fixed_dictionaries({"by_name": st.dictionaries(st.text(), SCALARS["int64"], max_size=2)}),
        "that_one": SCALARS["int32"],
    }
    if depth:
        fields |= {"inner": messages(depth - 1, scalars), "inners": st.lists(messages(depth - 1, scalars), max_size=2)}
    return st.fixed_dictionaries({}, optional=fields)


@pytest.fixture(scope="module")
def kinds(descriptors: Any) -> Schema:
    schema: Schema = descriptors.schema(descriptors.set(KINDS))
    return schema


# What everybody else says.


@given(data=messages(), keeps_names=st.booleans(), has_numbers=st.booleans())
def test_messages_are_printed_as_the_library_prints_them(
    kinds: Schema, data: dict[str, Any], *, keeps_names: bool, has_numbers: bool
) -> None:
    message = kinds.methods["/kinds.S/M"].request(**data)
    options = PrintOptionsConfig(preserve_proto_field_names=keeps_names, always_print_enums_as_ints=has_numbers)
    expected = json_format.MessageToDict(
        message, preserving_proto_field_name=keeps_names, use_integers_for_enums=has_numbers
    )
    assert Encoder(kinds.pool, options).encode(message) == expected


READABLE = {
    # A NaN has many forms in bits, and one in JSON; the largest float is too large
    # for the library in its shortest form.
    "double": st.floats(allow_nan=False),
    "float": st.floats(-(2.0**120), 2.0**120, width=32),
}


@given(data=messages(scalars=READABLE), keeps_names=st.booleans())
def test_what_was_printed_is_read_again(kinds: Schema, data: dict[str, Any], *, keeps_names: bool) -> None:
    message = kinds.methods["/kinds.S/M"].request(**data)
    text = json_format.MessageToJson(message, preserving_proto_field_name=keeps_names)
    read = kinds.methods["/kinds.S/M"].request()
    Decoder(kinds.pool, ignores_unknown=False, max_depth=100).decode(json.loads(text), read)
    assert read == message


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["RED", "AAE=", "12", "1e3"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=5,
)
NAMES = st.sampled_from(
    [*(f"{name}One" for name in SCALARS), *(f"{name}_many" for name in SCALARS), "inner", "inners", "color", "mapped"]
)


@given(value=st.dictionaries(NAMES, VALUES, max_size=3))
def test_whatever_the_library_refuses_is_refused(kinds: Schema, value: dict[str, Any]) -> None:
    """It takes a list or a text for an object at times; apart from that, both agree."""
    one, other = kinds.methods["/kinds.S/M"].request(), kinds.methods["/kinds.S/M"].request()
    try:
        json_format.ParseDict(value, one)
    except (json_format.ParseError, ValueError, TypeError, AttributeError):
        with pytest.raises(NotAMessage):
            Decoder(kinds.pool, ignores_unknown=False, max_depth=100).decode(value, other)
    else:
        with contextlib.suppress(NotAMessage):
            Decoder(kinds.pool, ignores_unknown=False, max_depth=100).decode(value, other)
            assert one.SerializeToString(deterministic=True) == other.SerializeToString(deterministic=True)


# Reading.


def read(schema: Schema, body: bytes, query: str = "", **config: Any) -> Any:
    transcoder = Transcoder(schema, GrpcConfig(**config))
    match = transcoder.router.find("POST", "/library.v1.Library/Echo")
    return match.binding.method.request.FromString(transcoder.reader.read(match, body, query))


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b'{"nme": "Emma"}', "library.v1.Book has no field 'nme'"),
        (b'{"name": "Emma"', "no JSON"),
        (b"\xff", "no UTF-8"),
        (b'{"name": "a", "name": "b"}', "'name' is there twice"),
        (b'{"pageCount": 1, "page_count": 2}', "'page_count' twice"),
        (b'{"pageCount": "many"}', "pageCount"),
        (b'{"pageCount": 4294967296}', "pageCount"),
        (b'{"pageCount": true}', "pageCount"),
        (b'{"price": NaN}', "NaN is no JSON"),
        (b'{"kind": "OPERA"}', "kind"),
        (b'{"kind": []}', "kind"),
        (b'{"tags": ["a", null]}', "tags"),
        (b'{"printed": "yesterday"}', "printed"),
        (b'{"author": []}', "author"),
        (b"[]", "library.v1.Book"),
        (b"7", "library.v1.Book"),
        (b"null", "library.v1.Book"),
        (b'{"sequel":' * 150 + b"{}" + b"}" * 150, "nested too deep"),
        (b'{"extra":{"a":' + b"[" * 150 + b"]" * 150 + b"}}", "too deep"),
        (b"[" * 100_000, "nested too deep"),
        (b'{"isbn": ' + b"9" * 5000 + b"}", "cannot be read"),
        (b'{"isbn": "' + b"9" * 5000 + b'"}', "isbn"),
        (b'{"name": "\\ud800"}', "name"),
        (b'{"[library.v1.ext]": 1}', "extensions"),
    ],
)
def test_what_is_no_message_is_refused(schema: Schema, body: bytes, detail: str) -> None:
    with pytest.raises(GatewayError) as caught:
        read(schema, body)
    assert caught.value.type.status == 400
    assert detail in caught.value.message
    assert len(caught.value.message) < 500


def test_depth_has_a_limit_of_its_own(schema: Schema) -> None:
    assert read(schema, b'{"sequel":{"sequel":{}}}', max_depth=3).sequel.HasField("sequel")
    with pytest.raises(GatewayError, match="more than 2 messages"):
        read(schema, b'{"sequel":{"sequel":{}}}', max_depth=2)


def test_fields_that_exclude_each_other_are_refused(kinds: Schema) -> None:
    decoder = Decoder(kinds.pool, ignores_unknown=False, max_depth=9)
    message: Any = kinds.methods["/kinds.S/M"].request()
    decoder.decode({"thisOne": None, "that_one": 1}, message)
    assert message.that_one == 1
    with pytest.raises(NotAMessage, match="more than one field of 'choice'"):
        decoder.decode({"thisOne": "a", "that_one": 1}, message)


def test_unknown_fields_may_be_ignored(schema: Schema) -> None:
    book = read(schema, b'{"name": "Emma", "nme": {"a": [1]}, "author": {"x": 1}}', ignore_unknown_fields=True)
    assert (book.name, book.HasField("author")) == ("Emma", True)


def test_both_names_of_a_field_are_read(schema: Schema) -> None:
    assert read(schema, b'{"page_count": 1}') == read(schema, b'{"pageCount": "1"}')


@given(st.floats(width=32))
def test_numbers_of_32_bits_are_short(kinds: Schema, number: float) -> None:
    message = kinds.methods["/kinds.S/M"].request(float_one=number)
    value = Encoder(kinds.pool, PrintOptionsConfig()).encode(message).get("floatOne", 0)
    if math.isfinite(number):
        again: Any = kinds.methods["/kinds.S/M"].request(float_one=value)
        assert again.float_one == number
    assert len(str(value)) <= 20


# Writing.


def written(schema: Schema, request_line: str, data: bytes) -> Any:
    transcoder = Transcoder(schema, GrpcConfig())
    http_method, _, path = request_line.partition(" ")
    match = transcoder.router.find(http_method, path)
    return json.loads(transcoder.writer.write(match.binding, data)[1])


@pytest.mark.parametrize(
    ("path", "empty", "full"), [("tags", [], ["a"]), ("isbn", "0", "7"), ("author", {}, {"name": "Austen"})]
)
def test_a_field_of_the_answer_may_be_all_of_it(schema: Schema, path: str, empty: object, full: object) -> None:
    book = schema.methods["/library.v1.Library/Echo"].request(tags=["a"], isbn=7, author={"name": "Austen"})
    assert written(schema, f"GET /v1/{path}/x", b"") == empty
    assert written(schema, f"GET /v1/{path}/x", book.SerializeToString()) == full


def test_what_is_no_answer_of_the_method_is_a_bad_gateway(schema: Schema) -> None:
    with pytest.raises(GatewayError) as caught:
        written(schema, "POST /library.v1.Library/Echo", b"\xff")
    assert (caught.value.type.status, caught.value.message) == (502, "the answer of the service cannot be read")
    unknown = schema.methods["/library.v1.Library/Echo"].request(anything={"type_url": "x/a.B", "value": b"1"})
    with pytest.raises(GatewayError, match=r"a\.B"):
        written(schema, "POST /library.v1.Library/Echo", unknown.SerializeToString())
