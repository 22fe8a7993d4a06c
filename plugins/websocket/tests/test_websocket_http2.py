"""What holds for WebSockets over HTTP/1.1 holds over HTTP/2 (RFC 8441); the client is the library h2."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import h2.config
import h2.connection
import h2.events
import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from gateway.testing import RunningGateway

pytestmark = pytest.mark.anyio

PATIENCE_S = 10.0
GOAWAY = 0x7
HANDSHAKE = (
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":scheme", "http"),
    (":path", "/"),
    (":authority", "gw.test"),
    ("sec-websocket-version", "13"),
)
EXPIRING = """
import time

from gateway import AuthenticatorRegistration, Principal, hookimpl


class Hour:
    async def authenticate(self, request):
        return Principal(subject="a", expires_at_utc=time.time() + 3600)


def build(config, context):
    return Hour()


@hookimpl
def gateway_register_authenticators():
    return [AuthenticatorRegistration(name="hour", build=build, challenge="Hour", default_on=True)]
"""


class Stream:
    """One WebSocket of a connection."""

    def __init__(self, client: Client, stream_id: int) -> None:
        self._client = client
        self._id = stream_id
        self.status: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.reader = asyncio.StreamReader()

    def send(self, data: bytes) -> None:
        self._client.protocol.send_data(self._id, data)
        self._client.flush()

    def end(self) -> None:
        self._client.protocol.end_stream(self._id)
        self._client.flush()

    async def frame(self) -> tuple[int, bytes]:
        """Return opcode and payload of the next frame, which a server never masks."""
        async with asyncio.timeout(PATIENCE_S):
            first, size = await self.reader.readexactly(2)
            if size == 126:
                size = int.from_bytes(await self.reader.readexactly(2))
            return first & 0x0F, await self.reader.readexactly(size)

    async def close_code(self) -> tuple[int, str]:
        while True:
            opcode, payload = await self.frame()
            if opcode == 8:
                return int.from_bytes(payload[:2]), payload[2:].decode()

    async def is_over(self) -> bool:
        async with asyncio.timeout(PATIENCE_S):
            return not await self.reader.read()


class Client(asyncio.Protocol):
    """A connection with any number of WebSockets."""

    def __init__(self) -> None:
        config = h2.config.H2Configuration(header_encoding="utf-8", validate_outbound_headers=False)
        self.protocol = h2.connection.H2Connection(config)
        self.streams: dict[int, Stream] = {}
        self.takes = True
        self._received = b""
        self.is_lost = asyncio.Event()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.protocol.initiate_connection()
        self.flush()

    def flush(self) -> None:
        self.transport.write(self.protocol.data_to_send())

    async def open(self, *headers: tuple[str, str]) -> Stream:
        """Send a handshake; the answer's status is known then."""
        stream_id = self.protocol.get_next_available_stream_id()
        stream = self.streams[stream_id] = Stream(self, stream_id)
        self.protocol.send_headers(stream_id, [*HANDSHAKE, *headers])
        self.flush()
        await asyncio.wait_for(asyncio.shield(stream.status), PATIENCE_S)
        return stream

    def data_received(self, data: bytes) -> None:
        for event in self.protocol.receive_data(self._without_goaway(data)):
            match event:
                case h2.events.ResponseReceived(stream_id=int(stream_id), headers=list(headers)):
                    fields: dict[Any, Any] = dict(headers)  # text, as the configuration wants it
                    self.streams[stream_id].status.set_result(int(fields[":status"]))
                case h2.events.DataReceived(stream_id=int(stream_id), data=bytes(piece)):
                    self.streams[stream_id].reader.feed_data(piece)
                    if self.takes and event.flow_controlled_length:
                        self.protocol.acknowledge_received_data(event.flow_controlled_length, stream_id)
                case h2.events.StreamEnded(stream_id=int(stream_id)) | h2.events.StreamReset(stream_id=int(stream_id)):
                    self.streams[stream_id].reader.feed_eof()
        self.flush()

    def _without_goaway(self, data: bytes) -> bytes:
        """Return the whole frames but those that announce the end, after which the library takes nothing more."""
        self._received += data
        kept = b""
        while len(self._received) >= 9 and len(self._received) >= (size := 9 + int.from_bytes(self._received[:3])):
            frame, self._received = self._received[:size], self._received[size:]
            kept += frame if frame[3] != GOAWAY else b""
        return kept

    def connection_lost(self, error: Exception | None) -> None:
        self.is_lost.set()


@pytest.fixture
async def connect_h2() -> AsyncIterator[Callable[[RunningGateway], Awaitable[Client]]]:
    opened: list[Client] = []

    async def connect(gateway: RunningGateway) -> Client:
        _, client = await asyncio.get_running_loop().create_connection(Client, *gateway.gateway.addresses[0])
        opened.append(client)
        return client

    yield connect
    for client in opened:
        client.transport.abort()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(client.is_lost.wait(), PATIENCE_S)


@pytest.fixture
def clock(clock: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The clock that HTTP/2 sees as well."""
    for module in ("client_connection", "client_stream", "driver"):
        monkeypatch.setattr(f"gateway_http2.{module}.time", clock)
    return clock


@pytest.fixture
async def opened(websocket_gateway: Any, raw_service: Any, connect_h2: Any, clock: Any) -> Any:
    """Start a gateway and open a WebSocket: ``gateway, client, socket, service = await opened({...})``."""

    async def open_(websocket: Any = None, **blocks: Any) -> Any:
        frontend = {"http2": {}, "websocket": websocket or {}}
        gateway = await websocket_gateway(raw_service, frontend=frontend, **blocks)
        client = await connect_h2(gateway)
        socket = await client.open()
        assert socket.status.result() == 200
        return gateway, client, socket, await raw_service.next()

    return open_


async def test_messages_and_close_codes_go_both_ways(opened: Any, wire: Any) -> None:
    gateway, _, socket, service = await opened()
    socket.send(wire.frame(1, b"hello"))
    assert await service.frame() == (1, b"hello")
    service.send(wire.frame(2, b"x" * 300, mask=None) + wire.close(4321, "because", mask=None))
    assert await socket.frame() == (2, b"x" * 300)
    assert await socket.close_code() == (4321, "because")
    socket.send(wire.close(4321, "because"))
    assert await service.close_code() == (4321, "because")
    service.writer.close()
    assert await socket.is_over()
    socket.end()
    await gateway.eventually(lambda: not gateway.gateway.plane.in_flight())


async def test_a_message_that_is_too_large_closes_this_socket_alone(opened: Any, raw_service: Any, wire: Any) -> None:
    _, client, socket, service = await opened({"maxMessageSize": 1000})
    other = await client.open()
    other_service = await raw_service.next()
    socket.send(wire.frame(2, b"x" * 1001)[:8])
    assert await service.close_code() == (1001, "message too big")
    service.send(wire.close(1001, mask=None))
    assert await socket.close_code() == (1009, "message too big")
    other.send(wire.frame(1, b"still here"))
    assert await other_service.frame() == (1, b"still here")


async def test_a_frame_that_breaks_the_protocol_is_closed(opened: Any, wire: Any) -> None:
    _, _, socket, service = await opened()
    socket.send(wire.frame(9, b"x", fin=False))
    assert (await service.close_code())[0] == 1001
    service.send(wire.close(1001, mask=None))
    assert await socket.close_code() == (1002, "a fragmented control frame")


@pytest.mark.parametrize(("key", "status"), [("maxConnections", 503), ("maxConnectionsPerClient", 429)])
async def test_streams_of_one_connection_count_one_by_one(
    opened: Any, wire: Any, raw_service: Any, key: str, status: int
) -> None:
    gateway, client, socket, service = await opened({key: 1})
    assert (await client.open()).status.result() == status
    socket.send(wire.close(1000))
    await service.close_code()
    service.send(wire.close(1000, mask=None))
    service.writer.close()
    socket.end()
    await gateway.eventually(lambda: not gateway.gateway.plane.in_flight())
    assert (await client.open()).status.result() == 200


async def test_other_sites_pages_are_refused(opened: Any) -> None:
    _, client, _, _ = await opened()
    assert (await client.open(("origin", "https://evil.example"))).status.result() == 403
    assert (await client.open(("origin", "http://gw.test"))).status.result() == 200


async def test_a_socket_lives_until_its_credentials_end(opened: Any, clock: Any, wire: Any, tmp_path: Any) -> None:
    plugin = tmp_path / "hour.py"
    plugin.write_text(EXPIRING)
    gateway, _, socket, service = await opened(
        {"pingPeriod": 0}, rule={"authRequired": True}, plugins={"files": [str(plugin)]}
    )
    clock.let_pass(gateway, 3590)
    service.send(wire.frame(1, b"hi", mask=None))
    assert await socket.frame() == (1, b"hi")
    clock.let_pass(gateway, 15)
    assert await socket.close_code() == (1008, "authentication expired")
    assert await service.close_code() == (1001, "authentication expired")


async def test_a_silent_client_is_asked_and_given_up(opened: Any, clock: Any, wire: Any) -> None:
    gateway, _, socket, service = await opened({"pingPeriod": 30, "pongWait": 60})
    clock.let_pass(gateway, 31)
    opcode, payload = await socket.frame()
    assert opcode == 9
    socket.send(wire.frame(10, payload) + wire.frame(1, b"and more"))
    assert await service.frame() == (1, b"and more")
    clock.let_pass(gateway, 31)
    clock.let_pass(gateway, 31)
    assert await socket.close_code() == (1001, "no answer to a ping")


async def test_a_client_that_gives_no_room_is_cut(opened: Any, clock: Any, wire: Any) -> None:
    gateway, client, _, service = await opened({"writeTimeout": 20, "pingPeriod": 0})
    client.takes = False
    for _ in range(40):
        service.send(wire.frame(2, b"x" * 60_000, mask=None))
        await gateway.ask("GET", "/_gateway/health")
    clock.let_pass(gateway, 21)
    assert await service.close_code() == (1001, "too slow")
    clock.let_pass(gateway, 11)
    clock.let_pass(gateway, 76)
    await gateway.eventually(lambda: not gateway.gateway.plane.in_flight())


async def test_a_gateway_that_stops_says_so(opened: Any, wire: Any) -> None:
    gateway, _, socket, service = await opened({"drainCode": 1012}, shutdownTimeout=5)
    stopping = asyncio.ensure_future(gateway.gateway.plane.stop(5.0))
    assert (await socket.close_code())[0] == 1012
    assert (await service.close_code())[0] == 1001
    socket.send(wire.close(1012))
    service.send(wire.close(1001, mask=None))
    assert await socket.is_over()
    socket.end()
    await asyncio.wait_for(stopping, 4)  # and not only after the grace period
