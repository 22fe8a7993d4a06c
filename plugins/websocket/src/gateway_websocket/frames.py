"""The frames of one direction, followed by their heads alone (RFC 6455 section 5.2).

Payloads are passed on as they arrive and are never re-encoded. What has been passed on always ends at the end of a
frame or inside the payload of a data frame: incomplete heads and control frames are held back, so that at the end of a
frame another one can be put in.
"""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

from gateway_websocket.close import CloseCode, Violation, check_close

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CLOSE", "PING", "PONG", "FrameReader", "control_frame", "unmasked"]

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
FIN, RSV, RSV1, CONTROL, MASKED = 0x80, 0x70, 0x40, 0x08, 0x80
LENGTH_16, LENGTH_64 = 126, 127
MAX_CONTROL_BYTES = 125
_DATA = (CONTINUATION, TEXT, BINARY)
_KNOWN = frozenset({*_DATA, CLOSE, PING, PONG})


def unmasked(data: bytes, mask: bytes, offset: int = 0) -> bytes:
    """Return ``data`` with the mask taken off, or put on (RFC 6455 section 5.3).

    Args:
        data: The bytes.
        mask: The four bytes of the key.
        offset: Where in the payload they stand.
    """
    size = len(data)
    shift = offset % 4
    key = mask[shift:] + mask[:shift]
    repeated = key * (size // 4 + 1)
    return (int.from_bytes(data) ^ int.from_bytes(repeated[:size])).to_bytes(size)


def control_frame(opcode: int, payload: bytes, mask: bytes | None) -> bytes:
    """Return a control frame.

    Args:
        opcode: ``CLOSE``, ``PING`` or ``PONG``.
        payload: At most 125 bytes.
        mask: Four bytes for a frame to a service; ``None`` for one to a client, which is not masked.
    """
    if mask is None:
        return bytes((FIN | opcode, len(payload))) + payload
    return bytes((FIN | opcode, MASKED | len(payload))) + mask + unmasked(payload, mask)


def _drop(data: bytes) -> None:
    """Take what nobody wants."""


class FrameReader:
    """Follows one direction. Used from one event loop.

    Args:
        is_masked: Whether frames must be masked, as those of clients must, or must not be.
        max_message_bytes: The largest message, as it is on the wire; 0 is unlimited.
        forward: Takes what may be passed on.
        take_control: Takes a whole control frame, opcode and payload; returns whether it is passed on.
        allowed_rsv: The reserved bits that a negotiated extension uses.
        is_text_checked: Whether texts must be UTF-8; not where an extension changes payloads.

    Attributes:
        messages: How many have begun.
        is_closed: Whether a close frame came: nothing may follow it.
    """

    __slots__ = (
        "_allowed_rsv",
        "_decoder",
        "_forward",
        "_held",
        "_is_final",
        "_is_text",
        "_is_text_checked",
        "_is_under_way",
        "_mask",
        "_mask_bit",
        "_max_message_bytes",
        "_message_bytes",
        "_overhead",
        "_payload_offset",
        "_remaining",
        "_take_control",
        "is_closed",
        "messages",
    )

    def __init__(
        self,
        *,
        is_masked: bool,
        max_message_bytes: int,
        forward: Callable[[bytes], None],
        take_control: Callable[[int, bytes], bool],
        allowed_rsv: int = 0,
        is_text_checked: bool = False,
    ) -> None:
        self._mask_bit = MASKED if is_masked else 0
        self._overhead = 6 if is_masked else 2
        self._max_message_bytes = max_message_bytes
        self._forward = forward
        self._take_control = take_control
        self._allowed_rsv = allowed_rsv
        self._is_text_checked = is_text_checked
        self._decoder: codecs.IncrementalDecoder | None = None
        self._held = b""  # the beginning of a head, or of a control frame
        self._remaining = 0  # of the payload of the data frame that is passed on
        self._payload_offset = 0
        self._mask = b""
        self._is_final = True  # the data frame that is passed on ends its message
        self._is_under_way = False  # a message has begun, and its last frame has not
        self._is_text = False
        self._message_bytes = 0
        self.messages = 0
        self.is_closed = False

    @property
    def is_at_boundary(self) -> bool:
        """Whether what was passed on ends with the end of a frame."""
        return not self._remaining

    @property
    def is_waiting(self) -> bool:
        """Whether a frame or message has begun and its rest has not come."""
        return self._remaining > 0 or self._is_under_way or bool(self._held)

    def read(self, data: bytes) -> None:
        """Take what arrived.

        Raises:
            Violation: If it breaks the protocol; everything before it was passed on.
        """
        size = len(data) - self._overhead
        # A small message in one frame, by itself: that is most of what there is.
        if (
            0 <= size <= MAX_CONTROL_BYTES
            and data[1] == self._mask_bit | size
            and (data[0] == FIN | BINARY or (data[0] == FIN | TEXT and not self._is_text_checked))
            and not (self._remaining or self._is_under_way or self._held or self.is_closed)
            and (not self._max_message_bytes or size <= self._max_message_bytes)
        ):
            self.messages += 1
            self._forward(data)
            return
        self._read_closely(data)

    def mute(self) -> None:
        """Pass nothing on any more, but follow on, to see the close frame."""
        self._forward = _drop

    def finish_frame(self, data: bytes) -> bytes:
        """Pass on what is here of the data frame under way, and return the rest."""
        end = min(self._remaining, len(data))
        if end:
            self._remaining -= end
            self._forward(data[:end])
            if not self._remaining:
                self._is_text = False  # the other end is told that it ends; nobody reads the rest of the text
                self._end_frame()
        return data[end:]

    def _read_closely(self, data: bytes) -> None:
        if self.is_closed:
            return  # RFC 6455 section 5.5.1: whatever follows a close frame is dropped
        if self._held:
            data, self._held = self._held + data, b""
        begin = position = 0  # what stands between them may be passed on
        try:
            while position < len(data) and not self.is_closed:
                if self._remaining:
                    position = self._take_payload(data, position)
                    continue
                head_bytes, opcode, length = self._read_head(data, position)
                if opcode in _DATA and head_bytes:
                    position += head_bytes
                    self._end_frame()
                    continue
                end = position + head_bytes + length
                if not head_bytes or end > len(data):
                    self._held = data[position:]
                    break
                # In order: what stands before a control frame leaves before whoever takes it can act.
                begin = self._pass_on(data, begin, position)
                payload = data[end - length : end]
                if self._take(
                    opcode, unmasked(payload, data[end - length - 4 : end - length]) if self._mask_bit else payload
                ):
                    position = end
                else:
                    begin = position = end
        finally:
            self._pass_on(data, begin, position)

    def _pass_on(self, data: bytes, begin: int, end: int) -> int:
        if end > begin:
            self._forward(data if end - begin == len(data) else data[begin:end])
        return end

    def _take(self, opcode: int, payload: bytes) -> bool:
        if opcode == CLOSE:
            check_close(payload)
            self.is_closed = True
        return self._take_control(opcode, payload)

    def _read_head(self, data: bytes, position: int) -> tuple[int, int, int]:
        """Return the bytes of the head, 0 if it is not here whole; its opcode; and the length of the payload.

        Raises:
            Violation: If it is not in order, as soon as that can be seen.
        """
        here = len(data) - position
        first = data[position]
        opcode = first & 0x0F
        self._check_first(first, opcode)
        if here == 1:
            return 0, opcode, 0
        second = data[position + 1]
        length = second & 0x7F
        if second & MASKED != self._mask_bit:
            raise Violation(CloseCode.PROTOCOL_ERROR, "frames must be masked" if self._mask_bit else "a masked frame")
        if opcode & CONTROL:
            if length > MAX_CONTROL_BYTES:
                raise Violation(CloseCode.PROTOCOL_ERROR, "a control frame that is too long")
            return self._overhead if here >= self._overhead else 0, opcode, length
        extended = {LENGTH_16: 2, LENGTH_64: 8}.get(length, 0)
        head_bytes = self._overhead + extended
        if here < 2 + extended:
            return 0, opcode, 0
        if extended:
            least = LENGTH_16 if extended == 2 else 1 << 16
            length = int.from_bytes(data[position + 2 : position + 2 + extended])
            if length < least or length >> 63:
                raise Violation(CloseCode.PROTOCOL_ERROR, "a length that is written wrongly")
        bytes_before = self._message_bytes if self._is_under_way else 0
        if self._max_message_bytes and bytes_before + length > self._max_message_bytes:
            raise Violation(CloseCode.TOO_BIG, "message too big")
        if here < head_bytes:
            return 0, opcode, 0
        self._begin_frame(first, opcode, length, bytes_before)
        self._mask = data[position + head_bytes - 4 : position + head_bytes] if self._mask_bit else b""
        return head_bytes, opcode, length

    def _check_first(self, first: int, opcode: int) -> None:
        if opcode not in _KNOWN:
            raise Violation(CloseCode.PROTOCOL_ERROR, "an unknown kind of frame")
        if first & RSV & ~self._allowed_rsv or (first & RSV1 and opcode & CONTROL):
            raise Violation(CloseCode.PROTOCOL_ERROR, "a reserved bit without its extension")
        if opcode & CONTROL:
            if not first & FIN:
                raise Violation(CloseCode.PROTOCOL_ERROR, "a fragmented control frame")
        elif (opcode == CONTINUATION) != self._is_under_way:
            raise Violation(CloseCode.PROTOCOL_ERROR, "fragments out of order")

    # The payload of a data frame.

    def _begin_frame(self, first: int, opcode: int, length: int, bytes_before: int) -> None:
        if opcode != CONTINUATION:
            self.messages += 1
            self._is_text = self._is_text_checked and opcode == TEXT and not first & RSV1
            if self._is_text:
                self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._is_final = bool(first & FIN)
        self._is_under_way = True
        self._message_bytes = bytes_before + length
        self._remaining = length
        self._payload_offset = 0

    def _take_payload(self, data: bytes, position: int) -> int:
        """Take what is here of the payload; returns where it ends."""
        end = min(position + self._remaining, len(data))
        if self._is_text:
            piece = data[position:end]
            piece = unmasked(piece, self._mask, self._payload_offset) if self._mask else piece
            # Before it counts as passed on: what is refused is not.
            self._check_text(piece, is_last=self._is_final and end - position == self._remaining)
            self._payload_offset += end - position
        self._remaining -= end - position
        self._end_frame()
        return end

    def _end_frame(self) -> None:
        if self._remaining or not self._is_final:
            return
        self._is_under_way = False
        if self._is_text:
            self._check_text(b"", is_last=True)
            self._decoder = None

    def _check_text(self, piece: bytes, *, is_last: bool = False) -> None:
        assert self._decoder is not None  # noqa: S101 - made when the text began
        try:
            self._decoder.decode(piece, is_last)
        except UnicodeDecodeError:
            raise Violation(CloseCode.INVALID_TEXT, "a text that is not UTF-8") from None
