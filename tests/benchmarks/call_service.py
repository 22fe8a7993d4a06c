"""The service behind the scenarios with gRPC: unary calls that give back their message, over uvloop.

A program of its own, so that it can be pinned: `python call_service.py PORT`.

It knows no more of HTTP/2 than such calls need, so that it costs little beside what is measured: fields of requests
are not decoded, and every answer has the same fields, encoded beforehand. A body that is not `calls.FRAMED` is answered
with INVALID_ARGUMENT. It relies on clients to open their windows in time, of which a hundred answers take little.
"""

from __future__ import annotations

import asyncio
import sys

import calls

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEAD_BYTES = 9
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING = 0x0, 0x1, 0x3, 0x4, 0x6  # RFC 9113, section 6
_END_STREAM = _ACK = 0x1
_END_HEADERS = 0x4
_PADDED = 0x8

_WINDOW = 1 << 30
_OPEN_AT = 1 << 29

# RFC 7541: an indexed field; a literal without indexing whose name is entry 31; one with a new name.
_CONTENT_TYPE = b"\x0f\x10\x10application/grpc"
_RESPONSE = b"\x88" + _CONTENT_TYPE
_OK = b"\x00\x0bgrpc-status\x010"
_REFUSED = _RESPONSE + b"\x00\x0bgrpc-status\x013"


def _frame(kind: int, flags: int, stream: bytes, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream + payload


class CallService(asyncio.Protocol):
    """A connection."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
        self._received = b""
        self._is_open = False
        self._bodies: dict[bytes, bytes] = {}
        self._unacknowledged_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # connections are stream sockets
        settings = b"\x00\x03" + (1000).to_bytes(4, "big")  # MAX_CONCURRENT_STREAMS
        window = _frame(0x8, 0, bytes(4), _WINDOW.to_bytes(4, "big"))
        self._transport.write(_frame(_SETTINGS, 0, bytes(4), settings) + window)

    def data_received(self, data: bytes) -> None:
        data = self._received + data
        at = 0
        if not self._is_open:
            if len(data) < len(_PREFACE):
                self._received = data
                return
            if not data.startswith(_PREFACE):
                self._transport.abort()
                return
            self._is_open, at = True, len(_PREFACE)
        answers: list[bytes] = []
        while len(data) - at >= _HEAD_BYTES:
            end = at + _HEAD_BYTES + int.from_bytes(data[at : at + 3])
            if end > len(data):
                break
            self._take(data[at + 3], data[at + 4], data[at + 5 : at + 9], data[at + _HEAD_BYTES : end], answers)
            at = end
        self._received = data[at:]
        if answers:
            self._transport.write(b"".join(answers))

    def _take(self, kind: int, flags: int, stream: bytes, payload: bytes, answers: list[bytes]) -> None:
        if kind == _DATA:
            self._unacknowledged_bytes += len(payload)
            if self._unacknowledged_bytes > _OPEN_AT:
                answers.append(_frame(0x8, 0, bytes(4), self._unacknowledged_bytes.to_bytes(4, "big")))
                self._unacknowledged_bytes = 0
            if flags & _PADDED:
                payload = payload[1 : len(payload) - payload[0]]
            body = self._bodies.pop(stream, b"") + payload
            if flags & _END_STREAM:
                answers.append(_answer(stream, body))
            else:
                self._bodies[stream] = body
        elif kind == _HEADERS and flags & _END_STREAM:
            answers.append(_answer(stream, b""))
        elif kind in {_SETTINGS, _PING} and not flags & _ACK:
            answers.append(_frame(kind, _ACK, bytes(4), payload if kind == _PING else b""))
        elif kind == _RST_STREAM:
            self._bodies.pop(stream, None)


_RESPONSE_HEAD = _frame(_HEADERS, _END_HEADERS, b"", _RESPONSE)[:5]
_DATA_HEAD = _frame(_DATA, 0, b"", calls.FRAMED)[:5]
_TRAILER_HEAD = _frame(_HEADERS, _END_HEADERS | _END_STREAM, b"", _OK)[:5]


def _answer(stream: bytes, body: bytes) -> bytes:
    if body != calls.FRAMED:
        return _frame(_HEADERS, _END_HEADERS | _END_STREAM, stream, _REFUSED)
    head = _RESPONSE_HEAD + stream + _RESPONSE
    return head + _DATA_HEAD + stream + calls.FRAMED + _TRAILER_HEAD + stream + _OK


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(CallService, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


def main() -> None:
    """Serves until it is told to end."""
    import uvloop  # noqa: PLC0415 - only what runs as a program needs it

    uvloop.run(_serve(int(sys.argv[1])))


if __name__ == "__main__":
    main()
