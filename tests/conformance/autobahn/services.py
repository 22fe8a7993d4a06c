"""Services that echo: one that does it well, by a library that is not Gateway's, and one that checks nothing.

``python -m tests.conformance.autobahn.services`` starts the first one as a process, which says its port.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.conformance.autobahn import frames
from tests.conformance.autobahn.fuzzer import GUID
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Event, Message, Ping, Request
from wsproto.extensions import PerMessageDeflate
from wsproto.utilities import RemoteProtocolError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable


@contextlib.asynccontextmanager
async def echo() -> AsyncIterator[int]:
    """Echo by the library ``wsproto``, which passes every case, with compression; gives the port."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = WSConnection(ConnectionType.SERVER)
        message: list[str | bytes] = []
        while data := await reader.read(1 << 16):
            try:
                connection.receive_data(data)
                for event in connection.events():
                    for answer in _answers(event, message):
                        writer.write(connection.send(answer))
                    if isinstance(event, CloseConnection):
                        return
            except RemoteProtocolError:
                return
            await writer.drain()

    async with _listening(converse) as port:
        yield port


def _answers(event: Event, message: list[str | bytes]) -> list[Event]:
    if isinstance(event, Request):
        return [AcceptConnection(extensions=[PerMessageDeflate()])]
    if isinstance(event, Ping | CloseConnection):
        return [event.response()]
    if isinstance(event, Message):
        message.append(event.data)
        if event.message_finished:
            whole = type(event.data)().join(message)
            message.clear()
            return [type(event)(data=whole)]
    return []


@dataclass(frozen=True)
class Manners:
    """How a service that checks nothing behaves.

    Attributes:
        masks: Its frames are masked, which only those of clients may be.
        rsv: The reserved bits of its messages.
        answers_pings: Whether it does.
        close_code: What it answers a close with; ``None`` never answers one.
        spoils: It changes what it echoes.
        as_binary: It echoes texts as bytes.
        drops: Whether it ends the connection after a close.
    """

    masks: bool = False
    rsv: int = 0
    answers_pings: bool = True
    close_code: int | None = 1000
    spoils: bool = False
    as_binary: bool = False
    drops: bool = True


@contextlib.asynccontextmanager
async def careless_echo(manners: Manners) -> AsyncIterator[int]:
    """Echo whatever comes, without a look at masks, lengths, reserved bits, opcodes, order or texts; gives the port."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _accept(reader, writer)
        received, message, kind = bytearray(), b"", 1
        while data := await reader.read(1 << 16):
            received += data
            while frame := frames.take(received):
                if frame.opcode == 8:
                    if manners.close_code is not None:
                        _send(writer, manners, 8, manners.close_code.to_bytes(2))
                    if manners.drops:
                        return
                elif frame.opcode == 9 and manners.answers_pings:
                    _send(writer, manners, 10, frame.payload)
                elif frame.opcode < 8:
                    kind, message = frame.opcode or kind, message + frame.payload
                    if frame.fin:
                        _send(writer, manners, 2 if manners.as_binary else kind, message[manners.spoils :])
                        message = b""

    async with _listening(converse) as port:
        yield port


async def _accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    fields = dict(line.split(b": ", 1) for line in (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[1:-2])
    key = {name.lower(): value for name, value in fields.items()}[b"sec-websocket-key"]
    accept = base64.b64encode(hashlib.sha1(key + GUID, usedforsecurity=False).digest()).decode()
    lines = ["HTTP/1.1 101 Switching Protocols", "Connection: upgrade", "Upgrade: websocket"]
    writer.write("\r\n".join([*lines, f"Sec-WebSocket-Accept: {accept}", "", ""]).encode())


def _send(writer: asyncio.StreamWriter, manners: Manners, opcode: int, payload: bytes) -> None:
    key = b"\x11\x22\x33\x44" if manners.masks else None
    head = frames.head(opcode, len(payload), key, fin=True, rsv=manners.rsv if opcode < 8 else 0)
    writer.write(head + (frames.masked(payload, key) if key else payload))


@contextlib.asynccontextmanager
async def _listening(
    converse: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    open_: set[asyncio.StreamWriter] = set()

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_.add(writer)
        with contextlib.suppress(ConnectionError, EOFError):
            await converse(reader, writer)
        writer.close()
        open_.discard(writer)

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in open_:
            writer.transport.abort()


async def _serve() -> None:
    async with echo() as port:
        sys.stdout.write(f"{port}\n")
        sys.stdout.flush()
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until whoever started it has gone


if __name__ == "__main__":
    asyncio.run(_serve())
