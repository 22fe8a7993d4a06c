"""A service that speaks WebSocket and sends back every message (RFC 6455)."""

from __future__ import annotations

import base64
import hashlib
import struct
from typing import TYPE_CHECKING

from gateway.testing.upstream import Reply

if TYPE_CHECKING:
    from gateway.testing.upstream import Received

__all__ = ["WebSocketEcho", "websocket_echo"]

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CLOSE, _PING, _PONG = 8, 9, 10
_TWO_BYTES, _EIGHT_BYTES = 126, 127
_BAD_REQUEST = 400


def websocket_echo(request: Received) -> Reply:
    """Answer a handshake, and then echo: ``upstream.answer = websocket_echo``. Anything else is 400.

    Of the subprotocols that the client offers it takes the first.
    """
    key = request.get("sec-websocket-key")
    if key is None:
        return Reply(_BAD_REQUEST, body="no WebSocket handshake")
    accept = base64.b64encode(hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()).decode()
    headers = [("upgrade", "websocket"), ("connection", "upgrade"), ("sec-websocket-accept", accept)]
    if offered := request.get("sec-websocket-protocol"):
        headers.append(("sec-websocket-protocol", offered.partition(",")[0].strip()))
    return Reply(101, headers=headers, speaker=WebSocketEcho())


class WebSocketEcho:
    """Sends back every frame, answers pings, and closes when the client does.

    Attributes:
        is_over: Whether the client has closed.
    """

    def __init__(self) -> None:
        self.is_over = False
        self._buffer = bytearray()

    def received(self, data: bytes) -> bytes:
        """Take what the client sent, and return the frames to send back."""
        self._buffer += data
        answers = []
        while not self.is_over and (frame := self._next()) is not None:
            first, payload = frame
            opcode = first & 0x0F
            if opcode == _PONG:
                continue
            self.is_over = opcode == _CLOSE
            answers.append(_frame(0x80 | _PONG if opcode == _PING else first, payload))
        return b"".join(answers)

    def _next(self) -> tuple[int, bytes] | None:
        """Return the first byte of the next frame and its payload, unmasked; ``None`` while it is not there."""
        buffer, start = self._buffer, 6
        if len(buffer) < start:
            return None
        size = buffer[1] & 0x7F
        if size == _TWO_BYTES:
            start = 8
            size = int.from_bytes(buffer[2:4])
        elif size == _EIGHT_BYTES:
            start = 14
            size = int.from_bytes(buffer[2:10])
        if len(buffer) < start + size:
            return None
        mask = buffer[start - 4 : start]
        payload = bytes(byte ^ mask[index % 4] for index, byte in enumerate(buffer[start : start + size]))
        first = buffer[0]
        del buffer[: start + size]
        return first, payload


def _frame(first: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < _TWO_BYTES:
        return bytes((first, size)) + payload
    if size < 1 << 16:
        return bytes((first, _TWO_BYTES)) + struct.pack(">H", size) + payload
    return bytes((first, _EIGHT_BYTES)) + struct.pack(">Q", size) + payload


if TYPE_CHECKING:
    from gateway.testing.upstream import Speaker

    _: type[Speaker] = WebSocketEcho
