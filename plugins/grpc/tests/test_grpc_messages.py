"""Messages in a stream of bytes, however it is cut."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_grpc.messages import MalformedMessageError, MessageMeter, MessageTooLargeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LIMIT = 20


def framed(message: bytes, flag: int = 0) -> bytes:
    return struct.pack(">BL", flag, len(message)) + message


def cut(data: bytes, sizes: Sequence[int]) -> Iterator[bytes]:
    for size in sizes:
        yield data[:size]
        data = data[size:]
    yield data


MESSAGES = st.lists(st.binary(max_size=LIMIT))
SIZES = st.lists(st.integers(0, 12))


@given(MESSAGES, SIZES)
def test_whole_messages_pass(messages: Sequence[bytes], sizes: Sequence[int]) -> None:
    meter = MessageMeter(LIMIT)
    for piece in cut(b"".join(map(framed, messages)), sizes):
        meter.take(piece)
    assert meter.is_between


@given(MESSAGES, st.binary(min_size=1, max_size=LIMIT), SIZES, st.data())
def test_a_message_that_is_not_whole_is_noticed(
    messages: Sequence[bytes], last: bytes, sizes: Sequence[int], data: st.DataObject
) -> None:
    meter = MessageMeter(LIMIT)
    kept = data.draw(st.integers(1, len(framed(last)) - 1))
    for piece in cut(b"".join(map(framed, messages)) + framed(last)[:kept], sizes):
        meter.take(piece)
    assert not meter.is_between


@given(MESSAGES, st.integers(LIMIT + 1, 2**32 - 1), SIZES)
def test_a_message_that_is_too_large_is_refused_by_its_prefix(
    messages: Sequence[bytes], length: int, sizes: Sequence[int]
) -> None:
    meter = MessageMeter(LIMIT)
    with pytest.raises(MessageTooLargeError):  # noqa: PT012 - which piece it is depends on the cuts
        for piece in cut(b"".join(map(framed, messages)) + struct.pack(">BL", 1, length), sizes):
            meter.take(piece)


@given(MESSAGES, st.integers(2, 255), SIZES)
def test_flags_that_there_are_not_are_refused(messages: Sequence[bytes], flag: int, sizes: Sequence[int]) -> None:
    meter = MessageMeter(LIMIT)
    with pytest.raises(MalformedMessageError):  # noqa: PT012 - as above
        for piece in cut(b"".join(map(framed, messages)) + struct.pack(">BL", flag, 0), sizes):
            meter.take(piece)
