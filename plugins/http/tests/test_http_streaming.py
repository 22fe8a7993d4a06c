"""Bodies that stream: nobody is ahead of the slowest, and who breaks off is seen on the other side."""

import asyncio
import contextlib
import socket
import struct

import pytest

pytestmark = pytest.mark.anyio

GET = b"GET / HTTP/1.1\r\nHost: gw\r\n\r\n"
PIECE = bytes(65536)
PIECES = 800
SIZE = PIECES * len(PIECE)
MOST_UNDER_WAY = 24 * 2**20
"""What may be on its way: four socket buffers, which Linux lets grow to several megabytes, and little of our own."""


async def standstill(progress):
    """Wait until ``progress()`` does not change any more, and return it."""
    before = -1
    while (now := progress()) != before:
        before = now
        await asyncio.sleep(0.1)
    return now


async def hold(reader):
    """Have a stream reader of asyncio keep no more than a little."""
    reader._limit = 65536


@pytest.mark.parametrize("framing", ["length", "chunked", "until closed"])
async def test_a_slow_client_holds_the_service_back(gateway, service, framing):
    sent = 0

    async def talk(reader, writer):
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        field = {"length": b"content-length: %d\r\n" % SIZE, "chunked": b"Transfer-Encoding: chunked\r\n"}
        writer.write(b"HTTP/1.1 200 OK\r\n%b\r\n" % field.get(framing, b"Connection: close\r\n"))
        for _ in range(PIECES):
            writer.write(b"10000\r\n%b\r\n" % PIECE if framing == "chunked" else PIECE)
            await writer.drain()
            sent += len(PIECE)
        if framing == "chunked":
            writer.write(b"0\r\n\r\n")

    service.talk = talk
    client = await gateway.connect()
    await hold(client.reader)
    await client.send(GET)
    head = await client.receive_head()
    assert await standstill(lambda: sent) < MOST_UNDER_WAY
    gateway.let_pass(25)  # it is not the service that is slow
    client.reader._limit = 2**26
    if "content-length" in head:
        assert len(await client.reader.readexactly(SIZE)) == SIZE
    else:
        received = 0
        while size := int(await client._line(), 16):
            received += len(await client.reader.readexactly(size))
            assert await client._line() == ""
        assert received == SIZE


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_slow_service_holds_the_client_back(start_gateway, service, framing):
    gateway = await start_gateway(service, http={"maxRequestSize": 0})
    go_on = asyncio.Event()
    received = 0

    async def talk(reader, writer):
        nonlocal received
        await reader.readuntil(b"\r\n\r\n")
        await hold(reader)
        await go_on.wait()
        while received < SIZE:
            received += len(await reader.read(2**20))
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    service.talk = talk
    client = await gateway.connect()
    field = b"Content-Length: %d" % SIZE if framing == "length" else b"Transfer-Encoding: chunked"
    await client.send(b"POST / HTTP/1.1\r\nHost: gw\r\n%b\r\n\r\n" % field)
    sent = 0

    async def upload():
        nonlocal sent
        for _ in range(PIECES):
            client.writer.write(b"10000\r\n%b\r\n" % PIECE if framing == "chunked" else PIECE)
            await client.writer.drain()
            sent += len(PIECE)
        if framing == "chunked":
            client.writer.write(b"0\r\n\r\n")

    uploading = asyncio.create_task(upload())
    assert await standstill(lambda: sent) < MOST_UNDER_WAY
    go_on.set()
    await uploading
    assert (await client.receive()).status == 200
    assert received >= SIZE


async def test_a_pipelining_client_that_reads_nothing_is_not_served_more(gateway, service):
    body = bytes(50_000)
    service.answer = lambda request: b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    client = await gateway.connect()
    await hold(client.reader)
    requests = 1500
    sending = asyncio.create_task(client.send(GET * requests))
    served = await standstill(lambda: len(service.requests))
    assert served * len(body) < MOST_UNDER_WAY
    client.reader._limit = 2**26
    for _ in range(requests):
        assert len((await client.receive()).body) == len(body)
    await sending


async def test_both_ways_at_once(gateway, service):
    async def talk(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while (size := int(await reader.readuntil(b"\r\n"), 16)) > 0:
            data = await reader.readexactly(size + 2)
            writer.write(b"%x\r\n%b" % (size, data.upper()))
        await reader.readuntil(b"\r\n")
        writer.write(b"0\r\n\r\n")

    service.talk = talk
    client = await gateway.connect()
    await client.send(b"POST / HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert (await client.receive_head()).status == 200
    for word in (b"ping", b"pong"):
        await client.send(b"4\r\n%b\r\n" % word)
        assert await client.reader.readexactly(9) == b"4\r\n%b\r\n" % word.upper()
    await client.send(b"0\r\n\r\n")
    assert await client.reader.readexactly(5) == b"0\r\n\r\n"


# Clients that leave.


@pytest.mark.parametrize("end", ["close", "abort"])
async def test_a_client_that_leaves_cancels_what_it_asked_for(gateway, service, eventually, end):
    async def wait(request, connection):
        await connection.reader.read(1)
        return b""

    service.answer = wait
    client = await gateway.connect()
    await client.send(GET)
    await eventually(lambda: service.requests)
    client.writer.close() if end == "close" else client.writer.transport.abort()
    await eventually(lambda: not service.open)
    await eventually(lambda: not gateway.plane.in_flight())
    (instance,) = gateway.plane.directory.instances("service")
    assert instance.in_flight == 0


async def test_a_client_that_leaves_during_its_answer_cancels_it(gateway, service, eventually):
    async def flood(request, connection):
        connection.writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            connection.writer.write(b"10000\r\n%b\r\n" % PIECE)
            await connection.writer.drain()

    service.answer = flood
    client = await gateway.connect()
    await client.send(GET)
    await client.receive_head()
    client.writer.transport.abort()
    await eventually(lambda: not service.open)
    await eventually(lambda: not gateway.plane.in_flight())


@pytest.mark.parametrize("framing", [b"Content-Length: 10", b"Transfer-Encoding: chunked"])
async def test_a_client_that_leaves_during_its_upload_does_not_look_finished(gateway, service, eventually, framing):
    client = await gateway.connect()
    await client.send(b"POST / HTTP/1.1\r\nHost: gw\r\n%b\r\n\r\n3\r\nabc\r\n" % framing)
    await eventually(lambda: service.requests and service.requests[0].body)
    await client.close()
    await eventually(lambda: not service.open)
    assert not service.requests[0].is_complete
    service.violations.clear()  # an unfinished message is what the service shall see


# Services that leave.


@pytest.mark.parametrize(
    "beginning",
    [
        b"content-length: 10\r\n\r\nhello",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
    ],
)
@pytest.mark.parametrize("end", ["close", "abort"])
async def test_an_answer_that_breaks_off_does_not_look_finished(gateway, service, eventually, beginning, end):
    async def break_off(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n" + beginning)
        await asyncio.sleep(0.02)
        writer.close() if end == "close" else writer.transport.abort()

    service.talk = break_off
    client = await gateway.connect()
    await client.send(GET)
    with pytest.raises(EOFError):
        await client.receive()
    await eventually(lambda: not gateway.plane.in_flight())


async def test_an_answer_until_the_end_that_is_reset_does_not_look_finished(gateway, service):
    async def break_off(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello")
        await asyncio.sleep(0.02)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    service.talk = break_off
    client = await gateway.connect()
    await client.send(GET)
    with pytest.raises(EOFError):
        await client.receive()


async def test_an_answer_during_the_upload_arrives_whole(gateway, service):
    async def refuse(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno")
        with contextlib.suppress(ConnectionError):
            while await reader.read(65536):
                pass

    service.talk = refuse
    client = await gateway.connect()
    await client.send(b"POST / HTTP/1.1\r\nHost: gw\r\nContent-Length: 9000000\r\n\r\n" + bytes(65536))
    answer = await client.receive()
    assert (answer.status, answer.body, answer["connection"]) == (403, b"no", "close")
    # What the client goes on to send is read and dropped for a while, or a reset would destroy the answer.
    await client.send(bytes(2_000_000))
    assert await client.is_closed()


async def test_a_refusal_during_the_upload_arrives_whole(start_gateway, service):
    gateway = await start_gateway(service, rule={"path": "/elsewhere"})
    client = await gateway.connect()
    await client.send(b"POST / HTTP/1.1\r\nHost: gw\r\nContent-Length: 3000000\r\n\r\n" + bytes(1_000_000))
    answer = await client.receive()
    assert (answer.status, answer["connection"]) == (404, "close")
    assert not service.requests


async def test_an_answer_before_the_end_of_the_request_does_not_end_it(gateway, service):
    """The rest of the request must not be taken for the next one."""
    service.answer = lambda request: b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

    async def hasty(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await reader.read()

    service.talk = hasty
    client = await gateway.connect()
    await client.send(b"POST /a HTTP/1.1\r\nHost: gw\r\nContent-Length: 100\r\n\r\n" + bytes(10))
    assert (await client.receive()).body == b"ok"
    with contextlib.suppress(ConnectionError):
        await client.send(b"GET /smuggled HTTP/1.1\r\nHost: gw\r\n\r\n")
    assert await client.is_closed()
    assert len(service.connections) == 1
