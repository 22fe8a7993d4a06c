"""Requests of clients over HTTP/2, through a whole gateway, to services that speak HTTP/1.1."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import pytest
import trustme
from hyperframe import frame as frames

from gateway.testing import Reply

pytestmark = pytest.mark.anyio


def asking(path: str = "/", method: str = "GET", *more: tuple[str, str]) -> list[tuple[str, str]]:
    return [(":method", method), (":scheme", "http"), (":authority", "gw.test"), (":path", path), *more]


GET, POST = asking(), asking("/", "POST")


# Messages.


async def test_a_request_reaches_the_service_as_http_1(start: Any, connect: Any, upstream: Any) -> None:
    upstream.answer = lambda request: Reply(201, headers={"x-answer": "yes"}, body=b"hello")
    peer = await connect(await start(upstream))
    got = await peer.ask(asking("/a/b?c=%20d", "GET", ("x-asked", "this"), ("user-agent", "test")))
    assert (got.status, got.body, got["x-answer"], got["content-length"]) == (201, b"hello", "yes", "5")
    assert "connection" not in got
    (request,) = upstream.requests
    assert (request.method, request.target) == ("GET", "/a/b?c=%20d")
    assert request["host"] == "gw.test"
    assert request["x-asked"] == "this"
    assert request["via"] == "2 gateway"
    assert request["x-forwarded-for"] == "127.0.0.1"
    assert request["x-request-id"] == got["x-request-id"]
    assert not [name for name, _ in request.fields if name.startswith(":")]


async def test_many_requests_at_once_and_one_after_the_other(start: Any, connect: Any, upstream: Any) -> None:
    upstream.answer = lambda request: Reply(body=request.target)
    peer = await connect(await start(upstream))
    for turn in range(3):
        numbers = range(turn * 100 + 1, turn * 100 + 101, 2)
        for number in numbers:
            peer.headers(number, asking(f"/{number}"))
        for number in numbers:
            assert (await peer.got(number)).body == f"/{number}".encode()


@pytest.mark.parametrize("pieces", [[b"whole"], [b"in ", b"", b"pieces"], [b"x" * 16384] * 40])
async def test_bodies(start: Any, connect: Any, upstream: Any, pieces: list[bytes]) -> None:
    upstream.answer = lambda request: Reply(body=request.body)
    peer = await connect(await start(upstream))
    peer.headers(1, POST, end=False)
    sent = 0
    for piece in pieces:
        sent += len(piece)
        # The window of a stream, and what was acknowledged of it.
        await peer.until(lambda: sent <= 256 * 1024 + peer.updates.get(1, 0))  # noqa: B023 - called at once
        peer.data(1, piece)
        await peer.pong()
    peer.data(1, b"", end=True)
    got = await peer.got(1)
    assert got.body == b"".join(pieces)
    assert upstream.requests[0].body == b"".join(pieces)


async def test_a_small_body_is_sent_with_its_length(start: Any, connect: Any, upstream: Any) -> None:
    peer = await connect(await start(upstream))
    await peer.ask(POST, body=b"hello")
    assert upstream.requests[0]["content-length"] == "5"


async def test_padding_is_no_content(start: Any, connect: Any, upstream: Any) -> None:
    upstream.answer = lambda request: Reply(body=request.body)
    peer = await connect(await start(upstream))
    block = peer.encoder.encode(POST)
    peer.frame(frames.HeadersFrame(1, block, flags=["END_HEADERS", "PADDED"], pad_length=20))
    peer.frame(frames.DataFrame(1, b"content", flags=["PADDED", "END_STREAM"], pad_length=200))
    assert (await peer.got(1)).body == b"content"


async def test_a_head_in_pieces(start: Any, connect: Any, upstream: Any) -> None:
    peer = await connect(await start(upstream))
    block = peer.encoder.encode([*GET, ("x-long", "v" * 100)])
    peer.frame(frames.HeadersFrame(1, block[:10], flags=["END_STREAM"]))
    peer.frame(frames.ContinuationFrame(1, block[10:50]))
    peer.frame(frames.ContinuationFrame(1, block[50:], flags=["END_HEADERS"]))
    assert (await peer.got(1)).status == 200
    assert upstream.requests[0]["x-long"] == "v" * 100


async def test_every_byte_alone(start: Any, connect: Any, upstream: Any) -> None:
    peer = await connect(await start(upstream), begin=False)
    peer.answers = False
    data = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frames.SettingsFrame(0).serialize()
    data += frames.HeadersFrame(1, peer.encoder.encode(POST), flags=["END_HEADERS"]).serialize()
    data += frames.DataFrame(1, b"hello", flags=["END_STREAM"]).serialize()
    for byte in data:
        peer.send(bytes((byte,)))
        await asyncio.sleep(0)
    assert (await peer.got(1)).status == 200
    assert upstream.requests[0].body == b"hello"


async def test_trailers_both_ways(start: Any, connect: Any, service: Any) -> None:
    service.answer = lambda asked: (asked.reply(b"body", end=False), asked.finish([("x-sum", "1"), ("x-more", "2")]))
    peer = await connect(await start(**service.registry))
    peer.headers(1, [*POST, ("te", "trailers")], end=False)
    peer.data(1, b"data")
    peer.headers(1, [("x-checksum", "abc"), ("content-length", "9")])
    got = await peer.got(1)
    assert (got.body, got.trailers) == (b"body", [("x-sum", "1"), ("x-more", "2")])
    (asked,) = service.requests
    assert (bytes(asked.body), asked.trailers) == (b"data", [("x-checksum", "abc")])
    assert asked["te"] == "trailers"


async def test_crumbs_of_a_cookie_are_one_field(start: Any, connect: Any, upstream: Any) -> None:
    peer = await connect(await start(upstream))
    await peer.ask([*GET, ("cookie", "a=1"), ("x-between", "1"), ("cookie", "b=2")])
    assert upstream.requests[0]["cookie"] == "a=1; b=2"


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
async def test_answers_without_content(start: Any, connect: Any, upstream: Any, method: str, status: int) -> None:
    length = {} if status == 204 else {"content-length": "42"}
    upstream.answer = lambda request: Reply(status, headers=length, body=b"")
    peer = await connect(await start(upstream))
    got = await peer.ask(asking("/", method))
    assert (got.status, got.body) == (status, b"")
    assert ("content-length" in got) == (status != 204)


async def test_a_client_that_waits_for_100_is_told_to_go_on(start: Any, connect: Any, upstream: Any) -> None:
    peer = await connect(await start(upstream))
    peer.headers(1, [*POST, ("expect", "100-continue"), ("content-length", "4")], end=False)
    await peer.until(lambda: 1 in peer.streams and peer.streams[1].interim)
    assert peer.streams[1].interim == [[(":status", "100")]]
    peer.data(1, b"data", end=True)
    assert (await peer.got(1)).status == 200
    assert upstream.requests[0].body == b"data"
    assert "expect" not in upstream.requests[0]


async def test_interim_responses_are_passed_on(start: Any, connect: Any, service: Any) -> None:
    def answer(asked: Any) -> None:
        asked.connection.protocol.send_headers(asked.stream_id, [(":status", "103"), ("link", "</a.css>")])
        asked.reply()

    service.answer = answer
    peer = await connect(await start(**service.registry))
    got = await peer.ask()
    assert got.interim == [[(":status", "103"), ("link", "</a.css>")]]
    assert got.status == 200


async def test_options_for_the_gateway_itself(start: Any, connect: Any, upstream: Any) -> None:
    peer = await connect(await start(upstream))
    assert (await peer.ask(asking("*", "OPTIONS"))).status == 200
    forwarded = await peer.ask(asking("/", "OPTIONS", ("max-forwards", "0")), stream_id=3)
    assert forwarded.status == 200
    assert not upstream.requests


async def test_a_route_that_is_not_there(start: Any, connect: Any) -> None:
    peer = await connect(await start(router={"rules": []}))
    got = await peer.ask()
    assert (got.status, got["content-type"]) == (404, "application/problem+json")


async def test_fields_of_connections_that_a_service_sends_end_here(start: Any, connect: Any, upstream: Any) -> None:
    fields = {"connection": "keep-alive, x-hop", "keep-alive": "timeout=5", "x-hop": "1", "x-end": "2"}
    upstream.answer = lambda request: Reply(headers=fields)
    got = await (await connect(await start(upstream))).ask()
    assert got["x-end"] == "2"
    assert not {"connection", "keep-alive", "x-hop", "transfer-encoding"} & {name for name, _ in got.fields or []}


# Streaming and back-pressure.


async def test_an_answer_streams(start: Any, connect: Any, service: Any) -> None:
    service.answer = lambda asked: asked.reply(b"first", end=False)
    peer = await connect(await start(**service.registry))
    peer.headers(1, GET)
    await peer.until(lambda: 1 in peer.streams and peer.streams[1].body == b"first")
    service.requests[0].say(b"second", end=True)
    assert (await peer.got(1)).body == b"firstsecond"


async def test_an_answer_waits_for_the_windows_of_the_client(start: Any, connect: Any, upstream: Any) -> None:
    content = bytes(range(256)) * 400
    upstream.answer = lambda request: Reply(body=content)
    peer = await connect(await start(upstream), {4: 1000})
    peer.gives_room = False
    peer.headers(1, GET)
    await peer.until(lambda: 1 in peer.streams and len(peer.streams[1].body) == 1000)
    peer.give(1, 99_000)
    await peer.until(lambda: len(peer.streams[1].body) == 65535)  # the connection's own window
    peer.give(0, 100_000)
    await peer.until(lambda: len(peer.streams[1].body) == 100_000)
    peer.give(1, 100_000)
    assert (await peer.got(1)).body == content


async def test_streams_share_the_window_of_the_connection(start: Any, connect: Any, upstream: Any) -> None:
    upstream.answer = lambda request: Reply(body=b"x" * 200_000)
    peer = await connect(await start(upstream), {4: 2**20})
    peer.gives_room = False
    for number in (1, 3, 5):
        peer.headers(number, GET)
    await peer.until(lambda: sum(len(got.body) for got in peer.streams.values()) == 65535)
    for _ in range(12):
        peer.give(0, 48 * 1024)
        await peer.pong()
    assert len({len(peer.streams[number].body) > 100_000 for number in (1, 3, 5)}) == 1


async def test_a_smaller_initial_window_takes_room_back(start: Any, connect: Any, upstream: Any) -> None:
    upstream.answer = lambda request: Reply(body=b"x" * 50_000)
    peer = await connect(await start(upstream), {4: 10_000})
    peer.gives_room = False
    peer.headers(1, GET)
    await peer.until(lambda: 1 in peer.streams and len(peer.streams[1].body) == 10_000)
    peer.frame(frames.SettingsFrame(0, settings={4: 0}))
    peer.give(1, 10_000)  # the window is 0 again now
    await peer.pong()
    assert len(peer.streams[1].body) == 10_000
    peer.frame(frames.SettingsFrame(0, settings={4: 40_000}))
    assert len((await peer.got(1)).body) == 50_000


async def test_a_client_can_send_no_more_than_the_service_takes(start: Any, connect: Any, service: Any) -> None:
    service.takes = False
    gateway = await start(**service.registry, http2={"initialStreamWindowSize": 65536})
    peer = await connect(gateway)
    peer.headers(1, POST, end=False)
    for _ in range(4):
        peer.data(1, b"x" * 16384)
    await peer.pong()
    # The service's own window is full: a part of what came stands in the gateway, and is not acknowledged.
    assert peer.updates.get(1, 0) < 65536
    service.takes = True
    (connection,) = service.connections
    await peer.until(lambda: service.requests)
    connection.protocol.acknowledge_received_data(len(service.requests[0].body), 1)
    connection.flush()
    await peer.until(lambda: len(service.requests[0].body) == 65536 and peer.updates.get(1, 0) >= 32768)
    peer.data(1, b"", end=True)
    assert (await peer.got(1)).status == 200


async def test_an_answer_before_the_end_of_the_request_spares_the_rest(start: Any, connect: Any, upstream: Any) -> None:
    gateway = await start(upstream, router={"rules": []})
    peer = await connect(gateway)
    peer.headers(1, POST, end=False)
    await peer.until(lambda: 1 in peer.streams and peer.streams[1].reset is not None)
    assert (peer.streams[1].status, peer.streams[1].reset) == (404, 0)
    peer.data(1, b"what was on its way")
    assert (await peer.ask(GET, stream_id=3)).status == 404


async def test_a_request_that_is_given_up_is_given_up_at_the_service(start: Any, connect: Any, service: Any) -> None:
    service.answer = lambda asked: None
    peer = await connect(await start(**service.registry))
    peer.headers(1, GET)
    while not service.requests:
        await peer.pong()
    peer.frame(frames.RstStreamFrame(1, error_code=8))
    while service.requests[0].reset is None:
        await peer.pong()
    assert service.requests[0].reset == 8


async def test_a_service_that_breaks_off_resets_the_stream(start: Any, connect: Any, upstream: Any) -> None:
    upstream.answer = lambda request: Reply(body=[b"half of it" * 10], drop=True)
    peer = await connect(await start(upstream))
    got = await peer.ask()
    assert (got.status, got.reset, got.is_ended) == (200, 2, False)


# Connections.


async def test_http_1_is_still_served_on_the_same_port(start: Any, connect: Any, upstream: Any) -> None:
    gateway = await start(upstream)
    peer = await connect(gateway)
    assert (await peer.ask()).status == 200
    assert (await gateway.ask("GET", "/")).status == 200


async def test_without_its_block_nothing_speaks_http_2(gateway_factory: Any, connect: Any, upstream: Any) -> None:
    peer = await connect(await gateway_factory(upstream=upstream))
    await peer.until(lambda: peer.is_closed)
    assert not peer.settings


async def test_prior_knowledge_can_be_refused(start: Any, connect: Any, upstream: Any) -> None:
    peer = await connect(await start(upstream, http2={"priorKnowledge": False}))
    await peer.until(lambda: peer.is_closed)
    assert not peer.settings


async def test_a_reload_takes_it_away_and_brings_it_back(start: Any, connect: Any, upstream: Any) -> None:
    gateway = await start(upstream)
    kept = await connect(gateway)
    assert (await kept.ask()).status == 200
    text = gateway.gateway._options.text
    await gateway.gateway.reload(text.replace('"http2": {}}, "backend"', '"http2": {"enabled": false}}, "backend"'))
    refused = await connect(gateway)
    await refused.until(lambda: refused.is_closed)
    assert not refused.settings
    assert (await kept.ask(stream_id=3)).status == 200  # connections that are there stay
    await gateway.gateway.reload(text)
    assert (await (await connect(gateway)).ask()).status == 200


async def test_alpn(start: Any, connect: Any, upstream: Any, tmp_path: Any) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    gateway = await start(upstream, http={"tls": {"certFile": "cert.pem", "keyFile": "key.pem"}})
    context = ssl.create_default_context()
    authority.configure_trust(context)
    context.set_alpn_protocols(["h2", "http/1.1"])
    peer = await connect(gateway, tls=context)
    got = await peer.ask([(":method", "GET"), (":scheme", "https"), (":authority", "gw.test"), (":path", "/")])
    assert got.status == 200
    assert upstream.requests[0]["x-forwarded-proto"] == "https"
    context.set_alpn_protocols(["http/1.1"])
    async with gateway.client(tls=context) as client:
        assert (await client.ask("GET", "/")).status == 200


async def test_an_idle_connection_is_closed(start: Any, connect: Any, upstream: Any, let_pass: Any) -> None:
    gateway = await start(upstream, http={"idleTimeout": "60s"})
    peer = await connect(gateway)
    await peer.ask()
    await peer.pong()
    let_pass(gateway, 59)
    assert (await peer.ask(stream_id=3)).status == 200
    let_pass(gateway, 61)
    assert await peer.goaway() == 0


async def test_a_connection_in_use_is_not_idle(start: Any, connect: Any, service: Any, let_pass: Any) -> None:
    service.answer = lambda asked: None
    gateway = await start(**service.registry, http={"idleTimeout": "60s"}, backend={"keepAliveTimeout": 0})
    peer = await connect(gateway)
    await peer.ask(asking("/_gateway/live"))
    peer.headers(3, GET)
    while not service.requests:
        await peer.pong()
    let_pass(gateway, 20)
    service.requests[0].reply()
    assert (await peer.got(3)).status == 200


async def test_draining_takes_what_is_on_its_way(start: Any, connect: Any, service: Any) -> None:
    service.answer = lambda asked: None
    gateway = await start(**service.registry)
    peer = await connect(gateway)
    peer.answers = False
    peer.headers(1, GET)
    while not service.requests:
        await peer.pong()
    for adapter in gateway.gateway.plane._adapters():
        adapter.drain()
    await peer.until(lambda: peer.goaways)
    assert peer.goaways == [(2**31 - 1, 0)]
    peer.headers(3, GET)
    while len(service.requests) < 2:
        await peer.pong()
    peer.frame(frames.PingFrame(0, b"gateway!", flags=["ACK"]))
    await peer.until(lambda: len(peer.goaways) == 2)
    assert peer.goaways[1] == (3, 0)
    peer.headers(5, GET)
    assert (await peer.got(5)).reset == 7
    for asked in service.requests:
        asked.reply()
    assert ((await peer.got(1)).status, (await peer.got(3)).status) == (200, 200)
    await peer.until(lambda: peer.is_closed)


async def test_draining_does_not_wait_for_a_client_that_says_nothing(
    start: Any, connect: Any, upstream: Any, let_pass: Any
) -> None:
    gateway = await start(upstream)
    peer = await connect(gateway)
    await peer.ask()
    peer.answers = False
    for adapter in gateway.gateway.plane._adapters():
        adapter.drain()
    let_pass(gateway, 1.1)
    assert await peer.goaway() == 0
    assert peer.goaways[-1] == (1, 0)


async def test_a_client_that_leaves_gets_its_answers(start: Any, connect: Any, service: Any) -> None:
    service.answer = lambda asked: None
    peer = await connect(await start(**service.registry))
    peer.headers(1, GET)
    while not service.requests:
        await peer.pong()
    peer.frame(frames.GoAwayFrame(0, last_stream_id=0, error_code=0))
    await peer.pong()
    service.requests[0].reply()
    assert (await peer.got(1)).status == 200
    await peer.until(lambda: peer.is_closed)


async def test_a_silent_client_is_asked_for_a_sign_of_life(
    start: Any, connect: Any, upstream: Any, let_pass: Any
) -> None:
    gateway = await start(upstream, http2={"pingInterval": "10s", "pingTimeout": "5s"})
    peer = await connect(gateway)
    await peer.ask()
    await peer.pong()
    let_pass(gateway, 20)
    await peer.pong()  # the answer to the gateway's ping went before
    let_pass(gateway, 26)
    assert (await peer.ask(stream_id=3)).status == 200
    peer.answers = False
    let_pass(gateway, 40)
    let_pass(gateway, 46)
    await peer.until(lambda: peer.is_closed)
