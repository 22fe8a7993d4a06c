"""An engine that does what the test says: as much of the Docker API as the plugin asks for, and every way to fail."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import ssl

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def container(number: int = 1, /, **given: Any) -> dict[str, Any]:
    """Return an entry of ``GET /containers/json`` as Docker 20.10 writes it."""
    labels = {"gateway.service": "orders", "gateway.port": "8080", **given.pop("labels", {})}
    return {
        "Id": f"{number:064x}",
        "Names": [f"/orders-{number}"],
        "Image": "orders:1",
        "Created": 1_700_000_000 + number,
        "Ports": [],
        "Labels": {name: value for name, value in labels.items() if value is not None},
        "State": "running",
        "Status": "Up 2 seconds",
        "HostConfig": {"NetworkMode": "shop"},
        "NetworkSettings": {"Networks": {"shop": {"IPAddress": f"10.0.0.{number}", "GlobalIPv6Address": ""}}},
        **given,
    }


class FakeEngine:
    """Speaks as much of the Docker API as the plugin asks for, and misbehaves on demand.

    Attributes:
        containers: What it lists.
        inspections: What it says about single containers, by id.
        version: What it says about itself.
        behaviours: What it does instead of answering, by path without version.
        asked: The targets of all requests, in order.
    """

    def __init__(self, socket_path: str = "", tls: ssl.SSLContext | None = None) -> None:
        self.containers: list[Any] = []
        self.inspections: dict[str, Any] = {}
        self.version: Any = {
            "ApiVersion": "1.41",
            "MinAPIVersion": "1.12",
            "Components": [{"Name": "Engine", "Version": "20.10"}],
        }
        self.behaviours: dict[str, Behaviour] = {}
        self.asked: list[str] = []
        self.socket_path = socket_path
        self.port = 0
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._streams: list[asyncio.StreamWriter] = []
        self._tasks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @property
    def host(self) -> str:
        return f"unix://{self.socket_path}" if self.socket_path else f"tcp://127.0.0.1:{self.port}"

    @property
    def streams(self) -> int:
        return len(self._streams)

    async def start(self) -> None:
        if self.socket_path:
            self._server = await asyncio.start_unix_server(self._serve, self.socket_path)
        else:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._tls)
            self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
            if self.socket_path:
                Path(self.socket_path).unlink(missing_ok=True)  # noqa: ASYNC240 - a file in memory, in a test
        for task, writer in list(self._tasks.items()):
            writer.transport.abort()
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks))

    def emit(self, action: str, *, kind: str = "container") -> None:
        self.emit_bytes(json.dumps({"Type": kind, "Action": action, "status": action}).encode() + b"\n")

    def emit_bytes(self, data: bytes) -> None:
        for writer in self._streams:
            writer.write(b"%x\r\n%s\r\n" % (len(data), data))

    def count(self, path: str) -> int:
        return sum(path in target for target in self.asked)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._tasks[task] = writer
        try:
            # RuntimeError: what uvloop says of a transport that is closed.
            with contextlib.suppress(OSError, EOFError, RuntimeError, asyncio.CancelledError):
                while head := await reader.readuntil(b"\r\n\r\n"):
                    target = head.split(b" ", 2)[1].decode()
                    self.asked.append(target)
                    await self._answer(_without_version(target.partition("?")[0]), reader, writer)
        finally:
            del self._tasks[task]
            writer.close()

    async def _answer(self, path: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (behaviour := self.behaviours.get(path)) is not None:
            await behaviour(reader, writer)
        elif path == "/version":
            answer(writer, self.version)
        elif path == "/containers/json":
            answer(writer, self.containers)
        elif path == "/events":
            await self._stream(reader, writer)
        elif (found := self.inspections.get(path.split("/")[2])) is not None:
            answer(writer, found)
        else:
            answer(writer, {"message": "No such container"}, status=404)

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        self._streams.append(writer)
        try:
            await reader.read()
        finally:
            self._streams.remove(writer)


def answer(writer: asyncio.StreamWriter, value: object, *, status: int = 200) -> None:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))


def _without_version(path: str) -> str:
    return "/" + path.split("/", 2)[2] if path.startswith("/v1.") else path
