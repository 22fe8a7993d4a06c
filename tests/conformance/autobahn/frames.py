"""Frames (RFC 6455 section 5.2), whatever is wrong with them."""

from __future__ import annotations

from typing import NamedTuple


class Frame(NamedTuple):
    """A frame that was received.

    Attributes:
        opcode: What it is.
        payload: Its payload, unmasked.
        fin: Whether it is the last of its message.
        rsv: The three reserved bits; 4 is the first of them.
        is_masked: Whether it was masked.
        is_minimal: Whether its length took as few bytes as it can.
    """

    opcode: int
    payload: bytes
    fin: bool
    rsv: int
    is_masked: bool
    is_minimal: bool


def head(opcode: int, size: int, key: bytes | None, *, fin: bool, rsv: int) -> bytes:
    """Return what stands before a payload of a size in bytes; a ``key`` of ``None`` says that it is not masked."""
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    bit = 0 if key is None else 0x80
    if size < 126:
        length = bytes((bit | size,))
    elif size < 1 << 16:
        length = bytes((bit | 126,)) + size.to_bytes(2)
    else:
        length = bytes((bit | 127,)) + size.to_bytes(8)
    return bytes((first,)) + length + (key or b"")


def masked(payload: bytes, key: bytes) -> bytes:
    """Mask a payload, or take its mask off (RFC 6455 section 5.3)."""
    size = len(payload)
    keys = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload) ^ int.from_bytes(keys)).to_bytes(size)


def take(received: bytearray) -> Frame | None:
    """Take the first frame from what was received; ``None`` if it is not all there."""
    if len(received) < 2:
        return None
    size, at = received[1] & 0x7F, 2
    least = 0
    if size > 125:
        width, least = (2, 126) if size == 126 else (8, 1 << 16)
        at += width
        if len(received) < at:
            return None
        size = int.from_bytes(received[2:at])
    is_masked = bool(received[1] & 0x80)
    begin = at + 4 if is_masked else at
    end = begin + size
    if len(received) < end:
        return None
    payload = bytes(memoryview(received)[begin:end])
    if is_masked:
        payload = masked(payload, bytes(received[at:begin]))
    first = received[0]
    del received[:end]
    return Frame(first & 0x0F, payload, bool(first & 0x80), first >> 4 & 7, is_masked, size >= least)
