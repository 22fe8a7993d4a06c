"""A chunk that comes by itself takes a short way; what comes out is the same however the bytes are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_http.chunked import ChunkedDecoder, TrailersTooLarge
from gateway_http.fields import Malformed

CHUNK_LINES = st.sampled_from(["%x", "%X", "0%x", "%x;name=value", "%x ", "0x%x", "+%x", "%x_", "%x;", "\r\n%x"])


def _chunk(line: str, content: bytes, end: bytes) -> bytes:
    return (line % len(content)).encode() + b"\r\n" + content + end


CHUNKS = st.builds(
    _chunk,
    st.one_of(st.just("%x"), CHUNK_LINES),
    st.one_of(st.binary(min_size=1, max_size=40), st.sampled_from([b"\r\n", b"0\r\n\r\n", b"data: 1\n\n"])),
    st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n\r", b"", b"\r\n\r\n"]),
)


def _outcome(pieces: list[bytes]) -> tuple[bytes, str]:
    """Return the content, and how it ended."""
    decoder = ChunkedDecoder(1000, 10)
    content = b""
    try:
        for piece in pieces:
            content += decoder.decode(piece)
    except (Malformed, TrailersTooLarge) as error:
        return content, type(error).__name__
    return content, "complete" if decoder.is_complete else "open"


@given(st.lists(CHUNKS, max_size=5), st.booleans())
def test_chunk_by_chunk_and_byte_by_byte_are_the_same(chunks: list[bytes], is_ended: bool) -> None:  # noqa: FBT001 - drawn
    pieces = [*chunks, b"0\r\n\r\n"] if is_ended else chunks
    whole = b"".join(pieces)
    by_chunks, by_bytes = _outcome(pieces), _outcome([whole[at : at + 1] for at in range(len(whole))])
    assert by_chunks[1] == by_bytes[1]
    if by_chunks[1] != "Malformed":
        assert by_chunks[0] == by_bytes[0]


@pytest.mark.parametrize(
    ("piece", "content"),
    [
        (b"5\r\nhello\r\n", b"hello"),
        (b"00000000000005\r\nhello\r\n", b"hello"),
        (b"5;a=b\r\nhello\r\n", b"hello"),
        (b"2\r\n\r\n\r\n", b"\r\n"),
        (b"5\r\nhe", b"he"),
        (b"5\r\nhello\r\n3\r\nyou\r\n", b"helloyou"),
    ],
)
def test_a_piece_is_decoded(piece: bytes, content: bytes) -> None:
    decoder = ChunkedDecoder(1000, 10)
    assert decoder.decode(piece) == content
    assert not decoder.is_complete


@pytest.mark.parametrize("size", [1, 9, 10, 15, 16, 171, 255, 256, 1023, 1024, 70_000])
@pytest.mark.parametrize("digits", [b"%x", b"%X", b"0%x"])
def test_chunks_of_every_size_are_decoded_one_after_the_other(digits: bytes, size: int) -> None:
    decoder = ChunkedDecoder(1000, 10)
    chunk = digits % size + b"\r\n" + b"\n" * size + b"\r\n"
    for _ in range(3):
        assert decoder.decode(chunk) == b"\n" * size
    assert decoder.decode(chunk[:-1]) == b"\n" * size
    assert decoder.small_chunk(chunk) == b""  # not while the one before it is not over
    assert decoder.decode(chunk[-1:] + chunk + b"0\r\n\r\n") == b"\n" * size
    assert decoder.is_complete


def test_small_chunks_make_up_for_what_is_more_than_data() -> None:
    decoder = ChunkedDecoder(1000, 10)
    for _ in range(100):
        assert decoder.decode(b"1;" + b"x" * 1000 + b"\r\na\r\n") == b"a"
        assert decoder.decode(b"%x\r\n%b\r\n" % (500, bytes(500))) == bytes(500)


@pytest.mark.parametrize(
    ("piece", "content"),
    [
        (b"5\r\nhello\r\n", b"hello"),
        (b"A\r\nhellohello\r\n", b"hellohello"),
        (b"5\r\nhello", b""),
        (b"5\r\nhel\r\n", b""),
        (b"5\r\nhel\r\n\r\n", b"hel\r\n"),
        (b"5\r\nhello\r\n5", b""),
        (b"05\r\nhello\r\n", b""),
        (b"0\r\n\r\n", b""),
        (b"\r\n", b""),
        (b"", b""),
    ],
)
def test_the_short_way_is_for_one_whole_small_chunk(piece: bytes, content: bytes) -> None:
    assert ChunkedDecoder(1000, 10).small_chunk(piece) == content


@pytest.mark.parametrize(
    "piece", [b"0x5\r\nhello\r\n", b"+5\r\nhello\r\n", b"5_\r\nhello\r\n", b"5\r\nhello\n\n", b"6\r\nhello\r\n\r\n"]
)
def test_what_only_looks_like_a_chunk_is_refused(piece: bytes) -> None:
    with pytest.raises(Malformed):
        ChunkedDecoder(1000, 10).decode(piece)
