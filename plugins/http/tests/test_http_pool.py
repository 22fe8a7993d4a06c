"""Connections to instances: kept, limited, given up, and replaced when they turn out to be stale."""

import asyncio
import copy
import gc
import weakref

import pytest

from gateway.interfaces import Endpoint
from gateway.testing import Reply

pytestmark = pytest.mark.anyio

GET = b"GET / HTTP/1.1\r\nHost: gw\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@pytest.fixture
def gate(service):
    """Holds every answer back until it is set."""
    gate = asyncio.Event()

    async def answer(request, connection):
        await gate.wait()
        return OK

    service.answer = answer
    return gate


async def asking(gateway, number, request=GET):
    """Return this many clients, each of which has asked."""
    clients = [await gateway.connect() for _ in range(number)]
    for client in clients:
        await client.send(request)
    return clients


async def test_the_connection_used_last_is_used_next(gateway, service, gate, eventually):
    clients = await asking(gateway, 3)
    await eventually(lambda: len(service.requests) == 3)
    gate.set()
    for client in clients:
        await client.receive()
    for _ in range(5):
        await clients[0].ask(GET)
    assert len(service.connections) == 3


async def test_no_more_connections_than_allowed(start_gateway, service, gate, eventually):
    gateway = await start_gateway(service, backend={"maxConnsPerHost": 2})
    clients = await asking(gateway, 6)
    await eventually(lambda: len(service.requests) == 2)
    await asyncio.sleep(0.02)
    assert len(service.requests) == 2
    gate.set()
    assert [(await client.receive()).status for client in clients] == [200] * 6
    assert len(service.connections) == 2


async def test_who_waits_too_long_for_a_connection_gets_a_timeout(start_gateway, service, gate, eventually):
    gateway = await start_gateway(service, backend={"maxConnsPerHost": 1, "dialTimeout": 0.1})
    first, second = await asking(gateway, 2)
    assert (await second.receive()).status == 504
    gate.set()
    assert (await first.receive()).status == 200


async def test_who_waits_for_a_connection_waits_no_longer_than_for_an_answer(start_gateway, service, gate):
    gateway = await start_gateway(service, backend={"maxConnsPerHost": 1}, rule={"timeout": 0.1})
    first, second = await asking(gateway, 2)
    assert (await second.receive()).status == 504
    gate.set()
    assert (await first.receive()).status == 200


async def test_who_leaves_while_waiting_leaves_the_queue(start_gateway, service, gate, eventually):
    gateway = await start_gateway(service, backend={"maxConnsPerHost": 1})
    first, second, third = await asking(gateway, 3)
    await eventually(lambda: gateway.plane.in_flight() == 3)
    await second.close()
    await eventually(lambda: gateway.plane.in_flight() == 2)
    gate.set()
    assert (await first.receive()).status == 200
    assert (await third.receive()).status == 200
    assert len(service.requests) == 2


async def test_who_waits_is_served_when_a_connection_is_lost(start_gateway, service, eventually):
    gateway = await start_gateway(service, backend={"maxConnsPerHost": 1})
    release = asyncio.Event()

    async def answer(request, connection):
        await release.wait()
        if request.target == "/bad":
            connection.writer.transport.abort()
            return b""
        return OK

    service.answer = answer
    (bad,) = await asking(gateway, 1, GET.replace(b"/", b"/bad", 1))
    await eventually(lambda: service.requests)
    (good,) = await asking(gateway, 1)
    await eventually(lambda: gateway.plane.in_flight() == 2)
    release.set()
    assert (await bad.receive()).status == 502
    assert (await good.receive()).status == 200


async def test_who_waits_is_told_at_once_when_nobody_is_there(start_gateway, service):
    gateway = await start_gateway(service, backend={"maxConnsPerHost": 1})
    await service.stop()
    async with asyncio.timeout(5):
        clients = await asking(gateway, 20)
        assert [(await client.receive()).status for client in clients] == [502] * 20


async def test_too_many_that_wait_are_turned_away(start_gateway, service, gate, eventually, monkeypatch):
    monkeypatch.setattr("gateway_http.pool.MAX_WAITING", 2)
    gateway = await start_gateway(service, backend={"maxConnsPerHost": 1})
    clients = await asking(gateway, 3)
    await eventually(lambda: gateway.plane.in_flight() == 3)
    assert (await gateway.ask(GET)).status == 503
    gate.set()
    assert [(await client.receive()).status for client in clients] == [200] * 3


@pytest.mark.parametrize(
    ("backend", "kept"),
    [
        ({"maxIdleConnsPerHost": 2}, 2),
        ({"maxIdleConnsPerHost": 1}, 1),
        ({"maxIdleConnsPerHost": 0}, 0),
        ({"maxIdleConns": 3}, 3),
        ({"keepAlive": False}, 0),
        ({}, 5),
        ({"maxIdleConns": 0}, 0),
    ],
)
async def test_idle_connections_are_limited(start_gateway, service, gate, eventually, backend, kept):
    gateway = await start_gateway(service, backend=backend)
    clients = await asking(gateway, 5)
    await eventually(lambda: len(service.requests) == 5)
    gate.set()
    for client in clients:
        await client.receive()
    await eventually(lambda: len(service.open) == kept)


async def test_idle_connections_are_shared_out_over_instances(start_gateway, service, eventually):
    gateway = await start_gateway(service, backend={"maxIdleConns": 4})
    names = ["127.0.0.1", "127.0.0.2"]
    await service.stop()
    servers = [type(service)() for _ in names]
    gates = asyncio.Event()

    async def answer(request, connection):
        await gates.wait()
        return OK

    for server in servers:
        server.answer = answer
        await server.start()
    gateway.plane.directory.publish(
        "test", {"service": [Endpoint(address=server.address[0], port=server.address[1]) for server in servers]}
    )
    clients = await asking(gateway, 10)
    await eventually(lambda: sum(len(server.requests) for server in servers) == 10)
    gates.set()
    for client in clients:
        await client.receive()
    await eventually(lambda: [len(server.open) for server in servers] == [2, 2])
    for server in servers:
        await server.stop()


async def test_an_instance_that_is_gone_is_let_go(start_gateway, service, eventually):
    gateway = await start_gateway(service, backend={"idleConnTimeout": "50ms"})
    client = await gateway.connect()
    await client.ask(GET)
    gone = weakref.ref(gateway.plane.directory.instances("service")[0])
    gateway.plane.directory.publish("test", {"service": [Endpoint(address="127.0.0.1", port=1)]})
    # The balancer lets go of it with the next request.
    await client.ask(GET)
    gateway.let_pass(1)

    def is_let_go():
        gc.collect()
        return gone() is None

    await eventually(is_let_go)


async def test_idle_connections_are_closed_in_time(start_gateway, service, eventually):
    gateway = await start_gateway(service, backend={"idleConnTimeout": 20})
    client = await gateway.connect()
    await client.ask(GET)
    gateway.let_pass(19)
    await client.ask(GET)
    assert len(service.connections) == 1
    gateway.let_pass(21)
    await eventually(lambda: not service.open)
    assert await client.is_open()
    assert len(service.connections) == 2


async def test_the_service_says_how_long_it_keeps_connections(gateway, service, eventually):
    service.answer = lambda request: b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5, max=9\r\ncontent-length: 0\r\n\r\n"
    client = await gateway.connect()
    await client.ask(GET)
    gateway.let_pass(3.5)
    assert len(service.open) == 1
    gateway.let_pass(4.5)
    await eventually(lambda: not service.open)


async def test_each_of_several_that_answer_alike_says_how_long_it_keeps_its_connections(gateway, service, eventually):
    servers = [type(service)() for _ in range(3)]
    for server in servers:
        server.answer = lambda request: b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5\r\ncontent-length: 0\r\n\r\n"
        await server.start()
    gateway.plane.directory.publish(
        "test", {"service": [Endpoint(address=server.address[0], port=server.address[1]) for server in servers]}
    )
    client = await gateway.connect()
    for _ in servers:
        await client.ask(GET)
    assert [len(server.open) for server in servers] == [1, 1, 1]
    gateway.let_pass(4.5)
    await eventually(lambda: not any(server.open for server in servers))
    for server in servers:
        await server.stop()


# Kept connections that the service has closed meanwhile.


def closing_at_the_second(reader_reads):
    """Return a service's part: answer once, then take a request and close without a word."""
    calls = 0

    async def talk(reader, writer):
        nonlocal calls
        calls += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        if calls == 1 and reader_reads:
            await reader.readuntil(b"\r\n\r\n")
        elif calls > 1:
            await reader.read()
        writer.close()

    return talk


async def test_a_stale_connection_is_replaced(gateway, service):
    service.talk = closing_at_the_second(reader_reads=True)
    client = await gateway.connect()
    assert (await client.ask(GET)).status == 200
    assert (await client.ask(GET)).status == 200
    assert len(service.connections) == 2


async def test_a_connection_that_the_service_closed_is_not_used(gateway, service, eventually):
    service.talk = closing_at_the_second(reader_reads=False)
    client = await gateway.connect()
    assert (await client.ask(GET)).status == 200
    await eventually(lambda: not service.open)
    answer = await client.ask(b"POST / HTTP/1.1\r\nHost: gw\r\nContent-Length: 3\r\n\r\nabc")
    assert answer.status == 200


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST / HTTP/1.1\r\nHost: gw\r\nContent-Length: 3\r\n\r\nabc",
        b"PATCH / HTTP/1.1\r\nHost: gw\r\nContent-Length: 3\r\n\r\nabc",
    ],
)
async def test_what_must_not_be_repeated_is_not(gateway, service, request_bytes):
    # RFC 9110 section 9.2.2.
    service.talk = closing_at_the_second(reader_reads=True)
    client = await gateway.connect()
    assert (await client.ask(GET)).status == 200
    assert (await client.ask(request_bytes)).status == 502
    assert len(service.connections) == 1


async def test_a_body_that_streamed_cannot_be_repeated(gateway, service, eventually):
    requests = []

    async def talk(reader, writer):
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(OK)
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        await reader.readexactly(3)
        writer.close()

    service.talk = talk
    client = await gateway.connect()
    await client.ask(GET)
    await client.send(b"PUT / HTTP/1.1\r\nHost: gw\r\nContent-Length: 6\r\n\r\nabc")
    assert (await client.receive()).status == 502
    assert len(service.connections) == 1


async def test_a_request_is_repeated_only_once(gateway, service):
    async def close_at_once(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    client = await gateway.connect()
    await client.ask(GET)  # a kept connection
    for connection in service.connections:
        connection.service.talk = close_at_once

    async def closing(request, connection):
        connection.writer.close()
        return b""

    service.answer = closing
    assert (await client.ask(GET)).status == 502
    assert len(service.connections) == 2


async def test_an_answer_that_has_begun_is_not_asked_for_again(gateway, service):
    answers = [OK, b"HTTP/1.1 200 O"]

    async def talk(reader, writer):
        for answer in answers:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await asyncio.sleep(0.01)
        writer.close()

    service.talk = talk
    client = await gateway.connect()
    assert (await client.ask(GET)).status == 200
    assert (await client.ask(GET)).status == 502
    assert len(service.connections) == 1


async def test_pools_of_instances_that_are_gone_are_forgotten(start_gateway, service, eventually):
    gateway = await start_gateway(service, backend={"idleConnTimeout": 0.05})
    await gateway.ask(GET)
    connector = gateway.plane._generation._compiler._connectors["http"]["http"]
    assert len(connector._pools) == 1
    gateway.let_pass(1)
    await eventually(lambda: not connector._pools)


async def test_a_connection_of_another_connector_is_left_alone(gateway, service):
    """As there is for a while when a reload brought other settings."""
    client = await gateway.connect()
    await client.ask(GET)
    (instance,) = gateway.plane.directory.instances("service")
    theirs = instance.free_connection
    theirs.connector = copy.copy(theirs.connector)
    for _ in range(3):
        assert (await client.ask(GET)).status == 200
    assert len(service.connections) == 2, "theirs, and one of its own that is kept"
    assert instance.free_connection is theirs


async def test_a_connector_that_is_closed_offers_no_connection_any_more(gateway, service):
    await gateway.ask(GET)
    (instance,) = gateway.plane.directory.instances("service")
    assert instance.free_connection is not None
    await instance.free_connection.connector.__aexit__(None, None, None)
    assert instance.free_connection is None


async def test_free_connections_are_kept_from_when_they_became_free(gateway, service, eventually):
    await gateway.ask(GET)
    connector = gateway.plane._generation._compiler._connectors["http"]["http"]
    before_s = connector.idle_until_s
    gateway.let_pass(2)
    await eventually(lambda: connector.idle_until_s > before_s)
    await gateway.ask(GET)
    (instance,) = gateway.plane.directory.instances("service")
    assert instance.free_connection.deadline_s > before_s


WAITS = """
from gateway import policy


@policy
async def waits(exchange, next):
    response = await next(exchange)
    response.headers.set("x-connect", str(exchange.connect_s))
    response.headers.set("x-queue", str(exchange.queue_s))
    return response
"""


async def test_how_long_a_request_waited_stands_on_the_exchange(gateway_factory, upstream, tmp_path):
    plugin = tmp_path / "waits.py"
    plugin.write_text(WAITS)
    upstream.answer = lambda request: Reply(delay_s=0.05)
    gateway = await gateway_factory(
        {"backend": {"http": {"maxConnsPerHost": 1}}}, upstream=upstream, plugin_files=[plugin]
    )
    answers = await asyncio.gather(gateway.ask("GET", "/"), gateway.ask("GET", "/"))
    opened, queued = sorted(answers, key=lambda answer: float(answer["x-queue"]))
    assert 0 < float(opened["x-connect"]) < 5
    assert opened["x-queue"] == "0.0"
    assert queued["x-connect"] == "0.0"
    assert 0.01 < float(queued["x-queue"]) < 5
    kept = await gateway.ask("GET", "/")
    assert (kept["x-connect"], kept["x-queue"]) == ("0.0", "0.0")
