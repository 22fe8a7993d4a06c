"""The reader of frames: whatever the stream and however it is cut, what is in order goes through as it is."""

from __future__ import annotations

import contextlib
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.frame_protocol import FrameDecoder, FrameProtocol, Opcode

from gateway_websocket.close import Violation, close_payload, code_label
from gateway_websocket.frames import CLOSE, PING, PONG, FrameReader, control_frame, unmasked

MASK = b"\x01\x02\x03\x04"


def reader(forward, *, is_masked=True, keep=lambda opcode, payload: True, **options):
    options.setdefault("max_message_bytes", 0)
    return FrameReader(is_masked=is_masked, forward=forward, take_control=keep, **options)


def frame(opcode, payload, *, fin=True, is_masked=True):
    size = len(payload)
    bit = 0x80 if is_masked else 0
    if size < 126:
        length = bytes((bit | size,))
    elif size < 65536:
        length = bytes((bit | 126,)) + size.to_bytes(2)
    else:
        length = bytes((bit | 127,)) + size.to_bytes(8)
    head = bytes(((0x80 if fin else 0) | opcode,)) + length
    return head + MASK + unmasked(payload, MASK) if is_masked else head + payload


payloads = st.one_of(st.binary(max_size=8), st.sampled_from((125, 126, 127, 65535, 65536)).map(lambda n: b"x" * n))
pieces = st.lists(st.tuples(st.sampled_from((1, 2)), st.lists(payloads, min_size=1, max_size=3)), max_size=6)
pings = st.lists(st.binary(max_size=125), max_size=3)


@st.composite
def streams(draw, *, is_masked):
    """Return messages in order, fragmented, with pings between the frames, and where the stream is cut."""
    frames = []
    for opcode, fragments in draw(pieces):
        for number, payload in enumerate(fragments):
            fin = number == len(fragments) - 1
            frames.append(frame(0 if number else opcode, payload, fin=fin, is_masked=is_masked))
            frames += [frame(9, ping, is_masked=is_masked) for ping in draw(pings)]
    whole = b"".join(frames)
    cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=12)))
    return whole, [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]


@pytest.mark.parametrize("is_masked", [True, False])
@given(data=st.data())
def test_what_is_in_order_goes_through_as_it_is(is_masked, data):
    whole, cut = data.draw(streams(is_masked=is_masked))
    out: list[bytes] = []
    following = reader(out.append, is_masked=is_masked)
    for piece in cut:
        following.read(piece)
    assert b"".join(out) == whole
    assert following.is_at_boundary
    assert not following.is_waiting


@given(data=st.data())
def test_what_we_put_in_between_is_understood(data):
    """At every boundary a ping is put in; an independent parser finds the same messages, and all pings."""
    whole, cut = data.draw(streams(is_masked=False))
    out: list[bytes] = []
    put_in = 0
    following = reader(out.append, is_masked=False)
    for piece in cut:
        following.read(piece)
        if following.is_at_boundary:
            out.append(control_frame(PING, b"ours", None))
            put_in += 1
    heard = _frames(b"".join(out))
    assert [each for each in heard if each != (Opcode.PING, b"ours")] == [
        each for each in _frames(whole) if each != (Opcode.PING, b"ours")
    ]
    assert heard.count((Opcode.PING, b"ours")) == put_in + _frames(whole).count((Opcode.PING, b"ours"))


def _bytes(payload):
    return bytes(payload)


def _frames(data):
    decoder = FrameDecoder(client=True)
    decoder.receive_bytes(data)
    found: list[Any] = []
    payload = b""
    while (each := decoder.process_buffer()) is not None:
        if each.opcode in (Opcode.PING, Opcode.PONG, Opcode.CLOSE):
            found.append((each.opcode, _bytes(each.payload)))
            continue
        payload += _bytes(each.payload)
        if each.frame_finished and each.message_finished:
            found.append(("message", payload))
            payload = b""
    return found


@given(cuts=st.lists(st.integers(0, 60), max_size=5))
def test_a_control_frame_that_is_kept_leaves_no_trace(cuts):
    whole = frame(2, b"a" * 10, fin=False) + frame(10, b"ours") + frame(0, b"b" * 10) + frame(10, b"theirs")
    out: list[bytes] = []
    bounds = sorted({0, *cuts, len(whole)})
    following = reader(out.append, keep=lambda opcode, payload: payload != b"ours")
    for begin, end in itertools.pairwise(bounds):
        following.read(whole[begin:end])
    assert b"".join(out) == whole.replace(frame(10, b"ours"), b"")


@given(data=st.binary(max_size=300))
def test_no_bytes_do_harm(data):
    out: list[bytes] = []
    following = reader(out.append, max_message_bytes=100)
    with contextlib.suppress(Violation):
        for byte in data:
            following.read(bytes((byte,)))
    assert data.startswith(b"".join(out))
    assert len(following._held) <= 131  # a control frame


@given(text=st.text(max_size=50), cut=st.integers(0, 200), fragment=st.integers(0, 200))
def test_texts_may_be_cut_anywhere(text, cut, fragment):
    payload = text.encode()
    whole = frame(1, payload[:fragment], fin=False) + frame(0, payload[fragment:])
    out: list[bytes] = []
    following = reader(out.append, is_text_checked=True)
    following.read(whole[:cut])
    following.read(whole[cut:])
    assert b"".join(out) == whole


@given(payload=st.binary(max_size=50), cut=st.integers(0, 60))
def test_texts_that_are_none_are_refused(payload, cut):
    whole = frame(1, payload)
    following = reader(lambda data: None, is_text_checked=True)
    try:
        payload.decode()
    except UnicodeDecodeError:
        with pytest.raises(Violation, match="not UTF-8"):
            list(map(following.read, (whole[:cut], whole[cut:])))
    else:
        following.read(whole)


@given(payload=st.binary(max_size=125), mask=st.binary(min_size=4, max_size=4), offset=st.integers(0, 9))
def test_masks_come_off_as_they_went_on(payload, mask, offset):
    assert unmasked(unmasked(payload, mask, offset), mask, offset) == payload
    expected = bytes(byte ^ mask[(index + offset) % 4] for index, byte in enumerate(payload))
    assert unmasked(payload, mask, offset) == expected


def test_our_frames_to_services_are_masked():
    sent = control_frame(CLOSE, close_payload(1001, "x" * 200), MASK)
    heard: list[Any] = []

    def keep(*control):
        heard.append(control)
        return True

    reader(lambda data: None, keep=keep).read(sent)
    assert heard == [(CLOSE, b"\x03\xe9" + b"x" * 123)]
    protocol = FrameProtocol(client=False, extensions=[])
    protocol.receive_bytes(control_frame(PONG, b"hi", MASK))
    assert [_bytes(each.payload) for each in protocol.received_frames()] == [b"hi"]


def test_codes_of_applications_share_a_label():
    assert [code_label(code) for code in (1000, 1006, 3000, 4999)] == ["1000", "1006", "3xxx", "4xxx"]
