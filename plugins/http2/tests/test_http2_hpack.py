"""HPACK, against the examples of RFC 7541 and an independent implementation."""

from __future__ import annotations

import hpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway_http2.engine.codes import ErrorCode
from gateway_http2.engine.decoder import Decoder
from gateway_http2.engine.encoder import Encoder, literal
from gateway_http2.engine.faults import ConnectionFault
from gateway_http2.engine.huffman import HuffmanError, decode_huffman, encode_huffman

Pairs = list[tuple[bytes, bytes]]

# A crowded machine is no fault of the code.
patiently = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])

FEW = [(b"a", b"1"), (b"b", b"2" * 30), (b":method", b"GET"), (b"cookie", b"secret"), (b"accept", b"*/*"), (b"c", b"")]
pairs = st.lists(st.one_of(st.sampled_from(FEW), st.tuples(st.binary(max_size=8), st.binary(max_size=40))), max_size=12)


def decoder() -> Decoder:
    return Decoder(65536, 1000)


def theirs(block: bytes, decoder: hpack.Decoder) -> Pairs:
    return [(bytes(name), bytes(value)) for name, value in decoder.decode(block, raw=True)]


@pytest.mark.parametrize(
    ("blocks", "fields"),
    [
        pytest.param(
            [
                "828684410f7777772e6578616d706c652e636f6d",
                "828684be58086e6f2d6361636865",
                "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
            ],
            [(b":path", b"/index.html"), (b":authority", b"www.example.com"), (b"custom-key", b"custom-value")],
            id="C.3",
        ),
        pytest.param(
            [
                "828684418cf1e3c2e5f23a6ba0ab90f4ff",
                "828684be5886a8eb10649cbf",
                "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
            ],
            [(b":path", b"/index.html"), (b":authority", b"www.example.com"), (b"custom-key", b"custom-value")],
            id="C.4",
        ),
    ],
)
def test_the_examples_of_the_rfc(blocks: list[str], fields: Pairs) -> None:
    reading = decoder()
    decoded = [reading.decode(bytes.fromhex(block)).fields for block in blocks]
    assert decoded[0] == [
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":path", b"/"),
        (b":authority", b"www.example.com"),
    ]
    assert decoded[1][-1] == (b"cache-control", b"no-cache")
    assert decoded[2] == [(b":method", b"GET"), (b":scheme", b"https"), *fields]


@patiently
@given(st.lists(pairs, max_size=12))
def test_what_is_encoded_means_the_same_to_others(lists: list[Pairs]) -> None:
    writing, reading = Encoder(), hpack.Decoder()
    for fields in lists:
        assert theirs(writing.encode(tuple(fields)) + literal(b"x-id", b"1"), reading) == [*fields, (b"x-id", b"1")]


@patiently
@given(st.lists(st.tuples(pairs, st.none() | st.integers(0, 4096)), max_size=12))
def test_what_others_encode_means_the_same(lists: list[tuple[Pairs, int | None]]) -> None:
    writing, reading = hpack.Encoder(), decoder()
    for fields, size in lists:
        if size is not None:
            writing.header_table_size = size
        assert reading.decode(writing.encode(fields)).fields == fields


@patiently
@given(st.lists(st.tuples(pairs, st.none() | st.integers(0, 6000)), max_size=12))
def test_a_table_that_changes_its_size(lists: list[tuple[Pairs, int | None]]) -> None:
    writing, reading = Encoder(), decoder()
    for fields, size in lists:
        if size is not None:
            writing.limit_table(size)
        assert reading.decode(writing.encode(tuple(fields))).fields == fields


@patiently
@given(st.binary(max_size=300))
def test_huffman(data: bytes) -> None:
    assert decode_huffman(encode_huffman(data)) == data


@patiently
@given(st.binary(max_size=60))
def test_nothing_but_a_code_is_decoded(data: bytes) -> None:
    try:
        decoded = decode_huffman(data)
    except HuffmanError:
        return
    assert encode_huffman(decoded) == data


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\xff", id="padding of 8 bits"),
        pytest.param(b"\x18", id="padding that is not all ones"),
        pytest.param(b"\xff\xff\xff\xff", id="the end of a string"),
        pytest.param(b"\xff\xff\xff\xfc\x1f", id="content behind the end of a string"),
    ],
)
def test_huffman_strings_that_are_none(data: bytes) -> None:
    with pytest.raises(HuffmanError):
        decode_huffman(data)


@pytest.mark.parametrize(
    "block",
    [
        pytest.param("80", id="index 0"),
        pytest.param("be", id="an index behind the tables"),
        pytest.param("7e017f", id="a name behind the tables"),
        pytest.param("ffffffffff0f", id="an integer that is too large"),
        pytest.param("ff", id="an integer that is not whole"),
        pytest.param("0003", id="a string that is not whole"),
        pytest.param("00", id="a name that is missing"),
        pytest.param("000161", id="a value that is missing"),
        pytest.param("0081ff0161", id="a name in bad Huffman code"),
        pytest.param("823f01", id="a size update behind a field"),
        pytest.param("3fe21f", id="a size update to more than is allowed"),
        pytest.param("202020", id="a third size update"),
    ],
)
def test_malformed_blocks(block: str) -> None:
    with pytest.raises(ConnectionFault) as raised:
        decoder().decode(bytes.fromhex(block))
    assert raised.value.code == ErrorCode.COMPRESSION_ERROR


def test_a_smaller_table_must_be_acknowledged_by_an_update() -> None:
    reading = decoder()
    reading.allow_table(0)
    with pytest.raises(ConnectionFault):
        reading.decode(bytes.fromhex("82"))
    reading = decoder()
    reading.allow_table(0)
    assert reading.decode(bytes.fromhex("2082")).fields == [(b":method", b"GET")]


def test_what_is_too_large_is_not_kept_but_heeded() -> None:
    """A block of a few bytes may mean megabytes: each of them refers to the largest entry of the table."""
    reading = Decoder(16384, 100)
    writing = hpack.Encoder()
    reading.decode(writing.encode([(b"x", b"v" * 3000)]))
    bomb = reading.decode(b"\xbe" * 1000 + bytes.fromhex("40017901 7a".replace(" ", "")))
    assert bomb.is_too_large
    assert len(bomb.fields) == 5
    assert reading.decode(b"\xbe").fields == [(b"y", b"z")]
    many = Decoder(65536, 10).decode(b"\x82" * 11)
    assert many.is_too_large
    assert len(many.fields) == 10


def test_the_same_block_is_the_same_object_as_long_as_the_table_is() -> None:
    reading = decoder()
    block = reading.decode(b"\x82\x86")
    assert reading.decode(b"\x82\x86") is block
    reading.decode(bytes.fromhex("400161016 2".replace(" ", "")))
    assert reading.decode(b"\x82\x86") is not block


def test_what_is_remembered_is_bounded() -> None:
    reading, writing = decoder(), Encoder()
    for number in range(1000):
        reading.decode(literal(b"n", b"%d" % number))
        writing.encode(((b"n", b"%d" % number),))
    assert len(reading._known) <= 32
    assert len(writing._known) <= 32
    assert len(writing._seen) <= 128


def test_fields_enter_the_table_when_they_come_again() -> None:
    writing = Encoder()
    fields = ((b"x-always", b"the same"),)
    first, second, third = writing.encode(fields), writing.encode(fields), writing.encode(fields)
    assert len(third) == 1 < len(second) <= len(first)


def test_secrets_never_enter_the_table() -> None:
    writing = Encoder()
    fields = ((b"authorization", b"Bearer secret"), (b"set-cookie", b"a=1"))
    for _ in range(3):
        block = writing.encode(fields)
        assert block[0] == 0x1F  # never indexed, with the name of the static table
    assert writing._entries == []
