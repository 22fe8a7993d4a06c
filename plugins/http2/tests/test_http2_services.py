"""Requests to services that speak HTTP/2, from clients of HTTP/1.1 unless it matters."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from typing import Any

import pytest
import trustme
from h2.settings import SettingCodes

from gateway_http2.service_connection import ServiceConnection

pytestmark = pytest.mark.anyio

POST = [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "gw.test")]
GET = [(":method", "GET"), *POST[1:]]
NAMES = ("orders", "others")


async def test_a_request_of_http_1_reaches_a_service_of_http_2(start: Any, service: Any) -> None:
    service.answer = lambda asked: asked.reply(
        b"hello", status=201, fields=[("x-answer", "yes"), ("x-request-id", "own")]
    )
    gateway = await start(**service.registry)
    answer = await gateway.ask(
        "POST",
        "/a?b=c",
        headers={"x-asked": "this", "x-request-id": "id-1", "connection": "x-hop", "x-hop": "1"},
        body=b"data",
    )
    assert (answer.status, answer.body, answer["x-answer"], answer["x-request-id"]) == (201, b"hello", "yes", "id-1")
    (asked,) = service.requests
    assert [name for name, _ in asked.fields[:4]] == [":method", ":scheme", ":authority", ":path"]
    assert (asked[":method"], asked[":scheme"], asked[":path"]) == ("POST", "http", "/a?b=c")
    assert asked[":authority"].endswith(f":{gateway.gateway.addresses[0][1]}")
    assert (asked["x-asked"], asked["x-request-id"], asked["via"], asked["content-length"]) == (
        "this",
        "id-1",
        "1.1 gateway",
        "4",
    )
    assert asked["x-forwarded-for"] == "127.0.0.1"
    assert not {"host", "connection", "x-hop", "transfer-encoding", "keep-alive"} & {name for name, _ in asked.fields}
    assert asked.body == b"data"


async def test_requests_share_a_connection(start: Any, service: Any) -> None:
    service.answer = lambda asked: None
    gateway = await start(**service.registry)
    tasks = [asyncio.create_task(gateway.ask("GET", f"/{number}")) for number in range(20)]
    await gateway.eventually(lambda: len(service.requests) == 20)
    assert len(service.connections) == 1
    for asked in service.requests:
        asked.reply(asked[":path"].encode())
    assert [(await task).body for task in tasks] == [f"/{number}".encode() for number in range(20)]


async def test_no_more_streams_than_the_service_allows(start: Any, service: Any) -> None:
    service.settings = {SettingCodes.MAX_CONCURRENT_STREAMS: 3}
    service.answer = lambda asked: None
    gateway = await start(**service.registry, backend={"maxConnsPerHost": 2})
    first = asyncio.create_task(gateway.ask("GET", "/0"))
    await gateway.eventually(lambda: service.requests)
    tasks = [first, *(asyncio.create_task(gateway.ask("GET", f"/{number}")) for number in range(1, 10))]
    await gateway.eventually(lambda: len(service.requests) == 6)
    await asyncio.sleep(0.05)
    assert (len(service.connections), len(service.requests)) == (2, 6)
    service.answer = lambda asked: asked.reply()
    for asked in list(service.requests):
        asked.reply()
    assert [(await task).status for task in tasks] == [200] * 10


@pytest.fixture
async def secured(service_factory: Any, tmp_path: Any) -> Any:
    """Give a service behind TLS, and its authority in `ca.pem`."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    tls.set_alpn_protocols(["h2"])
    return await service_factory(tls=tls)


async def test_over_tls(start: Any, secured: Any) -> None:
    gateway = await start(**secured.registry, backend={"tls": {"rootCAFile": "ca.pem"}})
    assert (await gateway.ask("GET", "/")).status == 200
    assert secured.requests[0][":scheme"] == "https"
    distrusting = await start(**secured.registry)
    assert (await distrusting.ask("GET", "/")).status == 502
    assert len(secured.requests) == 1


async def test_one_service_has_tls_of_its_own(start: Any, service_factory: Any, tmp_path: Any) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    own = authority.issue_cert("gateway.internal")
    own.private_key_pem.write_to_path(tmp_path / "gateway.key")
    own.cert_chain_pems[0].write_to_path(tmp_path / "gateway.pem")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("orders.internal").configure_cert(tls)
    authority.configure_trust(tls)
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.set_alpn_protocols(["h2"])
    service = await service_factory(tls=tls)
    shown = {"serverName": "orders.internal", "clientCertFile": "gateway.pem", "clientKeyFile": "gateway.key"}
    gateway = await start(
        backend={"tls": {"rootCAFile": "ca.pem"}, "services": {"orders": {"tls": shown}}},
        registry={"static": {"services": [{"name": name, "instances": [service.instance]} for name in NAMES]}},
        router={"rules": [{"path": f"/{name}", "serviceName": name} for name in NAMES]},
    )
    assert (await gateway.ask("GET", "/orders")).status == 200
    # The other one has the authority alone: it asks for another name, and has nothing to show.
    assert (await gateway.ask("GET", "/others")).status == 502
    assert len(service.requests) == 1


async def test_verification_can_be_turned_off_for_one_service(
    start: Any, service_factory: Any, caplog: pytest.LogCaptureFixture
) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(tls)
    tls.set_alpn_protocols(["h2"])
    service = await service_factory(tls=tls)
    with caplog.at_level(logging.WARNING, "gateway"):
        gateway = await start(
            **service.registry, backend={"services": {"service": {"tls": {"insecureSkipVerify": True}}}}
        )
    assert "certificates of service 'service' are not verified" in caplog.text
    assert (await gateway.ask("GET", "/")).status == 200


async def test_tls_of_a_service_that_cannot_be_stops_the_start(start: Any, service: Any) -> None:
    for tls, said in (
        ({"rootCAFile": "missing.pem"}, "cannot be read"),
        ({"clientCertFile": "a.pem"}, "belong together"),
        ({"maxVersion": "1.2"}, "does not go with the tls above it"),
        ({"verify": False}, "unknown key"),
    ):
        backend = {"tls": {"minVersion": "1.3"}, "services": {"service": {"tls": tls}}}
        with pytest.raises(Exception, match=said):
            await start(**service.registry, backend=backend)


async def test_a_service_that_does_not_choose_http_2(start: Any, upstream_factory: Any, tmp_path: Any) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    upstream = await upstream_factory(tls=tls)
    services = [{"name": "service", "instances": [{**upstream.instance, "scheme": "h2"}]}]
    gateway = await start(
        backend={"tls": {"rootCAFile": "ca.pem"}},
        registry={"static": {"services": services}},
        router={"rules": [{"path": "/*", "serviceName": "service"}]},
    )
    assert (await gateway.ask("GET", "/")).status == 502
    assert not upstream.requests


async def test_a_route_may_say_that_its_service_speaks_http_2(start: Any, service: Any) -> None:
    service.scheme = "http"
    blocks = service.registry
    blocks["router"]["rules"][0]["protocol"] = "http2"
    assert (await (await start(**blocks)).ask("GET", "/")).status == 200
    assert service.requests


async def test_preserve_host_off_names_the_instance(start: Any, service: Any) -> None:
    blocks = service.registry
    blocks["router"]["rules"][0]["preserveHost"] = False
    await (await start(**blocks)).ask("GET", "/")
    assert service.requests[0][":authority"] == f"127.0.0.1:{service.port}"


# Both ways at once.


async def test_the_answer_may_come_before_the_end_of_the_request(start: Any, connect: Any, service: Any) -> None:
    service.began = lambda asked: asked.reply(b"early", end=False)
    service.answer = lambda asked: asked.finish([("x-status", "0")])
    peer = await connect(await start(**service.registry))
    peer.headers(1, [*POST, ("te", "trailers")], end=False)
    await peer.until(lambda: 1 in peer.streams and peer.streams[1].body == b"early")
    for _ in range(3):
        peer.data(1, b"more")
        await peer.pong()
    (asked,) = service.requests
    while asked.body != b"moremoremore":
        await peer.pong()
    asked.say(b" and late")
    await peer.until(lambda: peer.streams[1].body == b"early and late")
    peer.data(1, b"", end=True)
    assert (await peer.got(1)).trailers == [("x-status", "0")]


async def test_an_answer_that_ends_before_the_request(start: Any, connect: Any, service: Any) -> None:
    service.began = lambda asked: asked.reply(b"no", status=403)
    peer = await connect(await start(**service.registry))
    peer.headers(1, POST, end=False)
    await peer.until(lambda: 1 in peer.streams and peer.streams[1].reset is not None)
    assert (peer.streams[1].status, peer.streams[1].body, peer.streams[1].reset) == (403, b"no", 0)
    await peer.pong()
    assert service.requests[0].reset == 0
    assert service.connections[0].is_open


async def test_a_large_upload_and_a_large_answer(start: Any, connect: Any, service: Any) -> None:
    content = bytes(range(256)) * 4096
    gateway = await start(**service.registry)

    def answer(asked: Any) -> None:
        protocol = asked.connection.protocol
        protocol.send_headers(asked.stream_id, [(":status", "200")])
        asked.left = bytes(asked.body)
        send(asked)

    def send(asked: Any) -> None:
        protocol = asked.connection.protocol
        while asked.left and asked.reset is None:
            room = min(protocol.local_flow_control_window(asked.stream_id), protocol.max_outbound_frame_size)
            if not room:
                asyncio.get_running_loop().call_later(0.005, send, asked)
                return
            protocol.send_data(asked.stream_id, asked.left[:room], end_stream=room >= len(asked.left))
            asked.left = asked.left[room:]
            asked.connection.flush()

    service.answer = answer
    answer_ = await gateway.ask("POST", "/", body=content)
    assert answer_.body == content


async def test_a_client_that_goes_cancels_the_stream(start: Any, service: Any) -> None:
    service.answer = lambda asked: asked.reply(b"some", end=False)
    gateway = await start(**service.registry)
    async with gateway.stream("GET", "/") as answer:
        assert answer.status == 200
    await gateway.eventually(lambda: service.requests[0].reset == 8)
    assert service.connections[0].is_open
    service.answer = lambda asked: asked.reply()
    assert (await gateway.ask("GET", "/")).status == 200
    assert len(service.connections) == 1


# Failures.


async def test_a_service_that_is_not_there(start: Any, service_factory: Any) -> None:
    service = await service_factory()
    service.port = 1
    assert (await (await start(**service.registry)).ask("GET", "/")).status == 502


async def test_a_refused_stream_goes_to_another_instance(start: Any, service_factory: Any) -> None:
    first, second = await service_factory(), await service_factory()
    for service in (first, second):
        service.answer = lambda asked: asked.give_up(7)
    gateway = await start(
        registry={"static": {"services": [{"name": "service", "instances": [first.instance, second.instance]}]}},
        router={"rules": [{"path": "/*", "serviceName": "service"}]},
    )
    assert (await gateway.ask("POST", "/", body=b"x")).status == 502
    assert first.requests
    assert second.requests
    second.answer = first.answer = lambda asked: asked.reply()
    assert (await gateway.ask("POST", "/", body=b"x")).status == 200


async def test_what_a_goaway_left_out_is_sent_again(start: Any, service: Any) -> None:
    gateway = await start(**service.registry)
    assert (await gateway.ask("GET", "/")).status == 200
    (connection,) = service.connections
    # It leaves, but the gateway learns of that only when the next request is under way.
    connection.instead = lambda data: (
        connection.protocol.close_connection(last_stream_id=1),
        connection.flush(),
        connection.transport.close(),
    )
    assert (await gateway.ask("POST", "/", body=b"once")).status == 200
    assert [bytes(asked.body) for asked in service.requests] == [b"", b"once"]
    assert len(service.connections) == 2


async def test_a_service_that_leaves_finishes_what_it_took(start: Any, service: Any) -> None:
    service.answer = lambda asked: None
    gateway = await start(**service.registry)
    first = asyncio.create_task(gateway.ask("GET", "/first"))
    await gateway.eventually(lambda: service.requests)
    (connection,) = service.connections
    goaway = b"\0\0\x08\x07\0\0\0\0\0" + (1).to_bytes(4, "big") + bytes(4)
    connection.transport.write(goaway)
    await asyncio.sleep(0.02)
    second = asyncio.create_task(gateway.ask("GET", "/second"))
    await gateway.eventually(lambda: len(service.requests) == 2)
    assert len(service.connections) == 2
    for asked in service.requests:
        asked.reply(asked[":path"].encode())
    assert [(await first).body, (await second).body] == [b"/first", b"/second"]
    await gateway.eventually(lambda: not connection.is_open)


async def test_a_connection_that_waits_for_the_end_of_tls_is_cut_when_the_gateway_stops(
    start: Any, secured: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An instance that has left and does not answer the close of TLS would keep it for half a minute."""
    lost = []

    class Noted(ServiceConnection):
        def connection_lost(self, exc: Exception | None) -> None:
            lost.append(self)
            super().connection_lost(exc)

    monkeypatch.setattr("gateway_http2.connector.ServiceConnection", Noted)
    gateway = await start(**secured.registry, backend={"tls": {"rootCAFile": "ca.pem"}})
    assert (await gateway.ask("GET", "/")).status == 200
    (connection,) = secured.connections
    connection.transport.pause_reading()
    connection.transport.write(b"\0\0\x08\x07\0\0\0\0\0" + (1).to_bytes(4, "big") + bytes(4))
    await asyncio.sleep(0.05)
    assert not lost
    await gateway.gateway.__aexit__(None, None, None)
    async with asyncio.timeout(5):
        while not lost:  # noqa: ASYNC110 - what it waits for has no event
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(("method", "times"), [("GET", 3), ("POST", 1)])
async def test_a_connection_that_is_cut_before_the_answer(start: Any, service: Any, method: str, times: int) -> None:
    """What does no harm is asked again, up to a point; what may, is not (RFC 9110 section 9.2.2)."""
    service.answer = lambda asked: asked.connection.transport.abort()
    assert (await (await start(**service.registry)).ask(method, "/")).status == 502
    assert len(service.requests) == times


@pytest.mark.parametrize(
    "fields",
    [
        [("x", "no status")],
        [(":status", "2000")],
        [(":status", "101")],
        [(":status", "200"), ("connection", "close")],
        [(":status", "200"), ("content-length", "1"), ("content-length", "2")],
        [(":status", "200"), (":path", "/")],
        [(":status", "200"), ("X-Upper", "1")],
        [(":status", "200"), ("x", "a\nb")],
    ],
)
async def test_a_malformed_answer_is_a_bad_gateway(start: Any, service: Any, fields: list[tuple[str, str]]) -> None:
    def answer(asked: Any) -> None:
        block = b"".join(
            b"\0" + bytes((len(name),)) + name.encode() + bytes((len(value),)) + value.encode()
            for name, value in fields
        )
        asked.connection.transport.write(
            len(block).to_bytes(3, "big") + b"\x01\x05" + asked.stream_id.to_bytes(4, "big") + block
        )

    service.answer = answer
    gateway = await start(**service.registry)
    answer_ = await gateway.ask("GET", "/")
    assert answer_.status == 502
    assert service.connections[0].is_open


async def test_a_service_that_breaks_the_rules_is_a_bad_gateway(start: Any, service: Any) -> None:
    service.answer = lambda asked: asked.connection.transport.write(b"\0\0\x05\x06\0\0\0\0\0hello")
    gateway = await start(**service.registry)
    assert (await gateway.ask("GET", "/")).status == 502
    service.answer = lambda asked: asked.reply()
    assert (await gateway.ask("GET", "/")).status == 200
    await gateway.eventually(lambda: service.connections[0].goaway == 6)


async def test_an_answer_shorter_than_it_says_is_cut(start: Any, connect: Any, service: Any) -> None:
    def answer(asked: Any) -> None:
        asked.reply(b"half", fields=[("content-length", "8")], end=False)
        asked.give_up(2)

    service.answer = answer
    peer = await connect(await start(**service.registry))
    got = await peer.ask(GET)
    assert got.is_ended is False or got.status == 502


async def test_a_service_that_is_too_slow(start: Any, service: Any, let_pass: Any) -> None:
    service.answer = lambda asked: None
    blocks = service.registry
    blocks["router"]["rules"][0]["timeout"] = "5s"
    gateway = await start(**blocks)
    task = asyncio.create_task(gateway.ask("GET", "/"))
    await gateway.eventually(lambda: service.requests)
    let_pass(gateway, 6)
    assert (await task).status == 504
    await gateway.eventually(lambda: service.requests[0].reset == 8)
    assert service.connections[0].is_open


async def test_if_an_instance_does_not_accept_in_time_another_one_is_asked(start: Any, service: Any) -> None:
    # A server that says nothing in handshakes of TLS.
    with socket.create_server(("127.0.0.1", 0)) as mute:
        blocks = service.registry
        silent = {"address": "127.0.0.1", "port": mute.getsockname()[1], "scheme": "h2"}
        blocks["registry"]["static"]["services"][0]["instances"].append(silent)
        gateway = await start(**blocks, backend={"dialTimeout": 0.1})
        # Whichever is the first to be asked.
        assert [(await gateway.ask("POST", "/", body=b"data")).status for _ in range(2)] == [200, 200]
    assert len(service.requests) == 2


async def test_nobody_waits_for_a_connection_longer_than_for_an_answer(start: Any, service: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        blocks = service.registry
        silent = {"address": "127.0.0.1", "port": mute.getsockname()[1], "scheme": "h2"}
        blocks["registry"]["static"]["services"][0]["instances"] = [silent]
        blocks["router"]["rules"][0]["timeout"] = 0.1
        gateway = await start(**blocks, backend={"dialTimeout": 60})
        assert (await gateway.ask("GET", "/")).status == 504


async def test_who_waits_too_long_for_a_stream_asks_another_instance(start: Any, service_factory: Any) -> None:
    one, two = await service_factory(), await service_factory()
    one.answer = two.answer = lambda asked: None
    blocks = one.registry
    blocks["registry"]["static"]["services"][0]["instances"].append(two.instance)
    limits = {"maxConnsPerHost": 1, "maxConcurrentStreams": 1, "dialTimeout": 0.1}
    gateway = await start(**blocks, backend=limits)
    waiting = [asyncio.create_task(gateway.ask("POST", "/", body=b"data")) for _ in range(2)]
    await gateway.eventually(lambda: len(one.requests) == len(two.requests) == 1)
    # Both are full; the first of them answers in time for who waited for the other in vain.
    asking = asyncio.create_task(gateway.ask("POST", "/", body=b"data"))
    await asyncio.sleep(0.15)
    for each in (one, two):
        each.answer = lambda asked: asked.reply()
        each.requests[0].reply()
    assert [(await task).status for task in (*waiting, asking)] == [200] * 3


async def test_a_silent_service_is_asked_for_a_sign_of_life(start: Any, service: Any, let_pass: Any) -> None:
    service.answer = lambda asked: None
    blocks = service.registry
    blocks["router"]["rules"][0]["timeout"] = 0
    gateway = await start(**blocks, backend={"keepAliveTimeout": "10s", "pingTimeout": "5s"})
    task = asyncio.create_task(gateway.ask("POST", "/"))
    await gateway.eventually(lambda: service.requests)
    service.connections[0].instead = lambda data: None
    let_pass(gateway, 11)
    let_pass(gateway, 17)
    assert (await task).status == 502


async def test_a_service_that_answers_pings_is_left_in_peace(start: Any, service: Any, let_pass: Any) -> None:
    """As servers of gRPC want it, while streams rest."""
    service.answer = lambda asked: None
    blocks = service.registry
    blocks["router"]["rules"][0]["timeout"] = 0
    gateway = await start(**blocks, backend={"keepAliveTimeout": "10s", "pingTimeout": "5s"})
    task = asyncio.create_task(gateway.ask("POST", "/"))
    await gateway.eventually(lambda: service.requests)
    (connection,) = service.connections
    for pause_s, pings in ((11, 1), (60, 1), (280, 1), (330, 2)):
        let_pass(gateway, pause_s)
        await gateway.eventually(lambda pings=pings: connection.pings == pings)
        await asyncio.sleep(0.05)  # for one that should not come
        assert connection.pings == pings
    task.cancel()


async def test_an_idle_connection_is_closed(start: Any, service: Any, let_pass: Any) -> None:
    gateway = await start(**service.registry, backend={"idleConnTimeout": "30s"})
    assert (await gateway.ask("GET", "/")).status == 200
    let_pass(gateway, 31)
    await gateway.eventually(lambda: not service.connections[0].is_open)
    assert service.connections[0].goaway == 0
    assert (await gateway.ask("GET", "/")).status == 200


async def test_upgrades_are_not_sent_over_http_2(start: Any, service: Any) -> None:
    blocks = service.registry
    blocks["router"]["rules"][0]["protocol"] = "websocket"
    gateway = await start(**blocks)
    answer = await gateway.ask(
        "GET",
        "/",
        headers={
            "connection": "upgrade",
            "upgrade": "websocket",
            "sec-websocket-version": "13",
            "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        },
    )
    assert answer.status == 502
    assert not service.requests
