"""The service behind the scenarios with WebSockets and event streams, over uvloop.

A program of its own, so that it can be pinned: `python live_service.py PORT`.

| request | answer |
|---|---|
| an upgrade to WebSocket | 101, then every message of up to 125 bytes comes back |
| `GET /events` | a stream of server-sent events, `EVENTS_PER_S` each second: a number and the time it was sent |
| `GET /rest` | a stream with one event, and then nothing |
| anything else | 200 with the 65 bytes of `upstream.py` |
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import sys
import time

from upstream import SMALL_BODY

EVENTS_PER_S = 10
_TICK_S = 0.002
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_OK = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n%b" % (len(SMALL_BODY), SMALL_BODY)
_STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_HEAD_BYTES = 6  # of a masked frame whose payload is short


class Streams:
    """The open streams, each due in turn, so that events are spread over time and not sent in bursts."""

    def __init__(self) -> None:
        self._queue: list[tuple[float, int, LiveService]] = []  # in order of time: everybody has the same period

    def add(self, connection: LiveService) -> None:
        """Sends events from now on."""
        self._queue.append((time.monotonic() + 1 / EVENTS_PER_S, 0, connection))

    def tick(self) -> None:
        """Sends what is due."""
        asyncio.get_running_loop().call_later(_TICK_S, self.tick)
        now, at = time.monotonic(), 0
        queue = self._queue
        while at < len(queue) and queue[at][0] <= now:
            due, number, connection = queue[at]
            at += 1
            if connection.is_open:
                connection.send_event(number)
                queue.append((due + 1 / EVENTS_PER_S, number + 1, connection))
        del queue[:at]


class LiveService(asyncio.Protocol):
    """One connection."""

    _transport: asyncio.Transport

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._is_socket = False
        self._received = b""
        self.is_open = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begins."""
        self._transport = transport  # type: ignore[assignment]  # connections are stream sockets

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends; nobody is told."""
        self.is_open = False

    def data_received(self, data: bytes) -> None:
        """Takes requests, or messages."""
        self._received += data
        if self._is_socket:
            self._echo()
        elif self._received.endswith(b"\r\n\r\n"):
            head, self._received = self._received, b""
            self._answer(head)

    def send_event(self, number: int) -> None:
        """Sends an event with its number and the time."""
        event = b"data: %d %d\n\n" % (number, time.monotonic_ns())
        self._transport.write(b"%x\r\n%b\r\n" % (len(event), event))

    def _answer(self, head: bytes) -> None:
        fields = {
            name: value.strip() for name, _, value in (line.lower().partition(b":") for line in head.split(b"\r\n"))
        }
        if fields.get(b"upgrade") == b"websocket":
            key = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))[19:]
            accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
            self._transport.write(
                b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
                b"sec-websocket-accept: %b\r\n\r\n" % accept
            )
            self._is_socket = True
        elif head.startswith((b"GET /events ", b"GET /rest ")):
            self._transport.write(_STREAM)
            if head.startswith(b"GET /events "):
                self._streams.add(self)
            else:
                self.send_event(0)
        else:
            self._transport.write(_OK)

    def _echo(self) -> None:
        data = self._received
        at = 0
        while len(data) - at >= _HEAD_BYTES and len(data) - at >= (size := data[at + 1] & 0x7F) + _HEAD_BYTES:
            begin = at + _HEAD_BYTES
            key = data[at + 2 : begin] * (size // 4 + 1)
            masked = int.from_bytes(data[begin : begin + size])
            payload = (masked ^ int.from_bytes(key[:size])).to_bytes(size)
            self._transport.write(bytes((data[at], size)) + payload)
            at = begin + size
        self._received = data[at:]


async def _serve(port: int) -> None:
    streams = Streams()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: LiveService(streams), "127.0.0.1", port, backlog=4096)
    streams.tick()
    await server.serve_forever()


def main() -> None:
    """Serves until it is told to end."""
    import uvloop  # noqa: PLC0415 - only what runs as a program needs it

    uvloop.run(_serve(int(sys.argv[1])))


if __name__ == "__main__":
    main()
