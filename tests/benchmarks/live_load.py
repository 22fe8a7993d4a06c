"""Opens WebSockets or event streams through a proxy, and measures them or lets them rest, over uvloop.

A program of its own, so that it can be pinned: `python live_load.py KIND PORT COUNT SECONDS`. It opens all connections,
prints `READY` and how many there are, waits for a line on its standard input, does its work, prints its figures in one
line, and ends when its standard input does.

| kind | what it does |
|---|---|
| `echo` | each WebSocket sends a message of 100 bytes when the one before it has come back: a closed loop |
| `events` | reads streams, and compares the time in each event with that of its arrival; both have the same clock |
| `sockets` | WebSockets that rest, once a message has come back on each |
| `streams` | streams that rest, once an event has come on each |

Everything that arrives is checked: messages byte by byte, events by their numbers.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import re
import sys
import time

from pace import percentile

_OPENING_AT_ONCE = 200
_OPEN_WITHIN_S = 20.0
_MESSAGE = bytes(range(100))
_MASK = b"\x11\x22\x33\x44"
_SENT = b"\x82\xe4" + _MASK + bytes(byte ^ _MASK[index % 4] for index, byte in enumerate(_MESSAGE))
_EXPECTED = b"\x82\x64" + _MESSAGE
_EVENT = re.compile(rb"data: (\d+) (\d+)\n\n")
_LONGEST_EVENT = 64
_HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
_ASKING = b"GET /%b HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n"


class Figures:
    """What was seen."""

    def __init__(self) -> None:
        self.is_counting = False
        self.latencies_s: list[float] = []
        self.wrong = 0

    def take(self, latency_s: float) -> None:
        """Notes a message or an event."""
        if self.is_counting:
            self.latencies_s.append(latency_s)

    def as_json(self, seconds: float) -> str:
        """Returns counts and percentiles."""
        latencies = sorted(self.latencies_s)
        figures = {
            "requests": len(latencies),
            "seconds": seconds,
            "p50_s": percentile(latencies, 0.50),
            "p99_s": percentile(latencies, 0.99),
            "wrong": self.wrong,
        }
        return json.dumps(figures)


class LiveConnection(asyncio.Protocol):
    """A connection; ``is_open`` is done when the first message or event has come, false if something else did."""

    _transport: asyncio.Transport

    def __init__(self, figures: Figures) -> None:
        self._figures = figures
        self._received = b""
        self._is_answered = False
        self.is_open: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asks."""
        self._transport = transport  # type: ignore[assignment]  # connections are stream sockets
        self._transport.write(self.asking())

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends before it was told to."""
        self._figures.wrong += 1
        self._opened(ok=False)

    def data_received(self, data: bytes) -> None:
        """Takes the head, then whatever the kind is about."""
        self._received += data
        if not self._is_answered:
            head, end, rest = self._received.partition(b"\r\n\r\n")
            if not end:
                return
            self._is_answered = True
            self._received = rest
            if not head.startswith((b"HTTP/1.1 101 ", b"HTTP/1.1 200 ")):
                self._transport.abort()
                return
            self.begin()
        if self._received:
            self.take()

    def _opened(self, *, ok: bool = True) -> None:
        if not self.is_open.done():
            self.is_open.set_result(ok)

    def asking(self) -> bytes:
        """Returns the request."""
        raise NotImplementedError

    def begin(self) -> None:
        """Does what follows the head of the answer."""

    def start(self) -> None:
        """Does what the kind is about."""

    def take(self) -> None:
        """Takes what has arrived."""
        raise NotImplementedError


class Socket(LiveConnection):
    """A WebSocket."""

    def asking(self) -> bytes:
        """Returns the handshake."""
        return _HANDSHAKE

    def begin(self) -> None:
        """Sends one message."""
        self.start()

    def start(self) -> None:
        """Sends a message."""
        self._sent_s = time.perf_counter()
        self._transport.write(_SENT)

    def take(self) -> None:
        """Takes the message that came back, and sends the next."""
        if len(self._received) < len(_EXPECTED):
            return
        now_s = time.perf_counter()
        if self._received != _EXPECTED:
            self._figures.wrong += 1
        self._received = b""
        if self.is_open.done():
            self._figures.take(now_s - self._sent_s)
            if self._figures.is_counting:
                self.start()
        self._opened()


class Stream(LiveConnection):
    """An event stream."""

    path = b"events"
    _next = 0

    def asking(self) -> bytes:
        """Returns the request."""
        return _ASKING % self.path

    def take(self) -> None:
        """Takes the events that have come."""
        now_ns = time.monotonic_ns()
        end = 0
        for event in _EVENT.finditer(self._received):
            end = event.end()
            if int(event[1]) != self._next:
                self._figures.wrong += 1
            self._next = int(event[1]) + 1
            self._figures.take((now_ns - int(event[2])) / 1e9)
            self._opened()
        self._received = self._received[max(end, len(self._received) - _LONGEST_EVENT) :]


class RestingStream(Stream):
    """One that rests."""

    path = b"rest"


_KINDS = {"echo": Socket, "events": Stream, "sockets": Socket, "streams": RestingStream}


async def _open(kind: type[LiveConnection], port: int, count: int, figures: Figures) -> list[LiveConnection]:
    """Opens so many connections, fewer if the time is over or one is refused."""
    loop = asyncio.get_running_loop()
    opened: list[LiveConnection] = []
    deadline = loop.time() + _OPEN_WITHIN_S
    while len(opened) < count and loop.time() < deadline:
        here = min(_OPENING_AT_ONCE, count - len(opened))
        made = [loop.create_connection(lambda: kind(figures), "127.0.0.1", port) for _ in range(here)]
        connections = [connection for _, connection in await asyncio.gather(*made)]
        async with asyncio.timeout_at(deadline):
            if not all(await asyncio.gather(*(connection.is_open for connection in connections))):
                break
        opened += connections
    return opened


async def _run(kind: str, port: int, count: int, seconds: float) -> None:
    figures = Figures()
    loop = asyncio.get_running_loop()
    connections: list[LiveConnection] = []
    with contextlib.suppress(TimeoutError, OSError):
        connections = await _open(_KINDS[kind], port, count, figures)
    print(f"READY {len(connections)} {figures.wrong}", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    began = time.perf_counter()
    figures.is_counting = True
    if kind == "echo":
        for connection in connections:
            connection.start()
    await asyncio.sleep(seconds)
    figures.is_counting = False
    print(f"FIGURES {figures.as_json(time.perf_counter() - began)}", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)


def main() -> None:
    """Runs once."""
    import uvloop  # noqa: PLC0415 - only what runs as a program needs it

    kind, port, count, seconds = sys.argv[1], *map(float, sys.argv[2:])
    gc.disable()
    uvloop.run(_run(kind, int(port), int(count), seconds))


if __name__ == "__main__":
    main()
