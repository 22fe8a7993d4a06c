"""A service that speaks WebSocket by the library ``websockets``, one that speaks raw bytes, and raw clients."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import logging
import os
import struct
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from gateway.testing import RunningGateway

PATIENCE_S = 10.0
MASK = b"\x11\x22\x33\x44"
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, mask: bytes | None = MASK) -> bytes:
    """Return a frame; masked as a client's unless ``mask`` is ``None``."""
    size = len(payload)
    head = bytes(((0x80 if fin else 0) | rsv << 4 | opcode,))
    bit = 0 if mask is None else 0x80
    if size < 126:
        head += bytes((bit | size,))
    elif size < 1 << 16:
        head += bytes((bit | 126,)) + struct.pack(">H", size)
    else:
        head += bytes((bit | 127,)) + struct.pack(">Q", size)
    if mask is None:
        return head + payload
    return head + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


def close_frame(code: int, reason: str = "", *, mask: bytes | None = MASK) -> bytes:
    return frame(8, struct.pack(">H", code) + reason.encode(), mask=mask)


class RawPeer:
    """One end of a WebSocket as bytes and frames."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.head = b""

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def frame(self) -> tuple[int, bytes]:
        """Return opcode and payload of the next frame, its mask taken off."""
        async with asyncio.timeout(PATIENCE_S):
            first, second = await self.reader.readexactly(2)
            size = second & 0x7F
            if size == 126:
                (size,) = struct.unpack(">H", await self.reader.readexactly(2))
            elif size == 127:
                (size,) = struct.unpack(">Q", await self.reader.readexactly(8))
            mask = await self.reader.readexactly(4) if second & 0x80 else b"\0\0\0\0"
            payload = await self.reader.readexactly(size)
            return first & 0x0F, bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))

    async def close_code(self) -> tuple[int | None, str]:
        """Return code and reason of the close frame that must come next, data frames aside; 1006 without one."""
        with contextlib.suppress(EOFError, ConnectionError):
            while True:
                opcode, payload = await self.frame()
                if opcode == 8:
                    return (struct.unpack(">H", payload[:2])[0] if payload else 1005), payload[2:].decode()
        return 1006, ""

    async def is_closed(self) -> bool:
        async with asyncio.timeout(PATIENCE_S):
            try:
                return await self.reader.read(1) == b""
            except ConnectionError:
                return True

    async def close(self) -> None:
        self.writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


class RawService:
    """Accepts handshakes and hands out the peers; what happens then is for the test to say."""

    def __init__(self) -> None:
        self.peers: asyncio.Queue[RawPeer] = asyncio.Queue()
        self.fields: list[str] = []  # further fields of the 101
        self.answer: bytes | None = None  # instead of the 101
        self.accept: bytes | None = None
        self.all: list[RawPeer] = []
        self.port = 0

    @property
    def instance(self) -> dict[str, Any]:
        return {"address": "127.0.0.1", "port": self.port}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = RawPeer(reader, writer)
        self.all.append(peer)
        try:
            peer.head = await reader.readuntil(b"\r\n\r\n")
        except (EOFError, ConnectionError):
            return
        fields = dict(line.split(b": ", 1) for line in peer.head.split(b"\r\n")[1:-2])
        key = fields.get(b"sec-websocket-key", b"")
        accept = base64.b64encode(hashlib.sha1(key + GUID, usedforsecurity=False).digest())
        lines = ["HTTP/1.1 101 Switching Protocols", "Connection: upgrade", "Upgrade: websocket", *self.fields]
        lines.append(f"Sec-WebSocket-Accept: {(self.accept or accept).decode()}")
        writer.write(self.answer or "\r\n".join([*lines, "", ""]).encode())
        self.peers.put_nowait(peer)

    async def next(self) -> RawPeer:
        async with asyncio.timeout(PATIENCE_S):
            return await self.peers.get()


@pytest.fixture
async def raw_service() -> AsyncIterator[RawService]:
    service = RawService()
    server = await asyncio.start_server(service.serve, "127.0.0.1", 0)
    service.port = server.sockets[0].getsockname()[1]
    yield service
    server.close()
    for peer in service.all:
        await peer.close()


class EchoService:
    """Echoes messages, as a user's service would, with the library ``websockets``."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.connections: list[ServerConnection] = []

    @property
    def instance(self) -> dict[str, Any]:
        return {"address": "127.0.0.1", "port": self.port}


@pytest.fixture
async def echo_service() -> AsyncIterator[EchoService]:
    found: list[EchoService] = []

    async def echo(connection: ServerConnection) -> None:
        found[0].connections.append(connection)
        async for message in connection:
            await connection.send(message)

    quiet = logging.getLogger("tests.websocket.service")  # it reports every client that breaks the protocol
    quiet.disabled = True

    def choose(connection: ServerConnection, offered: Any) -> Any:
        return "chat" if "chat" in offered else None

    async with serve(
        echo, "127.0.0.1", 0, select_subprotocol=choose, max_size=2**24, close_timeout=0.5, logger=quiet
    ) as server:
        found.append(EchoService(next(iter(server.sockets)).getsockname()[1]))
        yield found[0]


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., Awaitable[RawPeer]]]:
    """Open a WebSocket as raw bytes; a refusal is the peer's ``head``."""
    opened: list[RawPeer] = []

    async def open_(
        where: RawGatewayOrAddress, path: str = "/", *, headers: dict[str, str] | None = None, behind: bytes = b""
    ) -> RawPeer:
        host, port = where if isinstance(where, tuple) else where.gateway.addresses[0]
        reader, writer = await asyncio.open_connection(host, port, limit=2**26)
        peer = RawPeer(reader, writer)
        opened.append(peer)
        fields = {
            "Host": "gw.test",
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
            **(headers or {}),
        }
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items() if value)]
        writer.write("\r\n".join([*lines, "", ""]).encode() + behind)
        async with asyncio.timeout(PATIENCE_S):
            peer.head = await reader.readuntil(b"\r\n\r\n")
        return peer

    yield open_
    for peer in opened:
        await peer.close()


if TYPE_CHECKING:
    RawGatewayOrAddress = RunningGateway | tuple[str, int]


@pytest.fixture
async def websocket_gateway(gateway_factory: Any) -> Callable[..., Awaitable[RunningGateway]]:
    """Start a gateway with one WebSocket route."""

    async def start(
        service: Any, websocket: Any = None, *, rule: Any = None, backend: Any = None, **blocks: Any
    ) -> RunningGateway:
        services = [{"name": "service", "instances": [service.instance]}]
        rules = [{"path": "/*", "serviceName": "service", "protocol": "websocket", **(rule or {})}]
        configuration = {
            "registry": {"static": {"services": services}},
            "router": {"rules": rules},
            "frontend": {"websocket": websocket or {}},
            "backend": {"websocket": backend or {}},
            **blocks,
        }
        started: RunningGateway = await gateway_factory(configuration)
        return started

    return start


class Clock:
    """The monotonic clock that the plugin and the gateway's sweep see, which tests move on."""

    def __init__(self) -> None:
        self.late_s = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.late_s

    def time(self) -> float:
        return time.time() + self.late_s

    def let_pass(self, gateway: RunningGateway, seconds: float) -> None:
        """Let time pass, and have the deadlines looked at."""
        self.late_s += seconds
        deadlines = gateway.gateway.plane._deadlines
        deadlines._clock = self.monotonic
        deadlines.sweep()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in ("gateway.principal", "gateway_websocket.tunnel"):
        monkeypatch.setattr(f"{module}.time", clock)
    return clock


@pytest.fixture
def wire() -> SimpleNamespace:
    """Give what makes frames."""
    return SimpleNamespace(frame=frame, close=close_frame)
