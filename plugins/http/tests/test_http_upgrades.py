"""Connections that change protocols (RFC 9110 section 7.8)."""

import asyncio

import pytest

pytestmark = pytest.mark.anyio

UPGRADE = b"GET /chat HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: k\r\n\r\n"
SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: a\r\n\r\n"
)


@pytest.fixture
async def tunnelling(start_gateway, service):
    """A gateway whose route allows upgrades."""
    return await start_gateway(service, rule={"allowUpgrade": True})


class Talking:
    """A service's part: read a head, answer, and go on with ``then(reader, writer)``."""

    def __init__(self, then, answer=SWITCHED):
        self.then = then
        self.answer = answer
        self.head = b""

    async def __call__(self, reader, writer):
        self.head = await reader.readuntil(b"\r\n\r\n")
        writer.write(self.answer)
        await self.then(reader, writer)


async def shout(reader, writer):
    """Return what is sent, in capitals, until the end of it; then end too."""
    while data := await reader.read(65536):
        writer.write(data.upper())
    writer.write_eof()


async def test_bytes_go_through_both_ways(tunnelling, service):
    service.talk = Talking(shout)
    client = await tunnelling.connect()
    answer = await client.ask(UPGRADE)
    assert (answer.status, answer["upgrade"], answer["connection"]) == (101, "websocket", "upgrade")
    assert (answer["sec-websocket-accept"], len(answer["x-request-id"])) == ("a", 32)
    assert b"\r\nconnection: upgrade\r\nupgrade: websocket\r\n" in service.talk.head
    assert b"\r\nsec-websocket-key: k\r\n" in service.talk.head
    for piece in (b"hello", b"\x00\xff\r\n\r\n", b"x" * 200_000):
        await client.send(piece)
        assert await client.reader.readexactly(len(piece)) == piece.upper()


async def test_bytes_that_come_early_are_kept_both_ways(tunnelling, service):
    # A client that is sure of itself sends at once; a service may speak first.
    service.talk = Talking(shout, answer=SWITCHED + b"welcome ")
    client = await tunnelling.connect()
    await client.send(UPGRADE + b"early")
    assert (await client.receive()).status == 101
    assert await client.reader.readexactly(13) == b"welcome EARLY"


async def test_each_side_may_end_by_itself(tunnelling, service):
    service.talk = Talking(shout)
    client = await tunnelling.connect()
    await client.ask(UPGRADE)
    await client.send(b"last words")
    client.writer.write_eof()
    assert await client.reader.read() == b"LAST WORDS"


async def test_a_service_may_end_first(tunnelling, service, eventually):
    heard = []

    async def end_and_listen(reader, writer):
        writer.write(b"that is all")
        writer.write_eof()
        heard.append(await reader.read())

    service.talk = Talking(end_and_listen)
    client = await tunnelling.connect()
    await client.ask(UPGRADE)
    assert await client.reader.read() == b"that is all"
    await client.send(b"I see")
    client.writer.write_eof()
    await eventually(lambda: heard == [b"I see"])
    await eventually(lambda: not tunnelling.plane.connections())


@pytest.mark.parametrize("end", ["close", "abort"])
async def test_a_client_that_leaves_ends_the_tunnel(tunnelling, service, eventually, end):
    service.talk = Talking(shout)
    client = await tunnelling.connect()
    await client.ask(UPGRADE)
    client.writer.close() if end == "close" else client.writer.transport.abort()
    await eventually(lambda: not service.open)
    await eventually(lambda: not tunnelling.plane.in_flight())
    (instance,) = tunnelling.plane.directory.instances("service")
    assert instance.in_flight == 0


async def test_a_service_that_is_lost_ends_the_tunnel(tunnelling, service, eventually):
    async def leave(reader, writer):
        await reader.read(1)
        writer.transport.abort()

    service.talk = Talking(leave)
    client = await tunnelling.connect()
    await client.ask(UPGRADE)
    await client.send(b"x")
    assert await client.is_closed()
    # It may only have ended its own side; but the client must not wait for ever.
    assert tunnelling.plane.connections() == 1
    tunnelling.let_pass(76)
    await eventually(lambda: not tunnelling.plane.in_flight())


async def test_a_slow_end_holds_the_other_one_back(tunnelling, service):
    sent = 0

    async def flood(reader, writer):
        nonlocal sent
        for _ in range(400):
            writer.write(bytes(65536))
            await writer.drain()
            sent += 65536

    service.talk = Talking(flood)
    client = await tunnelling.connect()
    client.reader._limit = 65536
    await client.ask(UPGRADE)
    before = -1
    while sent != before:
        before = sent
        await asyncio.sleep(0.1)
    assert sent < 400 * 65536
    received = 0
    while received < 400 * 65536:
        received += len(await client.reader.read(2**20))


async def test_an_upgrade_is_not_passed_on_where_it_is_not_allowed(gateway, service):
    answer = await gateway.ask(UPGRADE)
    assert answer.status == 200
    (request,) = service.requests
    assert "upgrade" not in request
    assert "connection" not in request


@pytest.mark.parametrize(
    "head",
    [
        UPGRADE.replace(b"WebSocket\r\n", b"h2c\r\n"),
        UPGRADE.replace(b"Connection: Upgrade\r\n", b""),
        UPGRADE.replace(b"Upgrade: WebSocket\r\n", b""),
        UPGRADE.replace(b"HTTP/1.1", b"HTTP/1.0"),
    ],
)
async def test_what_is_not_quite_an_upgrade_is_none(tunnelling, service, head):
    assert (await tunnelling.ask(head)).status == 200
    assert "upgrade" not in service.requests[0]


@pytest.mark.parametrize(
    "body",
    [b"Content-Length: 5\r\n\r\nhello", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"],
)
async def test_an_upgrade_with_a_body_is_an_ordinary_request(tunnelling, service, body):
    # Where the other protocol begins must not be in doubt.
    client = await tunnelling.connect()
    answer = await client.ask(UPGRADE[:-2] + body)
    assert answer.status == 200
    assert (service.requests[0].body, "upgrade" in service.requests[0]) == (b"hello", False)
    assert await client.is_open()


async def test_a_service_that_declines_answers_as_usual(tunnelling, service):
    service.answer = lambda request: b"HTTP/1.1 426 Upgrade Required\r\ncontent-length: 2\r\n\r\nno"
    client = await tunnelling.connect()
    answer = await client.ask(UPGRADE)
    assert (answer.status, answer.body) == (426, b"no")
    assert service.requests[0]["upgrade"] == "websocket"


@pytest.mark.parametrize(
    ("head", "answer"),
    [
        (b"GET / HTTP/1.1\r\nHost: gw\r\n\r\n", SWITCHED),
        (UPGRADE, SWITCHED.replace(b"websocket", b"h2c")),
        (UPGRADE, b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
    ],
)
async def test_a_service_may_change_only_to_what_was_asked_for(tunnelling, service, head, answer):
    service.answer = lambda request: answer
    assert (await tunnelling.ask(head)).status == 502


async def test_tunnels_are_cut_when_the_gateway_stops(tunnelling, service):
    service.talk = Talking(shout)
    client = await tunnelling.connect()
    await client.ask(UPGRADE)
    await tunnelling.plane.stop(0.05)
    assert await client.is_closed()


async def test_tunnels_have_no_deadline(tunnelling, service):
    service.talk = Talking(shout)
    client = await tunnelling.connect()
    await client.ask(UPGRADE)
    tunnelling.let_pass(1_000_000)
    await client.send(b"still here")
    assert await client.reader.readexactly(10) == b"STILL HERE"
