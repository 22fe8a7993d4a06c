"""What clients are held to: sizes, times and numbers. Time passes by moving the clock of the deadlines."""

import asyncio
import json

import pytest

pytestmark = pytest.mark.anyio

GET = b"GET / HTTP/1.1\r\nHost: gw\r\n\r\n"


def head(*, target=b"/", fields=b""):
    return b"GET %b HTTP/1.1\r\nHost: gw\r\n%b\r\n" % (target, fields)


# Sizes.


@pytest.mark.parametrize(
    ("limits", "just_right", "too_much", "status"),
    [
        ({"maxUriBytes": 50}, head(target=b"/" * 50), head(target=b"/" * 51), 414),
        ({"maxUriBytes": 50}, head(target=b"/?" + b"a" * 48), head(target=b"/?" + b"a" * 49), 414),
        (
            {"maxHeaderBytes": 100},
            head(fields=b"A: %b\r\n" % (b"a" * 67)),
            head(fields=b"A: %b\r\n" % (b"a" * 68)),
            431,
        ),
        ({"maxHeaders": 3}, head(fields=b"A: 1\r\n" * 2), head(fields=b"A: 1\r\n" * 3), 431),
        ({"maxHeaders": 3}, head(fields=b"A: 1\r\n" * 2), head(fields=b"Connection: close\r\n" * 3), 431),
    ],
)
async def test_heads(start_gateway, service, limits, just_right, too_much, status):
    if "maxHeaderBytes" in limits:
        assert len(just_right) == 100
    gateway = await start_gateway(service, http=limits)
    client = await gateway.connect()
    assert (await client.ask(just_right)).status == 200
    answer = await client.ask(too_much)
    assert (answer.status, answer["connection"]) == (status, "close")
    assert await client.is_closed()
    assert len(service.requests) == 1


@pytest.mark.parametrize(
    ("endless", "status"),
    [
        (b"GET /" + b"a" * 9000, 414),
        (b"GET / HTTP/1.1\r\nHost: gw\r\nA: " + b"a" * 33000, 431),
        (b"GET / HTTP/1.1\r\nHost: gw\r\n" + b"A: 1\r\n" * 6000, 431),
    ],
)
async def test_a_head_without_end_is_refused_before_its_end(gateway, service, endless, status):
    assert (await gateway.ask(endless)).status == status
    assert not service.requests


@pytest.mark.parametrize(
    ("just_right", "too_much"),
    [
        (b"Content-Length: 10\r\n\r\n" + bytes(10), b"Content-Length: 11\r\n\r\n"),
        (
            b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nhello\r\n0\r\n\r\n",
            b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\nhello!\r\n0\r\n\r\n",
        ),
    ],
)
async def test_bodies(start_gateway, service, just_right, too_much):
    gateway = await start_gateway(service, http={"maxRequestSize": 10})
    client = await gateway.connect()
    assert (await client.ask(b"POST / HTTP/1.1\r\nHost: gw\r\n" + just_right)).status == 200
    answer = await client.ask(b"POST / HTTP/1.1\r\nHost: gw\r\n" + too_much)
    assert (answer.status, answer["connection"]) == (413, "close")
    assert await client.is_closed()
    assert len(service.requests) == 1


async def test_a_body_that_turns_out_too_large_is_refused(start_gateway, service, eventually):
    gateway = await start_gateway(service, http={"maxRequestSize": 10})
    client = await gateway.connect()
    await client.send(b"POST / HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
    await eventually(lambda: service.requests and service.requests[0].body)
    answer = await client.ask(b"6\r\nhello!\r\n")
    assert answer.status == 413
    assert await client.is_closed()
    await eventually(lambda: not service.open)
    assert not service.requests[0].is_complete
    service.violations.clear()


async def test_trailers(start_gateway, service):
    gateway = await start_gateway(service, http={"maxHeaders": 5, "maxHeaderBytes": 200})
    post = b"POST / HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n"
    assert (await gateway.ask(post + b"A: 1\r\n" * 5 + b"\r\n")).status == 200
    assert (await gateway.ask(post + b"A: 1\r\n" * 6 + b"\r\n")).status == 431
    assert (await gateway.ask(post + b"A: " + b"a" * 300)).status == 431


async def test_unlimited_bodies(start_gateway, service):
    gateway = await start_gateway(service, http={"maxRequestSize": 0})
    size = 12 * 2**20
    client = await gateway.connect()
    await client.send(b"POST / HTTP/1.1\r\nHost: gw\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))
    assert (await client.receive()).status == 200
    assert len(service.requests[0].body) == size


# Times.


async def test_an_idle_connection_is_closed(gateway):
    client = await gateway.connect()
    await client.ask(GET)
    gateway.let_pass(74)
    assert await client.is_open()
    gateway.let_pass(76)
    assert await client.is_closed()


async def test_a_connection_that_never_asks_is_closed(gateway, eventually):
    client = await gateway.connect()
    await eventually(gateway.plane.connections)
    gateway.let_pass(31)
    assert await client.is_closed()


async def test_empty_lines_do_not_keep_a_connection(gateway, eventually):
    client = await gateway.connect()
    await client.ask(GET)
    await client.send(b"\r\n" * 1000)
    await asyncio.sleep(0.01)
    gateway.let_pass(76)
    assert await client.is_closed()


async def test_a_head_that_takes_too_long_is_refused(gateway):
    client = await gateway.connect()
    await client.ask(GET)
    await client.send(GET[:10])
    await asyncio.sleep(0.01)
    gateway.let_pass(29)
    await client.send(GET[10:20])
    await asyncio.sleep(0.01)
    gateway.let_pass(31)  # more of it gives no more time
    answer = await client.receive()
    assert (answer.status, answer["connection"]) == (408, "close")
    assert await client.is_closed()


@pytest.mark.parametrize("framing", [b"Content-Length: 10\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n3\r\n"])
async def test_a_body_that_rests_too_long_is_refused(gateway, service, eventually, framing):
    client = await gateway.connect()
    await client.send(b"POST / HTTP/1.1\r\nHost: gw\r\n" + framing + b"a")
    await eventually(lambda: service.requests and service.requests[0].body)
    gateway.let_pass(29)
    await client.send(b"b")
    await eventually(lambda: service.requests[0].body == b"ab")
    gateway.let_pass(29)  # each piece gives time
    gateway.let_pass(31)
    assert (await client.receive()).status == 408
    assert await client.is_closed()
    await eventually(lambda: not service.open)
    service.violations.clear()


async def test_a_client_that_does_not_send_what_it_was_told_to_is_refused(gateway, service, eventually):
    client = await gateway.connect()
    await client.send(b"POST / HTTP/1.1\r\nHost: gw\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
    assert (await client.receive_head()).status == 100
    gateway.let_pass(31)
    assert (await client.receive()).status == 408
    await eventually(lambda: not service.open)
    service.violations.clear()


async def test_a_client_is_not_blamed_for_a_slow_service(start_gateway, service, eventually):
    gateway = await start_gateway(service, rule={"timeout": 0})
    go_on = asyncio.Event()

    async def answer(request, connection):
        await go_on.wait()
        return b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

    service.answer = answer
    client = await gateway.connect()
    await client.send(GET)
    await eventually(lambda: service.requests)
    gateway.let_pass(10_000)
    go_on.set()
    assert (await client.receive()).status == 200


async def test_a_stream_may_rest(start_gateway, service):
    gateway = await start_gateway(service, rule={"timeout": 0})
    go_on = asyncio.Event()

    async def answer(request, connection):
        connection.writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        await go_on.wait()
        return b"1\r\nb\r\n0\r\n\r\n"

    service.answer = answer
    client = await gateway.connect()
    await client.send(GET)
    await client.receive_head()
    assert await client.reader.readexactly(6) == b"1\r\na\r\n"
    gateway.let_pass(10_000)
    go_on.set()
    assert await client.reader.readexactly(11) == b"1\r\nb\r\n0\r\n\r\n"


async def test_a_client_that_takes_nothing_is_cut_off(gateway, service, eventually):
    async def flood(request, connection):
        connection.writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            connection.writer.write(b"10000\r\n%b\r\n" % bytes(65536))
            await connection.writer.drain()

    service.answer = flood
    client = await gateway.connect()
    client.reader._limit = 65536
    await client.send(GET)
    await asyncio.sleep(0.3)
    gateway.let_pass(29)
    assert gateway.plane.connections() == 1
    gateway.let_pass(31)
    await eventually(lambda: not gateway.plane.connections())
    await eventually(lambda: not service.open)


@pytest.mark.slow
async def test_a_client_that_takes_little_is_not_cut_off(start_gateway, service):
    gateway = await start_gateway(service, http={"writeTimeout": 1.5})
    size = 45_000_000  # in two seconds
    service.answer = lambda request: b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + bytes(size)
    client = await gateway.connect()
    client.reader._limit = 65536
    await client.send(GET)
    await client.receive_head()
    left = size
    while left > 2 * 2**20:
        left -= len(await client.reader.readexactly(2**20))
        await asyncio.sleep(0.05)
    assert len(await client.reader.readexactly(left)) == left


async def test_a_small_answer_that_nobody_takes_does_not_stay_for_ever(gateway, service, eventually):
    # Less than what makes the transport say that the client is slow.
    service.answer = lambda request: b"HTTP/1.1 200 OK\r\ncontent-length: 30000\r\n\r\n" + bytes(30000)
    client = await gateway.connect()
    client.reader._limit = 1
    adapter = gateway.adapter
    transports = [connection._transport for connection in adapter._connections]
    sent = 0
    while not (transports and transports[0].get_write_buffer_size()):
        await client.send(GET)
        await asyncio.sleep(0)
        transports = [connection._transport for connection in adapter._connections]
        sent += 1
        assert sent < 5000
    for _ in range(4):
        gateway.let_pass(76)
    await eventually(lambda: not gateway.plane.connections())


# Numbers.


async def test_connections_beyond_the_limit_are_refused(start_gateway, service, eventually):
    gateway = await start_gateway(service, http={"maxConnections": 2})
    clients = [await gateway.connect() for _ in range(2)]
    for client in clients:
        assert (await client.ask(GET)).status == 200
    refused = await gateway.connect()
    answer = await refused.receive()
    assert (answer.status, answer["retry-after"], answer["connection"]) == (503, "1", "close")
    assert len(answer["x-request-id"]) == 32
    assert json.loads(answer.body)["requestId"] == answer["x-request-id"]
    assert await refused.is_closed()
    await clients[0].close()
    await eventually(lambda: len(gateway.adapter._connections - gateway.adapter._lingering) == 1)
    assert (await gateway.ask(GET)).status == 200


async def test_what_was_refused_does_not_take_the_place_of_others(start_gateway, service):
    gateway = await start_gateway(service, http={"maxConnections": 1})
    client = await gateway.connect()
    await client.ask(GET)
    refused = [await gateway.connect() for _ in range(5)]  # they stay open until they have read their refusal
    for each in refused:
        assert (await each.receive()).status == 503
    await client.close()
    await asyncio.sleep(0.02)
    assert (await gateway.ask(GET)).status == 200


# The end.


async def test_idle_connections_are_closed_when_the_gateway_stops(gateway):
    client = await gateway.connect()
    await client.ask(GET)
    await gateway.plane.stop(5)
    assert await client.is_closed()


async def test_what_is_under_way_is_answered_when_the_gateway_stops(gateway, service, eventually):
    go_on = asyncio.Event()

    async def answer(request, connection):
        await go_on.wait()
        return b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

    service.answer = answer
    client = await gateway.connect()
    await client.send(GET + GET)
    await eventually(lambda: service.requests)
    stopping = asyncio.create_task(gateway.plane.stop(5))
    await asyncio.sleep(0.02)
    go_on.set()
    received = await client.receive()
    assert (received.status, received["connection"]) == (200, "close")
    assert await client.is_closed()
    await client.close()
    await stopping
    assert len(service.requests) == 1


async def test_what_takes_too_long_is_cut_when_the_gateway_stops(gateway, service, eventually):
    async def wait(request, connection):
        await connection.reader.read(1)
        return b""

    service.answer = wait
    client = await gateway.connect()
    await client.send(GET)
    await eventually(lambda: service.requests)
    await gateway.plane.stop(0.05)
    assert await client.is_closed()
    await eventually(lambda: not service.open)
