"""The real gateway in processes of its own, small services in the process of the test, and a client between them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

from gateway.testing import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

START_TIMEOUT_S = 40.0
STOP_TIMEOUT_S = 15.0


@pytest.fixture(scope="session")
def anyio_backend():
    """Services and clients are asyncio's."""
    return "asyncio"


# The client.


@dataclass
class Answer:
    """An answer as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Connection:
    """A kept connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, method: str, path: str, body: bytes = b"", **headers: str) -> None:
        fields = {"host": "gateway.test", "content-length": str(len(body)), **headers}
        head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
        self.writer.write(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body)
        await self.writer.drain()

    async def answer(self, timeout_s: float = 15.0) -> Answer:
        async with asyncio.timeout(timeout_s):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {}
            for line in head[1:-2]:
                name, _, value = line.partition(":")
                headers[name.lower()] = value.strip()
            answer = Answer(int(head[0].split()[1]), headers, await self._body(headers))
        if headers.get("connection") == "close":
            self.writer.close()
        return answer

    async def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") != "chunked":
            return await self.reader.readexactly(int(headers.get("content-length", "0")))
        body = b""
        while size := int((await self.reader.readline()).strip(), 16):
            body += await self.reader.readexactly(size)
            await self.reader.readline()
        await self.reader.readline()
        return body

    async def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        await self.send(method, path, body, **headers)
        return await self.answer()

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


async def connect(port: int) -> Connection:
    return Connection(*await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), 10))


# The gateway.


@dataclass
class Gateway:
    """A gateway that runs.

    Attributes:
        port: Where it listens.
        process: Its first process.
        lines: What it has written, lines of text.
    """

    port: int
    process: asyncio.subprocess.Process
    config: Path
    lines: list[str] = field(default_factory=list)
    reading: asyncio.Task[None] | None = None

    @property
    def log(self) -> str:
        return "".join(self.lines)

    async def ask(self, path: str, *, method: str = "GET", body: bytes = b"", **headers: str) -> Answer:
        connection = await connect(self.port)
        try:
            return await connection.ask(method, path, body, **headers)
        finally:
            await connection.close()

    async def admin(self, path: str, *, method: str = "GET") -> Any:
        return (await self.ask(f"/_gateway{path}", method=method, authorization="Bearer secret")).json

    async def says(self, text: str, *, times: int = 1, timeout_s: float = START_TIMEOUT_S) -> str:
        """Wait until it has written ``text``; returns the last line that has it."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            found = [line for line in self.lines if text in line]
            if len(found) >= times:
                return found[-1]
            if time.monotonic() > deadline_s or (self.reading is not None and self.reading.done()):
                pytest.fail(f"the gateway did not say {text!r}:\n{self.log}")
            await asyncio.sleep(0.02)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    async def ended(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Wait until it has ended and everything it wrote is there; returns its exit code."""
        code = await asyncio.wait_for(self.process.wait(), timeout_s)
        if self.reading is not None:
            await asyncio.wait_for(self.reading, timeout_s)
        return code

    async def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return await self.ended()

    async def read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.lines.append(line.decode())


def children_of(pid: int) -> list[int]:
    """Return the processes that a process started."""
    found = []
    for each in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            after_name = each.read_text().rpartition(")")[2].split()
            if int(after_name[1]) == pid and after_name[0] != "Z":
                found.append(int(each.parent.name))
    return sorted(found)


@pytest.fixture
async def gateway(tmp_path):
    """Start gateways: with settings below ``gateway``, or a whole text, or without a file (``None``)."""
    started: list[Gateway] = []

    async def start(
        settings: dict[str, Any] | str | None,
        *arguments: str,
        port: int | None = None,
        is_ready: bool = True,
        environment: dict[str, str] | None = None,
    ) -> Gateway:
        port = port or free_port()
        config = tmp_path / "gateway.yaml"
        if settings is not None:
            config.write_text(settings if isinstance(settings, str) else as_text(settings, port))
            arguments = ("--config", str(config), *arguments)
        clean = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY")}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway.cli", *arguments),
            *(("--port", str(port)) if settings is None or isinstance(settings, str) else ()),
            cwd=tmp_path,
            env={**clean, **(environment or {})},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        made = Gateway(port, process, config)
        made.reading = asyncio.ensure_future(made.read())
        started.append(made)
        if is_ready:
            await made.says("listening on")
        return made

    yield start
    for each in started:
        workers = children_of(each.process.pid)
        if each.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                each.signal(signal.SIGTERM)
            try:
                await each.ended(8.0)
            except TimeoutError:
                each.process.kill()
                await each.process.wait()
        for pid in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def as_text(settings: dict[str, Any], port: int) -> str:
    """Return settings as a file; JSON is YAML."""
    frontend = {"http": {"host": "127.0.0.1", "port": port}}
    return json.dumps({"gateway": {"frontend": frontend, "admin": {"token": "secret"}, **settings}}, indent=2)


@pytest.fixture(scope="session")
def text_of():
    """Return what the file of a gateway with settings holds."""
    return as_text


@pytest.fixture(scope="session")
def children():
    """Return the processes that a process started."""
    return children_of


@pytest.fixture
async def dial():
    """Open connections that are closed at the end."""
    made: list[Connection] = []

    async def open_connection(port: int) -> Connection:
        made.append(await connect(port))
        return made[-1]

    yield open_connection
    for each in made:
        await each.close()


@pytest.fixture(scope="session")
def port():
    """Return a free port."""
    return free_port


@pytest.fixture
def write(tmp_path):
    """Write a file, such as a plugin."""

    def put(name: str, source: str) -> Path:
        path: Path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(source).lstrip())
        return path

    return put


@pytest.fixture
def install(tmp_path, write):
    """Install a plugin where a gateway with the returned environment finds it."""

    def put(name: str, source: str) -> dict[str, str]:
        write(f"site/gateway_{name}.py", source)
        info = f"site/gateway_{name}-1.0.dist-info"
        write(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: gateway-{name}\nVersion: 1.0\n")
        write(f"{info}/entry_points.txt", f"[gateway]\n{name} = gateway_{name}\n")
        return {"PYTHONPATH": str(tmp_path / "site")}

    return put


# Services.


class Service:
    """A service: echoes bodies, and waits if it is told to.

    Attributes:
        port: Where it listens.
        requests: What it was asked, method and path.
        hold: While it is clear, nothing is answered.
    """

    def __init__(self, name: str, port: int = 0) -> None:
        self.name = name
        self.port = port
        self.requests: list[str] = []
        self.hold = asyncio.Event()
        self.hold.set()
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._connections):
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                length = next(
                    (int(line[15:]) for line in head.split("\r\n") if line.lower().startswith("content-length:")), 0
                )
                body = await reader.readexactly(length)
                method, path, _ = head.split(" ", 2)
                self.requests.append(f"{method} {path}")
                await self.hold.wait()
                body = body or self.name.encode()
                writer.write(
                    f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\nx-instance: {self.name}\r\n\r\n".encode() + body
                )
                await writer.drain()
        self._connections.discard(writer)
        writer.close()


@pytest.fixture
async def service() -> AsyncIterator[Callable[..., Awaitable[Service]]]:
    """Start services."""
    started: list[Service] = []

    async def start(name: str = "one", port: int = 0) -> Service:
        made = Service(name, port)
        await made.start()
        started.append(made)
        return made

    yield start
    for each in started:
        await each.stop()


@pytest.fixture(scope="session")
def routes():
    """Make settings that send everything to services: ``{"orders": [port, …]}``."""

    def settings(services: dict[str, list[int]], **more: Any) -> dict[str, Any]:
        rules = [
            {"id": name, "path": "/*" if len(services) == 1 else f"/{name}/*", "serviceName": name} for name in services
        ]
        static = [
            {"name": name, "instances": [{"address": "127.0.0.1", "port": port} for port in ports]}
            for name, ports in services.items()
        ]
        return {"router": {"rules": rules}, "registry": {"static": {"services": static}}, **more}

    return settings


@pytest.fixture(scope="session")
def until():
    """Wait until something is so."""

    async def wait(is_so: Callable[[], Any], timeout_s: float = 15.0) -> None:
        deadline_s = time.monotonic() + timeout_s
        while True:
            outcome = is_so()
            if hasattr(outcome, "__await__"):
                outcome = await outcome
            if outcome:
                return
            if time.monotonic() > deadline_s:
                raise TimeoutError
            await asyncio.sleep(0.02)

    return wait
