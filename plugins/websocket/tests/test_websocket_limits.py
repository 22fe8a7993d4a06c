"""What sockets are held to, with a clock that tests move on."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.anyio


@pytest.fixture
async def opened(websocket_gateway, raw_service, connect, clock):
    """Start a gateway and open a socket: ``gateway, client, service = await opened({...})``."""

    async def open_(websocket=None, **options):
        gateway = await websocket_gateway(raw_service, websocket, **options)
        client = await connect(gateway)
        return gateway, client, await raw_service.next()

    return open_


# Size.


async def test_a_message_that_is_too_large_is_refused_by_its_head(opened, wire, clock):
    gateway, client, service = await opened({"maxMessageSize": 1000})
    client.send(wire.frame(2, b"x" * 1000))
    assert await service.frame() == (2, b"x" * 1000)
    client.send(wire.frame(2, b"x" * 1001)[:8])  # the payload need not come
    assert await service.close_code() == (1001, "message too big")
    clock.let_pass(gateway, 1)
    assert await client.close_code() == (1009, "message too big")
    assert await client.is_closed()


async def test_fragments_count_together(opened, wire):
    _, client, service = await opened({"maxMessageSize": 1000})
    client.send(wire.frame(2, b"x" * 600, fin=False) + wire.frame(0, b"x" * 400))
    assert (await service.frame(), await service.frame()) == ((2, b"x" * 600), (0, b"x" * 400))
    client.send(wire.frame(2, b"x" * 600, fin=False) + wire.frame(0, b"x" * 401))
    assert (await client.close_code())[0] == 1009


async def test_a_small_message_counts_where_the_limit_is_smaller(opened, wire):
    _, client, _ = await opened({"maxMessageSize": 10})
    client.send(wire.frame(2, b"x" * 11))
    assert (await client.close_code())[0] == 1009


async def test_services_may_be_limited_too(opened, wire):
    _, client, service = await opened(backend={"maxMessageSize": 1000})
    service.send(wire.frame(2, b"x" * 1001, mask=None))
    assert await service.close_code() == (1009, "message too big")
    assert (await client.close_code())[0] == 1001


@pytest.mark.parametrize("limit", [0, "2MB"])
async def test_large_messages_pass_where_they_may(opened, wire, limit):
    _, client, service = await opened({"messageLimit": limit})
    client.send(wire.frame(2, b"x" * 2_000_000))
    assert len((await service.frame())[1]) == 2_000_000


async def test_a_service_that_breaks_the_protocol_is_closed(opened, wire):
    _, client, service = await opened()
    service.send(wire.frame(1, b"masked"))
    assert (await service.close_code())[0] == 1002
    assert (await client.close_code())[0] == 1001


# What is on its way when a client breaks the protocol.


async def test_what_was_asked_before_is_answered(opened, wire):
    _, client, service = await opened()
    client.send(wire.frame(1, b"a question") + wire.frame(9, b"ping") + wire.frame(1, b"reserved bits", rsv=2))
    assert (await service.frame(), await service.frame()) == ((1, b"a question"), (9, b"ping"))
    assert (await service.close_code())[0] == 1001
    service.send(wire.frame(1, b"an answer", mask=None) + wire.frame(10, b"ping", mask=None))
    assert (await client.frame(), await client.frame()) == ((1, b"an answer"), (10, b"ping"))
    service.send(wire.close(1001, mask=None) + wire.frame(1, b"behind its close", mask=None))
    assert await client.frame() == (8, b"\x03\xeaa reserved bit without its extension")
    assert await client.is_closed()
    assert await service.is_closed()


async def test_a_service_that_answers_nothing_is_not_waited_for(opened, wire, clock):
    gateway, client, service = await opened()
    client.send(wire.frame(1, b"reserved bits", rsv=2))
    assert (await service.close_code())[0] == 1001
    clock.let_pass(gateway, 1)
    assert (await client.close_code())[0] == 1002
    service.send(wire.frame(1, b"late", mask=None))
    assert await client.is_closed()


@pytest.mark.parametrize("end", ["write_eof", "abort"])
async def test_a_service_may_leave_without_an_answer(opened, wire, end):
    _, client, service = await opened()
    client.send(wire.frame(1, b"reserved bits", rsv=2))
    assert (await service.close_code())[0] == 1001
    getattr(service.writer.transport, end)()
    assert (await client.close_code())[0] == 1002
    assert await client.is_closed()


async def test_a_service_may_break_the_protocol_as_well(opened, wire):
    _, client, service = await opened()
    client.send(wire.frame(1, b"reserved bits", rsv=2))
    assert (await service.close_code())[0] == 1001
    service.send(wire.frame(1, b"an answer", mask=None) + wire.frame(1, b"masked"))
    assert await client.frame() == (1, b"an answer")
    assert (await client.close_code())[0] == 1002
    assert await client.is_closed()


async def test_nothing_more_is_fetched_for_a_client_that_takes_nothing(opened, wire):
    gateway, client, service = await opened({"pingPeriod": 0})
    client.writer.transport.pause_reading()
    (socket,) = _sockets(gateway)
    while socket._client_end.slow_since_s > 1e18:
        service.send(wire.frame(2, b"x" * 60_000, mask=None))
        await gateway.ask("GET", "/_gateway/health")
    client.send(wire.frame(1, b"reserved bits", rsv=2))
    assert (await service.close_code())[0] == 1001
    assert socket._client_end.is_told


@pytest.mark.parametrize("slow", ["client", "service"])
async def test_the_rest_of_a_frame_is_fetched_no_faster_than_it_is_taken(opened, wire, clock, slow):
    """Who asks for a large message, takes none of it and breaks the protocol had it all kept here."""
    gateway, client, service = await opened({"pingPeriod": 0, "maxMessageSize": 0})
    taking, sending, mask = (client, service, b"") if slow == "client" else (service, client, b"mask")
    taking.writer.transport.pause_reading()
    (socket,) = _sockets(gateway)
    end = socket._client_end if slow == "client" else socket._service_end
    sending.send(bytes((0x82, 0x80 * bool(mask) | 127)) + (1 << 40).to_bytes(8, "big") + mask)
    while end.slow_since_s > 1e18:
        sending.send(b"x" * 60_000)
        await gateway.ask("GET", "/_gateway/health")
    if slow == "client":
        client.send(wire.frame(1, b"reserved bits", rsv=2))
    else:
        clock.let_pass(gateway, 100)
    await gateway.eventually(lambda: socket._is_closing)
    way = (socket._client if slow == "client" else socket._service)._transport
    kept = way.get_write_buffer_size()
    for _ in range(20):
        sending.send(b"x" * 60_000)
        await gateway.ask("GET", "/_gateway/health")
    assert way.get_write_buffer_size() <= kept


# Keep-alive.


async def test_a_silent_client_is_asked_and_its_answer_is_ours(opened, wire, clock):
    gateway, client, service = await opened({"pingPeriod": 30, "pongWait": 60})
    clock.let_pass(gateway, 31)
    opcode, payload = await client.frame()
    assert opcode == 9
    client.send(wire.frame(10, payload) + wire.frame(1, b"and more"))
    assert await service.frame() == (1, b"and more")  # the pong was not for the service
    clock.let_pass(gateway, 29)
    clock.let_pass(gateway, 29)
    assert (await client.frame())[0] == 9


async def test_a_client_that_does_not_answer_is_given_up(opened, clock):
    gateway, client, service = await opened({"pingPeriod": 30, "pongWait": 60})
    clock.let_pass(gateway, 31)
    clock.let_pass(gateway, 31)
    assert (await client.frame())[0] == 9
    assert await client.close_code() == (1001, "no answer to a ping")
    assert (await service.close_code())[0] == 1001
    clock.let_pass(gateway, 11)
    assert await client.is_closed()
    assert await service.is_closed()


async def test_a_wait_shorter_than_the_period_counts_from_the_ping(opened, clock, wire):
    gateway, client, _ = await opened({"pingInterval": 30, "pongTimeout": 10})
    clock.let_pass(gateway, 31)
    assert (await client.frame())[0] == 9
    clock.let_pass(gateway, 8)
    client.send(wire.frame(1, b"here"))
    await gateway.ask("GET", "/_gateway/health")
    clock.let_pass(gateway, 8)
    clock.let_pass(gateway, 24)
    assert (await client.frame())[0] == 9
    clock.let_pass(gateway, 11)
    assert (await client.close_code())[0] == 1001


async def test_pings_can_be_off(opened, clock):
    gateway, client, service = await opened({"pingPeriod": 0})
    clock.let_pass(gateway, 3600)
    service.send(b"\x81\x02hi")
    assert await client.frame() == (1, b"hi")


async def test_services_are_asked_where_it_is_wanted(opened, wire, clock):
    gateway, client, service = await opened({"pingPeriod": 0}, backend={"pingInterval": 30, "pongTimeout": 10})
    clock.let_pass(gateway, 31)
    opcode, payload = await service.frame()  # masked, as a client's must be; frame() takes it off
    assert opcode == 9
    service.send(wire.frame(10, payload, mask=None) + wire.frame(1, b"more", mask=None))
    assert await client.frame() == (1, b"more")
    clock.let_pass(gateway, 31)
    clock.let_pass(gateway, 11)
    assert await client.close_code() == (1013, "the service does not answer")


async def test_a_ping_waits_for_the_end_of_a_frame(opened, wire, clock):
    gateway, client, service = await opened({"pingPeriod": 30, "pongWait": 0})
    sent = wire.frame(2, b"x" * 1000, mask=None)
    service.send(sent[:500])
    await client.reader.readexactly(500)
    clock.let_pass(gateway, 31)
    service.send(sent[500:])
    assert await client.reader.readexactly(len(sent) - 500) == sent[500:]


# Time.


async def test_an_idle_socket_is_closed_whatever_its_pings(opened, wire, clock):
    gateway, client, service = await opened({"idleTimeout": 100, "pingPeriod": 0})
    for _ in range(3):
        clock.let_pass(gateway, 30)
        client.send(wire.frame(9, b"ping"))
        await service.frame()
    clock.let_pass(gateway, 30)
    assert await client.close_code() == (1001, "idle")


async def test_messages_keep_a_socket(opened, wire, clock):
    gateway, client, service = await opened({"idleTimeout": 100, "pingPeriod": 0})
    for _ in range(5):
        clock.let_pass(gateway, 60)
        service.send(wire.frame(1, b"news", mask=None))
        assert await client.frame() == (1, b"news")


async def test_a_message_that_is_not_finished_is_not_waited_for(opened, wire, clock):
    gateway, client, _ = await opened({"readTimeout": 20, "pingPeriod": 0})
    client.send(wire.frame(1, b"x" * 50)[:20])
    await gateway.ask("GET", "/_gateway/health")
    clock.let_pass(gateway, 21)
    assert await client.close_code() == (1008, "a message was not finished")


async def test_a_service_may_be_held_to_finish_its_messages(opened, wire, clock):
    gateway, client, service = await opened({"pingPeriod": 0}, backend={"readTimeout": 20})
    service.send(wire.frame(1, b"x" * 50, mask=None)[:20])
    await client.reader.readexactly(20)
    clock.let_pass(gateway, 21)
    assert (await service.close_code())[0] == 1001
    service.send(wire.frame(1, b"x" * 50, mask=None)[20:])
    await client.reader.readexactly(32)
    assert await client.close_code() == (1013, "the service did not finish a message")


async def test_a_client_that_never_reads_is_cut(opened, wire, clock):
    gateway, client, service = await opened({"writeTimeout": 20, "pingPeriod": 0})
    flood = wire.frame(2, b"x" * 60_000, mask=None)
    client.writer.transport.pause_reading()
    (socket,) = _sockets(gateway)
    while socket._client_end.slow_since_s > 1e18:
        service.send(flood)
        await gateway.ask("GET", "/_gateway/health")
    assert socket._service_end.is_held_back  # what it does not take is kept where it came from
    clock.let_pass(gateway, 21)
    assert (await service.close_code()) == (1001, "too slow")
    clock.let_pass(gateway, 11)  # it does not answer the close either
    clock.let_pass(gateway, 76)  # nor take it
    await gateway.eventually(lambda: not gateway.gateway.plane.in_flight())


@pytest.mark.parametrize("keys", [{"websocket": {"writeTimeout": 20}}, {"backend": {"writeTimeout": 20}}])
async def test_a_service_that_never_reads_is_cut(opened, wire, clock, keys):
    websocket = {"pingPeriod": 0, **keys.get("websocket", {})}
    gateway, client, service = await opened(websocket, backend=keys.get("backend"))
    service.writer.transport.pause_reading()
    (socket,) = _sockets(gateway)
    while socket._service_end.slow_since_s > 1e18:
        client.send(wire.frame(2, b"x" * 60_000))
        await gateway.ask("GET", "/_gateway/health")
    clock.let_pass(gateway, 21)
    assert await client.close_code() == (1013, "the service is too slow")


async def test_a_service_that_never_closes_is_left(opened, wire, clock):
    gateway, client, service = await opened({"closeGracePeriod": 5})
    client.send(wire.close(1000, "bye"))
    assert await service.close_code() == (1000, "bye")
    clock.let_pass(gateway, 6)
    assert (await client.close_code())[0] == 1001
    assert await client.is_closed()
    assert await service.is_closed()


@pytest.mark.parametrize("half", ["client", "service"])
async def test_a_half_closed_peer_is_not_kept(opened, clock, half):
    gateway, client, service = await opened({"closeGracePeriod": 5})
    one, other = (client, service) if half == "client" else (service, client)
    one.writer.write_eof()
    assert await other.is_closed()  # its end was passed on
    clock.let_pass(gateway, 6)
    await gateway.eventually(lambda: not _sockets(gateway))
    if half == "client":
        assert (await client.close_code())[0] == 1001
    assert await one.is_closed()


async def test_a_close_waits_for_the_frame_that_is_on_its_way(opened, wire, clock):
    gateway, client, service = await opened({"maxMessageSize": 10})
    sent = wire.frame(2, b"x" * 1000, mask=None)
    service.send(sent[:500])
    await client.reader.readexactly(500)
    client.send(wire.frame(2, b"x" * 11))
    assert (await service.close_code())[0] == 1001
    clock.let_pass(gateway, 1)
    service.send(sent[500:] + wire.frame(1, b"no more of this", mask=None))
    assert await client.reader.readexactly(500 + 4) == sent[500:]
    assert await client.frame() == (8, b"\x03\xf1message too big")


def _sockets(gateway):
    kept = gateway.gateway.plane._surroundings.kept
    return list(kept["policy", "websocket", "sockets"].open)
