"""Peers that share no code with the engine: clients of bare frames (hyperframe, hpack), services by the library h2."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from typing import TYPE_CHECKING, Any

import h2.config
import h2.connection
import h2.events
import h2.settings
import hpack
import pytest
from hyperframe import frame as frames

from gateway.embedding import Gateway
from gateway.testing import RunningGateway

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from gateway.testing import GatewayFactory

PATIENCE_S = 10.0
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
GET = ((":method", "GET"), (":scheme", "http"), (":authority", "gw.test"), (":path", "/"))

Fields = list[tuple[str, str]]


@dataclasses.dataclass
class Got:
    """What came on a stream."""

    interim: list[Fields] = dataclasses.field(default_factory=list)
    fields: Fields | None = None
    trailers: Fields | None = None
    body: bytes = b""
    is_ended: bool = False
    reset: int | None = None

    @property
    def is_over(self) -> bool:
        return self.is_ended or self.reset is not None

    @property
    def status(self) -> int | None:
        return None if self.fields is None else int(dict(self.fields)[":status"])

    def __getitem__(self, name: str) -> str:
        (value,) = [value for key, value in self.fields or [] if key == name]
        return value

    def __contains__(self, name: str) -> bool:
        return any(key == name for key, _ in self.fields or [])


class Peer:
    """A client made of frames: sends what it is told, keeps what it gets, acknowledges settings and pings."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()
        self.settings: dict[int, int] = {}
        self.streams: dict[int, Got] = {}
        self.goaways: list[tuple[int, int]] = []
        self.pings: list[bytes] = []
        self.updates: dict[int, int] = {}
        self.is_closed = False
        self.answers = True
        self.gives_room = True
        self._block: tuple[int, bytes, bool] | None = None
        self._task = asyncio.get_running_loop().create_task(self._read())
        self._changed = asyncio.Event()

    # Sending.

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def frame(self, frame: frames.Frame) -> None:
        self.send(frame.serialize())

    def begin(self, settings: dict[int, int] | None = None) -> None:
        self.send(PREFACE + frames.SettingsFrame(0, settings=settings or {}).serialize())

    def headers(self, stream_id: int, fields: Iterable[tuple[str, str]], *, end: bool = True, **more: Any) -> None:
        block = self.encoder.encode(list(fields))
        flags = ["END_HEADERS", *(["END_STREAM"] if end else [])]
        self.frame(frames.HeadersFrame(stream_id, block, flags=flags, **more))

    def data(self, stream_id: int, data: bytes, *, end: bool = False) -> None:
        self.frame(frames.DataFrame(stream_id, data, flags=["END_STREAM"] if end else []))

    def give(self, stream_id: int, size: int) -> None:
        self.frame(frames.WindowUpdateFrame(stream_id, window_increment=size))

    # Receiving.

    async def _read(self) -> None:
        try:
            while True:
                frame, length = frames.Frame.parse_frame_header(memoryview(await self.reader.readexactly(9)))
                frame.parse_body(memoryview(await self.reader.readexactly(length)))
                self._take(frame)
                self._changed.set()
        except (EOFError, ConnectionError, RuntimeError):
            self.is_closed = True
            self._changed.set()

    def _take(self, frame: frames.Frame) -> None:
        if isinstance(frame, frames.SettingsFrame):
            if "ACK" not in frame.flags:
                self.settings |= frame.settings
                if self.answers:
                    self.frame(frames.SettingsFrame(0, flags=["ACK"]))
        elif isinstance(frame, frames.PingFrame):
            if "ACK" in frame.flags:
                self.pings.append(frame.opaque_data)
            elif self.answers:
                self.frame(frames.PingFrame(0, frame.opaque_data, flags=["ACK"]))
        elif isinstance(frame, frames.GoAwayFrame):
            self.goaways.append((frame.last_stream_id, frame.error_code))
        elif isinstance(frame, frames.WindowUpdateFrame):
            self.updates[frame.stream_id] = self.updates.get(frame.stream_id, 0) + frame.window_increment
        else:
            self._take_on_stream(frame)

    def _take_on_stream(self, frame: frames.Frame) -> None:
        got = self.streams.setdefault(frame.stream_id, Got())
        if isinstance(frame, frames.RstStreamFrame):
            got.reset = frame.error_code
        elif isinstance(frame, frames.HeadersFrame | frames.ContinuationFrame):
            stream_id, block, is_end = self._block or (frame.stream_id, b"", "END_STREAM" in frame.flags)
            self._block = (stream_id, block + frame.data, is_end)
            if "END_HEADERS" in frame.flags:
                self._take_block(got, block + frame.data, is_end=is_end)
                self._block = None
        elif isinstance(frame, frames.DataFrame):
            got.body += frame.data
            got.is_ended |= "END_STREAM" in frame.flags
            if self.gives_room and frame.data:
                self.give(0, len(frame.data))
                if not got.is_ended:
                    self.give(frame.stream_id, len(frame.data))

    def _take_block(self, got: Got, block: bytes, *, is_end: bool) -> None:
        fields: Fields = [(str(name), str(value)) for name, value in self.decoder.decode(block)]
        if got.fields is not None:
            got.trailers = fields
        elif dict(fields)[":status"].startswith("1"):
            got.interim.append(fields)
        else:
            got.fields = fields
        got.is_ended |= is_end

    async def until(self, is_so: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not is_so():
                assert not self.is_closed, f"the connection was closed: {self.goaways}"
                self._changed.clear()
                await self._changed.wait()

    async def got(self, stream_id: int) -> Got:
        """Wait until a stream is over."""
        await self.until(lambda: stream_id in self.streams and self.streams[stream_id].is_over)
        return self.streams[stream_id]

    async def head(self, stream_id: int) -> Got:
        """Wait until a stream has a response."""
        await self.until(lambda: stream_id in self.streams and self.streams[stream_id].fields is not None)
        return self.streams[stream_id]

    async def ask(
        self, fields: Iterable[tuple[str, str]] = GET, *, stream_id: int = 1, body: bytes | None = None
    ) -> Got:
        """Send a request and wait for everything."""
        self.headers(stream_id, fields, end=body is None)
        if body is not None:
            self.data(stream_id, body, end=True)
        return await self.got(stream_id)

    async def goaway(self) -> int:
        """Wait for the end of the connection; returns the code of the last GOAWAY."""
        await self.until(lambda: self.is_closed)
        return self.goaways[-1][1]

    async def pong(self) -> None:
        """Wait until everything that was sent was read."""
        seen = len(self.pings)
        self.frame(frames.PingFrame(0, b"are you?"))
        await self.until(lambda: len(self.pings) > seen)

    async def close(self) -> None:
        self._task.cancel()
        self.writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task


Connect = "Callable[..., Awaitable[Peer]]"


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., Awaitable[Peer]]]:
    """Give a function that opens a connection and begins it."""
    opened: list[Peer] = []

    async def open_(
        gateway: RunningGateway,
        settings: dict[int, int] | None = None,
        *,
        begin: bool = True,
        tls: ssl.SSLContext | None = None,
        listener: int = 0,
    ) -> Peer:
        more: dict[str, Any] = {} if tls is None else {"ssl": tls, "server_hostname": "127.0.0.1"}
        reader, writer = await asyncio.open_connection(*gateway.gateway.addresses[listener], **more)
        peer = Peer(reader, writer)
        opened.append(peer)
        if begin:
            peer.begin(settings)
        return peer

    yield open_
    for peer in opened:
        await peer.close()


@pytest.fixture
def start(gateway_factory: GatewayFactory) -> Callable[..., Awaitable[RunningGateway]]:
    """Give a function that starts a gateway which speaks HTTP/2 with its clients."""

    async def start_(
        upstream: Any = None,
        *,
        http2: dict[str, Any] | None = None,
        http: dict[str, Any] | None = None,
        backend: dict[str, Any] | None = None,
        **more: Any,
    ) -> RunningGateway:
        rule = more.pop("rule", None)
        blocks = {
            "frontend": {"http": http or {}, "http2": http2 or {}},
            "backend": {"http2": backend or {}},
            **more,
        }
        return await gateway_factory(blocks, upstream=upstream, rule=rule)

    return start_


def let_pass(gateway: RunningGateway, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the deadlines see that so much time went by."""
    now_s = time.monotonic()
    with monkeypatch.context() as patched:
        patched.setattr("time.monotonic", lambda: now_s + seconds)
        deadlines = gateway.gateway.plane._deadlines
        patched.setattr(deadlines, "_clock", lambda: now_s + seconds)
        deadlines.sweep()


@pytest.fixture(name="let_pass")
def let_pass_fixture(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, float], None]:
    return lambda gateway, seconds: let_pass(gateway, seconds, monkeypatch)


# Services.


@dataclasses.dataclass
class Asked:
    """A request that reached the service."""

    connection: ServiceConnection
    stream_id: int
    fields: Fields
    body: bytearray = dataclasses.field(default_factory=bytearray)
    trailers: Fields | None = None
    is_ended: bool = False
    reset: int | None = None

    def __getitem__(self, name: str) -> str:
        (value,) = [value for key, value in self.fields if key == name]
        return value

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key == name]

    def reply(
        self,
        body: bytes | None = b"ok",
        *,
        status: int = 200,
        fields: Iterable[tuple[str, str]] = (),
        end: bool = True,
    ) -> None:
        protocol = self.connection.protocol
        head = [(":status", str(status)), *fields]
        protocol.send_headers(self.stream_id, head, end_stream=end and not body)
        if body:
            protocol.send_data(self.stream_id, body, end_stream=end)
        self.connection.flush()

    def say(self, data: bytes, *, end: bool = False) -> None:
        self.connection.protocol.send_data(self.stream_id, data, end_stream=end)
        self.connection.flush()

    def finish(self, trailers: Iterable[tuple[str, str]]) -> None:
        self.connection.protocol.send_headers(self.stream_id, list(trailers), end_stream=True)
        self.connection.flush()

    def give_up(self, code: int) -> None:
        self.connection.protocol.reset_stream(self.stream_id, code)
        self.connection.flush()


class ServiceConnection(asyncio.Protocol):
    """A connection to the service, by the library h2."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.protocol = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        )
        self.protocol.local_settings = h2.settings.Settings(
            client=False,
            initial_values={h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 100, **service.settings},
        )
        self.asked: dict[int, Asked] = {}
        self.is_open = True
        self.goaway: int | None = None
        self.pings = 0
        self.instead: Callable[[bytes], object] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]  # sockets have one of this kind
        self.service.connections.append(self)
        self.protocol.initiate_connection()
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False

    def data_received(self, data: bytes) -> None:
        if self.instead is not None:
            self.instead(data)
            return
        for event in self.protocol.receive_data(data):
            self._take(event)
        self.flush()

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived():
                assert event.stream_id is not None
                fields = [(str(name), str(value)) for name, value in event.headers or []]
                asked = self.asked[event.stream_id] = Asked(self, event.stream_id, fields)
                self.service.requests.append(asked)
                if event.stream_ended is None:
                    self.service.began(asked)
            case h2.events.DataReceived():
                assert event.stream_id is not None
                asked = self.asked[event.stream_id]
                asked.body += event.data or b""
                if self.service.takes:
                    self.protocol.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
            case h2.events.TrailersReceived():
                assert event.stream_id is not None
                self.asked[event.stream_id].trailers = [(str(name), str(value)) for name, value in event.headers or []]
            case h2.events.StreamEnded():
                assert event.stream_id is not None
                asked = self.asked[event.stream_id]
                asked.is_ended = True
                self.service.answer(asked)
            case h2.events.StreamReset():
                assert event.stream_id is not None
                self.asked[event.stream_id].reset = int(event.error_code or 0)
            case h2.events.PingReceived():
                self.pings += 1
            case h2.events.ConnectionTerminated():
                self.goaway = int(event.error_code or 0)
            case _:
                pass

    def flush(self) -> None:
        data = self.protocol.data_to_send()
        if data and not self.transport.is_closing():
            self.transport.write(data)


class Service:
    """A service that speaks HTTP/2; ``answer`` is called with each request when it is whole."""

    def __init__(self) -> None:
        self.requests: list[Asked] = []
        self.connections: list[ServiceConnection] = []
        self.settings: dict[h2.settings.SettingCodes, int] = {}
        self.takes = True
        self.answer: Callable[[Asked], object] = lambda asked: asked.reply()
        self.began: Callable[[Asked], object] = lambda asked: None
        self.port = 0
        self.scheme = "h2c"

    @property
    def instance(self) -> dict[str, Any]:
        return {"address": "127.0.0.1", "port": self.port, "scheme": self.scheme}

    @property
    def registry(self) -> dict[str, Any]:
        """The blocks of a configuration that send everything here."""
        return {
            "registry": {"static": {"services": [{"name": "service", "instances": [self.instance]}]}},
            "router": {"rules": [{"path": "/*", "serviceName": "service"}]},
        }


@contextlib.asynccontextmanager
async def services() -> AsyncIterator[Callable[..., Awaitable[Service]]]:
    """Give a function that starts services, and stop them in the end."""
    servers: list[tuple[asyncio.Server, Service]] = []

    async def start(*, tls: ssl.SSLContext | None = None) -> Service:
        service = Service()
        server = await asyncio.get_running_loop().create_server(
            lambda: ServiceConnection(service), "127.0.0.1", 0, ssl=tls
        )
        service.port = server.sockets[0].getsockname()[1]
        if tls is not None:
            service.scheme = "h2"
        servers.append((server, service))
        return service

    yield start
    for server, service in servers:
        server.close()
        for connection in service.connections:
            connection.transport.abort()


@pytest.fixture
async def service_factory() -> AsyncIterator[Callable[..., Awaitable[Service]]]:
    async with services() as start:
        yield start


@pytest.fixture
async def service(service_factory: Callable[..., Awaitable[Service]]) -> Service:
    return await service_factory()


@pytest.fixture(scope="module")
async def silent_world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[RunningGateway, Service]]:
    """A gateway before a service that never answers; one for many tests, each with connections of its own."""
    async with services() as start:
        service = await start()
        service.answer = lambda asked: None
        blocks = {
            "frontend": {"http": {"host": "127.0.0.1", "port": 0}, "http2": {}},
            "backend": {"http2": {"maxConnsPerHost": 100}},
            "shutdownTimeout": "200ms",
            **service.registry,
        }
        async with Gateway.from_mapping(blocks, folder=tmp_path_factory.mktemp("gateway")) as gateway:
            yield RunningGateway(gateway), service


@pytest.fixture
def silent(silent_world: tuple[RunningGateway, Service]) -> RunningGateway:
    return silent_world[0]


@pytest.fixture
def silent_service(silent_world: tuple[RunningGateway, Service]) -> Service:
    silent_world[1].requests.clear()
    return silent_world[1]
