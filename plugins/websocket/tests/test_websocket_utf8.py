"""Texts, sequence by sequence (RFC 6455 section 8.1), after Markus Kuhn's UTF-8 decoder stress test."""

from __future__ import annotations

import pytest

from gateway_websocket.close import CloseCode, Violation
from gateway_websocket.frames import FrameReader

VALID = {
    "ASCII": b"Hello-World",
    "a mark that says nothing": b"\xef\xbb\xbfx",
    "first of two bytes": b"\xc2\x80",
    "first of three bytes": b"\xe0\xa0\x80",
    "first of four bytes": b"\xf0\x90\x80\x80",
    "last of one byte": b"\x7f",
    "last of two bytes": b"\xdf\xbf",
    "last of three bytes": b"\xef\xbf\xbf",
    "last of Unicode": b"\xf4\x8f\xbf\xbf",
    "before surrogates": b"\xed\x9f\xbf",
    "behind surrogates": b"\xee\x80\x80",
    "the replacement character": b"\xef\xbf\xbd",
    **{
        f"no character U+{plane:02X}{last:04X}": chr((plane << 16) + last).encode()
        for plane in (0, 1, 2, 15, 16)
        for last in (0xFFFE, 0xFFFF)
    },
}
INVALID = {
    "beyond Unicode": b"\xf4\x90\x80\x80",
    "first of five bytes": b"\xf8\x88\x80\x80\x80",
    "first of six bytes": b"\xfc\x84\x80\x80\x80\x80",
    "last of five bytes": b"\xfb\xbf\xbf\xbf\xbf",
    "last of six bytes": b"\xfd\xbf\xbf\xbf\xbf\xbf",
    "first continuation byte": b"\x80",
    "last continuation byte": b"\xbf",
    "all continuation bytes": bytes(range(0x80, 0xC0)),
    "lonely first bytes of two": b" ".join(bytes((byte,)) for byte in range(0xC0, 0xE0)),
    "lonely first bytes of three": b" ".join(bytes((byte,)) for byte in range(0xE0, 0xF0)),
    "lonely first bytes of four": b" ".join(bytes((byte,)) for byte in range(0xF0, 0xF8)),
    "last continuation byte missing, two": b"\xc2",
    "last continuation byte missing, three": b"\xe0\xa0",
    "last continuation byte missing, four": b"\xf0\x90\x80",
    "impossible FE": b"\xfe",
    "impossible FF": b"\xff",
    "overlong slash, two": b"\xc0\xaf",
    "overlong slash, three": b"\xe0\x80\xaf",
    "overlong slash, four": b"\xf0\x80\x80\xaf",
    "highest overlong, two": b"\xc1\xbf",
    "highest overlong, three": b"\xe0\x9f\xbf",
    "highest overlong, four": b"\xf0\x8f\xbf\xbf",
    "overlong nothing": b"\xc0\x80",
    **{f"surrogate {code:X}": chr(code).encode("utf-8", "surrogatepass") for code in (0xD800, 0xDB7F, 0xDBFF, 0xDC00)},
    "a pair of surrogates": "\ud800\udc00".encode("utf-8", "surrogatepass"),
}


def _reader(forwarded: bytearray) -> FrameReader:
    return FrameReader(
        is_masked=True,
        max_message_bytes=0,
        forward=forwarded.extend,
        take_control=lambda opcode, payload: True,
        is_text_checked=True,
    )


def _read_all(reader, pieces):
    for piece in pieces:
        reader.read(piece)


def _cut(wire, payload):
    """Yield the text whole, byte by byte on the wire, and a fragment for each byte."""
    whole = wire.frame(1, payload)
    yield [whole]
    yield [whole[at : at + 1] for at in range(len(whole))]
    last = len(payload) - 1
    yield [wire.frame(0 if at else 1, payload[at : at + 1], fin=at == last) for at in range(len(payload))]


@pytest.mark.parametrize("payload", VALID.values(), ids=VALID.keys())
def test_texts_pass_however_they_are_cut(wire, payload):
    for pieces in _cut(wire, payload):
        forwarded = bytearray()
        reader = _reader(forwarded)
        _read_all(reader, pieces)
        assert bytes(forwarded) == b"".join(pieces)
        assert reader.messages == 1


@pytest.mark.parametrize("payload", INVALID.values(), ids=INVALID.keys())
def test_what_is_no_text_is_refused_however_it_is_cut(wire, payload):
    for pieces in _cut(wire, b"ok" + payload):
        reader = _reader(bytearray())
        with pytest.raises(Violation) as refused:
            _read_all(reader, pieces)
        assert refused.value.code == CloseCode.INVALID_TEXT


@pytest.mark.parametrize("payload", INVALID.values(), ids=INVALID.keys())
def test_a_frame_that_is_cut_off_is_not_taken_for_whole(wire, payload):
    """Where one was, the service would take the gateway's close frame for the rest of the payload."""
    forwarded = bytearray()
    reader = _reader(forwarded)
    with pytest.raises(Violation):
        reader.read(wire.frame(1, payload))
    assert forwarded == wire.frame(1, payload)[:6]
    assert not reader.is_at_boundary


def test_it_is_refused_as_soon_as_it_can_be_seen(wire):
    """A fragment that is wrong need not wait for the end of its message, nor a byte for that of its fragment."""
    reader = _reader(bytearray())
    reader.read(wire.frame(1, "κόσμε".encode(), fin=False))
    frame = wire.frame(0, b"\xf4\x90\x80\x80" + b"x" * 100)
    reader.read(frame[:7])
    with pytest.raises(Violation):
        reader.read(frame[7:8])
