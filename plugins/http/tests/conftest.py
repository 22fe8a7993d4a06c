"""A whole gateway in the test's own event loop, a service behind it that keeps what it is sent, and raw clients.

The gateway is the kernel's data plane with a real configuration: the only thing left out is discovery, whose part
``Gateway.publish`` plays. Everything speaks over real sockets on 127.0.0.1.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import time
from typing import TYPE_CHECKING, Any

import h11
import pytest

from gateway.config import load_configuration
from gateway.interfaces import Endpoint
from gateway.runtime.dataplane import DataPlane

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PATIENCE_S = 10.0
"""How long a test waits for something that must happen."""


@pytest.fixture(scope="module", params=["uvloop"])
def anyio_backend(request):
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


# The gateway.


class Gateway:
    """A running gateway."""

    def __init__(self, plane: DataPlane) -> None:
        self.plane = plane
        self.clients: list[Client] = []
        self._late_s = 0.0
        plane._deadlines._clock = lambda: time.monotonic() + self._late_s

    @property
    def address(self) -> tuple[str, int]:
        """The first address that is served."""
        return self.plane.addresses()[0]

    @property
    def adapter(self) -> Any:
        """The adapter, for what cannot be seen from outside."""
        return self.plane._adapters()[0]

    async def connect(self, *, address: tuple[str, int] | None = None, **options: Any) -> Client:
        """Return a client with a connection of its own."""
        reader, writer = await asyncio.open_connection(*(address or self.address), limit=2**26, **options)
        client = Client(reader, writer)
        self.clients.append(client)
        return client

    async def ask(self, request: bytes, **options: Any) -> Answer:
        """Send a request over a connection of its own and return the answer."""
        client = await self.connect(**options)
        return await client.ask(request)

    def let_pass(self, seconds: float) -> None:
        """Let the deadlines see a clock that is late by so much, once."""
        self._late_s = seconds
        self.plane._deadlines.sweep()
        self._late_s = 0.0

    def publish(self, address: tuple[str, int], *, scheme: str = "http", service: str = "service") -> None:
        """Say where the service is."""
        self.plane.directory.publish("test", {service: [Endpoint(address=address[0], port=address[1], scheme=scheme)]})

    async def stop(self) -> None:
        """End it; nothing may be left."""
        for client in self.clients:
            await client.close()
        await eventually(lambda: not self.plane.in_flight())
        await self.plane.stop(0.5)


@contextlib.asynccontextmanager
async def gateways(folder):
    """Give a function that starts gateways, and stop them in the end."""
    started: list[Gateway] = []
    failures: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: failures.append(context))

    async def start(
        service: Service | None = None, *, http: Any = None, backend: Any = None, rule: Any = None, **blocks: Any
    ) -> Gateway:
        instance = {"address": "127.0.0.1", "port": 1}
        configuration = {
            "frontend": {"http": {"host": "127.0.0.1", "port": 0, **(http or {})}},
            "backend": {"http": backend or {}},
            "registry": {"static": {"services": [{"name": "service", "instances": [instance]}]}},
            "router": {"rules": [{"path": "/*", "serviceName": "service", **(rule or {})}]},
            **blocks,
        }
        path = folder / f"gateway-{len(started)}.yaml"
        path.write_text(json.dumps({"gateway": configuration}))  # JSON is YAML
        plane = DataPlane(_no_admin)
        await plane.prepare(load_configuration(path, environ={}))
        await plane.commit()
        gateway = Gateway(plane)
        started.append(gateway)
        if service is not None:
            gateway.publish(service.address)
        return gateway

    yield start
    for gateway in started:
        await gateway.stop()
    assert not failures, failures


@pytest.fixture
async def start_gateway(tmp_path):
    """Start a gateway: ``await start_gateway(service, http={...}, backend={...}, rule={...})``."""
    async with gateways(tmp_path) as start:
        yield start


@pytest.fixture(scope="module")
async def shared_gateway(tmp_path_factory, shared_service):
    """One for all tests of a module, for those that only ask."""
    async with gateways(tmp_path_factory.mktemp("shared")) as start:
        yield await start(shared_service)


async def _no_admin(request, authorization):
    raise AssertionError


@pytest.fixture
async def gateway(start_gateway, service):
    return await start_gateway(service)


@pytest.fixture(autouse=True)
def no_bugs_logged(caplog):
    """Fail a test during which the gateway logged a bug of its own."""
    yield
    bugs = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert not bugs


# Services.


class Received:
    """A request as h11, an independent parser, read it."""

    def __init__(self, head: h11.Request, raw: bytes) -> None:
        self.method: str = head.method.decode()
        self.target: str = head.target.decode()
        self.fields: list[tuple[str, str]] = [(name.decode(), value.decode("latin-1")) for name, value in head.headers]
        self.raw = raw
        self.body = b""
        self.trailers: list[tuple[str, str]] = []
        self.is_complete = False

    def all(self, name: str) -> list[str]:
        """Return all values of a field."""
        return [value for key, value in self.fields if key == name]

    def __getitem__(self, name: str) -> str:
        (value,) = self.all(name)
        return value

    def __contains__(self, name: str) -> bool:
        return bool(self.all(name))


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Service:
    """A service that keeps every request it is sent.

    ``answer`` makes the bytes of an answer of a request; it may also be a coroutine function, with the connection as
    second argument. ``talk`` replaces everything: it is given the reader and the writer of each connection.
    """

    def __init__(self) -> None:
        self.requests: list[Received] = []
        self.violations: list[str] = []
        self.connections: list[ServiceConnection] = []
        self.answer: Callable[..., bytes | Awaitable[bytes]] = lambda request: OK
        self.talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]] | None = None
        self.address = ("127.0.0.1", 0)
        self._server: asyncio.Server | None = None

    async def start(self, **options: Any) -> None:
        """Begin to serve."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2**26, **options)
        self.address = self._server.sockets[0].getsockname()[:2]

    async def stop(self) -> None:
        """Serve no more, and cut what is open."""
        if self._server is not None:
            self._server.close()
        for connection in self.connections:
            connection.task.cancel()
        await asyncio.gather(*(connection.task for connection in self.connections), return_exceptions=True)

    @property
    def targets(self) -> list[str]:
        """The targets of all requests, in order."""
        return [request.target for request in self.requests]

    @property
    def open(self) -> list[ServiceConnection]:
        """The connections that are open."""
        return [connection for connection in self.connections if not connection.is_closed]

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(ServiceConnection(self, reader, writer))


class ServiceConnection:
    """A connection of the gateway to a service."""

    def __init__(self, service: Service, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.service = service
        self.reader = reader
        self.writer = writer
        self.is_closed = False
        self.task = asyncio.get_running_loop().create_task(self.serve())

    async def serve(self) -> None:
        """Serve until somebody closes."""
        try:
            if self.service.talk is not None:
                await self.service.talk(self.reader, self.writer)
            else:
                while await self._serve_one():
                    pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except h11.RemoteProtocolError as error:
            self.service.violations.append(str(error))
        finally:
            self.is_closed = True
            self.writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await self.writer.wait_closed()

    async def _serve_one(self) -> bool:
        """Read a request and answer it; returns whether another may follow."""
        parser = h11.Connection(h11.SERVER, max_incomplete_event_size=2**20)
        request: Received | None = None
        raw = b""
        while True:
            event = parser.next_event()
            if event is h11.NEED_DATA:
                data = await self.reader.read(65536)
                raw += data[: 2**16]
                parser.receive_data(data)
                if not data and request is None:
                    return False
            elif isinstance(event, h11.Request):
                request = Received(event, raw)
                self.service.requests.append(request)
            elif isinstance(event, h11.Data):
                assert request is not None
                request.body += event.data
            elif isinstance(event, h11.EndOfMessage):
                assert request is not None
                request.trailers = [(name.decode(), value.decode()) for name, value in event.headers]
                request.is_complete = True
                break
            else:
                return False
        self._refuse_more(parser)
        answer = self.service.answer
        made = answer(request, self) if answer.__code__.co_argcount > 1 else answer(request)
        answered = made if isinstance(made, bytes) else await made
        self.writer.write(answered)
        await self.writer.drain()
        return b"connection: close" not in answered.partition(b"\r\n\r\n")[0].lower()

    def _refuse_more(self, parser: h11.Connection) -> None:
        more, _ = parser.trailing_data
        if more:
            self.service.violations.append(f"more than a request: {more!r}")


@pytest.fixture
async def service():
    service = Service()
    await service.start()
    yield service
    await service.stop()
    assert not service.violations


@pytest.fixture(scope="module")
async def shared_service():
    """One for all tests of a module; they have to look at its violations themselves."""
    service = Service()
    await service.start()
    yield service
    await service.stop()


# Clients.


class Answer:
    """A response, with the interim ones before it."""

    def __init__(self, status: int, fields: list[tuple[str, str]], interim: list[Answer]) -> None:
        self.status = status
        self.fields = fields
        self.interim = interim
        self.body = b""
        self.chunks: list[bytes] = []
        self.trailers: list[tuple[str, str]] = []

    def all(self, name: str) -> list[str]:
        """Return all values of a field."""
        return [value for key, value in self.fields if key == name]

    def __getitem__(self, name: str) -> str:
        (value,) = self.all(name)
        return value

    def __contains__(self, name: str) -> bool:
        return bool(self.all(name))

    def __repr__(self) -> str:
        return f"<Answer {self.status} {self.fields} {self.body[:100]!r}>"


class Client:
    """A connection to the gateway on which tests send bytes as they are."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        """Send bytes."""
        self.writer.write(data)
        await asyncio.wait_for(self.writer.drain(), PATIENCE_S)

    async def send_in_pieces(self, pieces: list[bytes]) -> None:
        """Send each piece so that it arrives by itself."""
        for piece in pieces:
            with contextlib.suppress(ConnectionError):
                await self.send(piece)
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    async def ask(self, request: bytes) -> Answer:
        """Send a request and return the answer."""
        await self.send(request)
        return await self.receive(is_head=request.startswith(b"HEAD "))

    async def receive(self, *, is_head: bool = False) -> Answer:
        """Return the next final response; raises ``EOFError`` if the connection is closed before its end."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                return await self._receive(is_head=is_head)
            except (asyncio.IncompleteReadError, ConnectionError) as error:
                raise EOFError from error

    async def receive_head(self) -> Answer:
        """Return the head of the next response."""
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")[:-4].split("\r\n")
        found = re.fullmatch(r"HTTP/1\.1 (\d\d\d) [^\r\n]*", lines[0])
        assert found is not None, lines
        fields = [tuple(re.fullmatch(r"([a-z0-9_-]+): ([^\r\n]*)", line).groups()) for line in lines[1:]]  # type: ignore[union-attr]
        return Answer(int(found[1]), fields, [])

    async def _receive(self, *, is_head: bool) -> Answer:
        interim = []
        while (answer := await self.receive_head()).status < 200 and answer.status != 101:
            interim.append(answer)
        answer.interim = interim
        lengths = answer.all("content-length")
        assert len(lengths) + len(answer.all("transfer-encoding")) <= 1
        if is_head or answer.status in (101, 204, 304):
            return answer
        if lengths:
            answer.body = await self.reader.readexactly(int(lengths[0]))
        elif "transfer-encoding" in answer:
            assert answer["transfer-encoding"] == "chunked"
            await self._receive_chunks(answer)
        else:
            answer.body = await self.reader.read()
        return answer

    async def _receive_chunks(self, answer: Answer) -> None:
        while size := int(await self._line(), 16):
            answer.chunks.append(await self.reader.readexactly(size))
            assert await self._line() == ""
        while line := await self._line():
            name, _, value = line.partition(": ")
            answer.trailers.append((name, value))
        answer.body = b"".join(answer.chunks)

    async def _line(self) -> str:
        return (await self.reader.readuntil(b"\r\n"))[:-2].decode("latin-1")

    async def is_closed(self) -> bool:
        """Tell whether the gateway closes the connection without sending more; waits for that."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                return await self.reader.read(1) == b""
            except ConnectionError:
                return True

    async def is_open(self) -> bool:
        """Tell whether the connection still serves requests."""
        return (await self.ask(b"GET /still-open HTTP/1.1\r\nHost: gw\r\n\r\n")).status == 200

    async def close(self) -> None:
        """Close the connection."""
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


# Waiting.


async def eventually(is_so: Callable[[], object]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():  # noqa: ASYNC110 - what it waits for has no event
            await asyncio.sleep(0.001)


@pytest.fixture(name="eventually")
def eventually_fixture():
    return eventually
