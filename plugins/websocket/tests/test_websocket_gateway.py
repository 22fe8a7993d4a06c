"""WebSockets through a whole gateway, as users have them."""

from __future__ import annotations

import asyncio
import contextlib
import ssl

import pytest
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.typing import Subprotocol

from gateway.errors import ConfigurationError
from gateway_websocket.config import WebSocketConfig

pytestmark = pytest.mark.anyio


def url(gateway, path="/"):
    return gateway.url.replace("http://", "ws://").rstrip("/") + path


async def test_messages_go_through_both_ways(websocket_gateway, echo_service):
    gateway = await websocket_gateway(echo_service)
    async with open_websocket(
        url(gateway, "/room?id=1"), subprotocols=[Subprotocol("other"), Subprotocol("chat")]
    ) as client:
        for message in ("hello", b"\x00\xff", "x" * 500_000, ""):
            await client.send(message)
            assert await client.recv() == message
        assert client.subprotocol == "chat"
        (connection,) = echo_service.connections
        assert connection.request.path == "/room?id=1"
        assert connection.request.headers["X-Forwarded-For"] == "127.0.0.1"


@pytest.mark.parametrize(
    ("offered", "reaches"),
    [
        ("chat", b"chat"),
        ("evil, chat,other", b"chat, other"),
        ("evil", None),
        ("Chat", None),  # RFC 6455 section 1.9: names are case-sensitive
        ("", None),
    ],
)
async def test_subprotocols_may_be_limited(websocket_gateway, raw_service, connect, offered, reaches):
    gateway = await websocket_gateway(raw_service, {"subprotocols": ["chat", "other"]})
    await connect(gateway, headers={"Sec-WebSocket-Protocol": offered})
    fields = dict(line.split(b": ", 1) for line in (await raw_service.next()).head.split(b"\r\n")[1:-2])
    assert fields.get(b"sec-websocket-protocol") == reaches


async def test_a_service_cannot_take_a_subprotocol_that_is_not_allowed(websocket_gateway, raw_service, connect):
    raw_service.fields.append("Sec-WebSocket-Protocol: evil")
    gateway = await websocket_gateway(raw_service, {"subprotocols": ["chat"]})
    refused = await connect(gateway, headers={"Sec-WebSocket-Protocol": "evil, chat"})
    assert refused.head.startswith(b"HTTP/1.1 502 ")


async def test_compression_is_between_client_and_service(websocket_gateway, echo_service):
    gateway = await websocket_gateway(echo_service, {"checkText": True})
    async with open_websocket(url(gateway), compression="deflate") as client:
        assert client.response is not None
        assert "permessage-deflate" in client.response.headers["Sec-WebSocket-Extensions"]
        await client.send("ab" * 50_000)
        assert await client.recv() == "ab" * 50_000


async def test_compression_can_be_forbidden(websocket_gateway, echo_service):
    gateway = await websocket_gateway(echo_service, {"enableCompression": False})
    async with open_websocket(url(gateway), compression="deflate") as client:
        assert client.response is not None
        assert "Sec-WebSocket-Extensions" not in client.response.headers
        await client.send("hello")
        assert await client.recv() == "hello"


@pytest.mark.parametrize("closer", ["client", "service"])
async def test_close_codes_are_relayed(websocket_gateway, raw_service, connect, wire, closer):
    gateway = await websocket_gateway(raw_service)
    client = await connect(gateway)
    service = await raw_service.next()
    one, other = (client, service) if closer == "client" else (service, client)
    mask = {} if closer == "client" else {"mask": None}
    one.send(wire.close(4321, "because", **mask))
    assert await other.close_code() == (4321, "because")
    other.send(wire.close(4321, "because", **({"mask": None} if closer == "client" else {})))
    assert await one.close_code() == (4321, "because")
    service.writer.close()
    assert await client.is_closed()
    client.writer.close()
    await gateway.eventually(lambda: not gateway.gateway.plane.in_flight())
    metrics = {family.name: family.series for family in gateway.gateway.plane._metrics.snapshot()}
    assert metrics["gateway_websocket_closed_total"] == {("service", "4xxx", closer): 1.0}
    assert metrics["gateway_websocket_connections_active"] == {("service",): 0.0}


async def test_pings_and_pongs_of_the_ends_are_theirs(websocket_gateway, raw_service, connect, wire):
    gateway = await websocket_gateway(raw_service)
    client = await connect(gateway)
    service = await raw_service.next()
    client.send(wire.frame(9, b"are you there"))
    assert await service.frame() == (9, b"are you there")
    service.send(wire.frame(10, b"are you there", mask=None))
    assert await client.frame() == (10, b"are you there")


async def test_frames_are_not_changed(websocket_gateway, raw_service, connect, wire):
    gateway = await websocket_gateway(raw_service)
    client = await connect(gateway)
    service = await raw_service.next()
    sent = b"".join(wire.frame(2, b"x" * size) for size in (5, 200, 70_000))
    client.send(sent)
    assert await service.reader.readexactly(len(sent)) == sent


async def test_what_comes_early_is_kept_in_order(websocket_gateway, raw_service, connect, wire):
    gateway = await websocket_gateway(raw_service)
    client = await connect(gateway, behind=wire.frame(1, b"early"))
    service = await raw_service.next()
    client.send(wire.frame(1, b"later"))
    assert [await service.frame(), await service.frame()] == [(1, b"early"), (1, b"later")]


async def test_authentication_comes_before_the_upgrade(
    websocket_gateway, raw_service, connect, tmp_path, gateway_factory
):
    plugin = tmp_path / "tokens.py"
    plugin.write_text(
        "from gateway import AuthenticatorRegistration, Config, Principal, Unauthorized, hookimpl\n"
        "class Tokens:\n"
        "    async def authenticate(self, request):\n"
        "        token = request.headers.get('authorization')\n"
        "        if token is None: return None\n"
        "        if not token.startswith('until '): raise Unauthorized('no such token')\n"
        "        return Principal(subject='ann', expires_at_utc=float(token[6:]))\n"
        "def build(config, context): return Tokens()\n"
        "@hookimpl\n"
        "def gateway_register_authenticators():\n"
        "    return [AuthenticatorRegistration(name='tokens', build=build, challenge='Token', default_on=True)]\n"
    )
    gateway = await gateway_factory(
        {
            "registry": {"static": {"services": [{"name": "service", "instances": [raw_service.instance]}]}},
            "router": {
                "rules": [{"path": "/*", "serviceName": "service", "protocol": "websocket", "authRequired": True}]
            },
        },
        plugin_files=[plugin],
    )
    refused = await connect(gateway)
    assert refused.head.startswith(b"HTTP/1.1 401 ")
    refused = await connect(gateway, headers={"Authorization": "wrong"})
    assert refused.head.startswith(b"HTTP/1.1 401 ")
    assert not raw_service.all  # nothing of it reached the service
    accepted = await connect(gateway, headers={"Authorization": "until 9999999999"})
    assert accepted.head.startswith(b"HTTP/1.1 101 ")
    service = await raw_service.next()
    # Credentials that end close what they opened.
    expired = await connect(gateway, headers={"Authorization": "until 1"})
    assert await expired.close_code() == (1008, "authentication expired")
    second = await raw_service.next()
    assert await second.close_code() == (1001, "authentication expired")
    accepted.send(b"\x81\x81\0\0\0\0x")
    assert await service.frame() == (1, b"x")


async def test_a_socket_lives_until_its_credentials_end(
    websocket_gateway, raw_service, connect, tmp_path, gateway_factory, clock
):
    plugin = tmp_path / "hour.py"
    plugin.write_text(
        "import time\n"
        "from gateway import AuthenticatorRegistration, Principal, hookimpl\n"
        "class Hour:\n"
        "    async def authenticate(self, request): return Principal(subject='a', expires_at_utc=time.time() + 3600)\n"
        "def build(config, context): return Hour()\n"
        "@hookimpl\n"
        "def gateway_register_authenticators():\n"
        "    return [AuthenticatorRegistration(name='hour', build=build, challenge='Hour', default_on=True)]\n"
    )
    gateway = await gateway_factory(
        {
            "frontend": {"websocket": {"pongWait": 0, "pingPeriod": 0}},
            "registry": {"static": {"services": [{"name": "service", "instances": [raw_service.instance]}]}},
            "router": {
                "rules": [{"path": "/*", "serviceName": "service", "protocol": "websocket", "authRequired": True}]
            },
        },
        plugin_files=[plugin],
    )
    client = await connect(gateway)
    service = await raw_service.next()
    clock.let_pass(gateway, 3590)
    service.send(b"\x81\x02hi")
    assert await client.frame() == (1, b"hi")
    clock.let_pass(gateway, 15)
    assert await client.close_code() == (1008, "authentication expired")


# What a handshake must be like.


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-WebSocket-Version": "8"}, 426),
        ({"Sec-WebSocket-Version": ""}, 426),
        ({"Connection": "keep-alive"}, 426),
        ({"Upgrade": "h2c"}, 426),
        ({"Sec-WebSocket-Key": "short"}, 400),
        ({"Sec-WebSocket-Key": ""}, 400),
        ({"Content-Length": "0", "Upgrade": ""}, 426),
    ],
)
async def test_what_is_no_handshake_reaches_no_service(websocket_gateway, raw_service, connect, headers, status):
    gateway = await websocket_gateway(raw_service)
    refused = await connect(gateway, headers=headers)
    assert refused.head.startswith(b"HTTP/1.1 %d " % status)
    assert (b"\r\nsec-websocket-version: 13\r\n" in refused.head) == (status == 426)
    assert not raw_service.all


async def test_a_plain_route_that_allows_upgrades_serves_requests_too(gateway_factory, upstream):
    rule = {"allowUpgrade": True, "websocket": {"maxConnections": 1}}
    gateway = await gateway_factory(upstream=upstream, rule=rule)
    assert (await gateway.ask("GET", "/")).status == 200
    gateway = await gateway_factory(upstream=upstream, rule={"protocol": "websocket"})
    assert (await gateway.ask("GET", "/")).status == 426


@pytest.mark.parametrize(("websocket", "status"), [({}, 101), ({"maxConnections": 1}, 400)])
async def test_only_where_it_is_mentioned_it_looks_into_plain_tunnels(
    websocket_gateway, raw_service, connect, websocket, status
):
    rule = {"protocol": "http", "allowUpgrade": True, "websocket": websocket}
    gateway = await websocket_gateway(raw_service, rule=rule)
    answer = await connect(gateway, headers={"Sec-WebSocket-Key": "short"})
    assert answer.head.startswith(b"HTTP/1.1 %d " % status)


async def test_a_service_that_refuses_is_heard(websocket_gateway, raw_service, connect):
    raw_service.answer = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 4\r\n\r\nnope"
    gateway = await websocket_gateway(raw_service)
    refused = await connect(gateway)
    assert refused.head.startswith(b"HTTP/1.1 403 ")
    assert await refused.reader.readexactly(4) == b"nope"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda service: setattr(service, "accept", b"AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        lambda service: service.fields.append("Sec-WebSocket-Protocol: never-offered"),
        lambda service: service.fields.append("Sec-WebSocket-Extensions: permessage-deflate"),
    ],
    ids=["accept", "subprotocol", "extension"],
)
async def test_a_service_that_answers_another_handshake_is_not_believed(websocket_gateway, raw_service, connect, spoil):
    spoil(raw_service)
    gateway = await websocket_gateway(raw_service)
    refused = await connect(gateway)
    assert refused.head.startswith(b"HTTP/1.1 502 ")
    assert await (await raw_service.next()).is_closed()


async def test_other_sites_pages_are_refused(websocket_gateway, raw_service, connect):
    gateway = await websocket_gateway(raw_service, {"allowedOrigins": ["https://app.example.com"]})
    refused = await connect(gateway, headers={"Origin": "https://evil.example"})
    assert refused.head.startswith(b"HTTP/1.1 403 ")
    assert not raw_service.all
    for origin in ("http://gw.test", "https://app.example.com"):
        accepted = await connect(gateway, headers={"Origin": origin})
        assert accepted.head.startswith(b"HTTP/1.1 101 ")


# How many.


async def test_no_more_than_the_cap_of_the_route(websocket_gateway, raw_service, connect):
    gateway = await websocket_gateway(raw_service, {"maxConnections": 2})
    first = await connect(gateway)
    await connect(gateway)
    refused = await connect(gateway)
    assert refused.head.startswith(b"HTTP/1.1 503 ")
    await first.close()
    await (await raw_service.next()).close()
    await gateway.eventually(lambda: gateway.gateway.plane.in_flight() == 1)
    assert (await connect(gateway)).head.startswith(b"HTTP/1.1 101 ")


async def test_no_more_than_the_cap_of_a_client(websocket_gateway, raw_service, connect):
    gateway = await websocket_gateway(raw_service, rule={"websocket": {"maxConnectionsPerClient": 1}})
    await connect(gateway)
    assert (await connect(gateway)).head.startswith(b"HTTP/1.1 429 ")


async def test_failed_handshakes_take_no_place(websocket_gateway, raw_service, connect):
    raw_service.answer = b"HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    gateway = await websocket_gateway(raw_service, {"maxConnections": 1})
    for _ in range(3):
        assert (await connect(gateway)).head.startswith(b"HTTP/1.1 403 ")


# Stopping.


@pytest.mark.parametrize("code", [1001, 1012])
async def test_a_gateway_that_stops_says_so(websocket_gateway, raw_service, connect, wire, code):
    gateway = await websocket_gateway(raw_service, {"drainCode": code}, shutdownTimeout=5)
    client = await connect(gateway)
    service = await raw_service.next()
    stopping = asyncio.ensure_future(gateway.gateway.plane.stop(5.0))
    assert (await client.close_code())[0] == code
    assert (await service.close_code())[0] == 1001
    client.send(wire.close(code))
    service.send(wire.close(1001, mask=None))
    assert await client.is_closed()
    client.writer.close()
    await asyncio.wait_for(stopping, 3)  # and not only after the grace period


async def test_a_reload_leaves_sockets_alone(websocket_gateway, raw_service, connect, wire):
    gateway = await websocket_gateway(raw_service, {"maxMessageSize": 1000})
    client = await connect(gateway)
    service = await raw_service.next()
    await gateway.gateway.plane.prepare(gateway.gateway.configuration)
    await gateway.gateway.plane.commit()
    client.send(wire.frame(1, b"still here"))
    assert await service.frame() == (1, b"still here")


# The port for WebSockets.


async def test_a_port_of_its_own_serves_nothing_else(websocket_gateway, raw_service, connect, wire):
    gateway = await websocket_gateway(raw_service, {"host": "127.0.0.1", "port": 0})
    assert len(gateway.gateway.addresses) == 2
    address = gateway.gateway.addresses[1]
    client = await connect(address)
    service = await raw_service.next()
    client.send(wire.frame(1, b"hello"))
    assert await service.frame() == (1, b"hello")
    answer = await gateway.ask("GET", "/_gateway/health", listener=1)
    assert (answer.status, answer["upgrade"]) == (400, "websocket")
    assert (await gateway.ask("GET", "/_gateway/health")).status == 200


async def test_without_a_port_there_is_none(websocket_gateway, raw_service):
    gateway = await websocket_gateway(raw_service)
    assert len(gateway.gateway.addresses) == 1


@pytest.fixture
def certificate(tmp_path):
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    (tmp_path / "cert.pem").write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def test_the_port_may_speak_tls(websocket_gateway, echo_service, certificate):
    tls = {"certFile": "cert.pem", "keyFile": "key.pem", "minVersion": "1.3"}
    gateway = await websocket_gateway(echo_service, {"host": "127.0.0.1", "port": 0, "tls": tls})
    port = gateway.gateway.addresses[1][1]
    async with open_websocket(f"wss://localhost:{port}/", ssl=certificate) as client:
        await client.send("secret")
        assert await client.recv() == "secret"


async def test_the_port_may_share_the_tls_of_http(gateway_factory, raw_service, certificate, tmp_path):
    """With all there is: further names, certificates of clients."""
    files = {"certFile": str(tmp_path / "cert.pem"), "keyFile": str(tmp_path / "key.pem")}
    settings = {
        "frontend": {
            "http": {"tls": {**files, "minVersion": "1.3"}},
            "websocket": {"host": "127.0.0.1", "port": 0, "tls": {}},
        }
    }
    gateway = await gateway_factory(settings)
    port = gateway.gateway.addresses[1][1]
    for old in (False, True):
        if old:
            certificate.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises((ssl.SSLError, ConnectionError)) if old else contextlib.nullcontext():
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=certificate, server_hostname="localhost")
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def test_without_tls_there_is_none_to_share(gateway_factory):
    settings = {"frontend": {"websocket": {"host": "127.0.0.1", "port": 0, "tls": {}}}}
    with pytest.raises(ConfigurationError, match=r"frontend\.http has no TLS to share"):
        await gateway_factory(settings)


def test_a_certificate_of_its_own_is_whole():
    for tls, why in (
        ({"certFile": "cert.pem"}, "belong together"),
        ({"minVersion": "1.3"}, "set it in frontend.http.tls"),
        ({"clientAuth": "require", "clientCAFile": "ca.pem"}, "set it in frontend.http.tls"),
    ):
        with pytest.raises(ValueError, match=why):
            WebSocketConfig.model_validate({"port": 0, "tls": tls})


async def test_a_service_that_is_lost_leaves_no_close_frame(websocket_gateway, raw_service):
    gateway = await websocket_gateway(raw_service)
    async with open_websocket(url(gateway)) as client:
        (await raw_service.next()).writer.transport.abort()
        with pytest.raises(ConnectionClosed) as closed:
            await client.recv()
        assert closed.value.rcvd is None


# Compression and size: what client and service agree on is theirs.


@pytest.mark.parametrize(
    "offer",
    [
        {},
        {"server_no_context_takeover": True},
        {"client_no_context_takeover": True},
        {"server_max_window_bits": 9, "client_max_window_bits": 9},
        {"server_max_window_bits": 15, "client_max_window_bits": 15},
        {"server_no_context_takeover": True, "client_no_context_takeover": True, "server_max_window_bits": 9},
    ],
    ids=str,
)
async def test_every_way_to_compress_goes_through(websocket_gateway, echo_service, offer):
    gateway = await websocket_gateway(echo_service, {"checkText": True})
    extensions = [ClientPerMessageDeflateFactory(**offer)]
    async with open_websocket(url(gateway), compression=None, extensions=extensions, max_size=None) as client:
        assert client.response is not None
        answered = client.response.headers["Sec-WebSocket-Extensions"]
        assert answered.startswith("permessage-deflate")
        for size in (16, 64, 256, 1024, 4096, 8192, 16384, 32768, 65536, 131_072):
            for message in ("{'a': 1}, " * (size // 10), bytes(range(256)) * (size // 256)):
                await client.send(message)
                assert await client.recv() == message
        await client.send(iter(["many ", "fragments ", "x" * 5000]))
        assert await client.recv() == "many fragments " + "x" * 5000


@pytest.mark.parametrize("fragment_bytes", [None, 64, 8192, 1 << 20])
async def test_large_messages_go_through_in_any_fragments(websocket_gateway, echo_service, fragment_bytes):
    gateway = await websocket_gateway(echo_service, {"maxMessageSize": 0, "checkText": True})
    size = 1 << 22 if fragment_bytes != 64 else 1 << 15  # the library takes 1,024 fragments at most
    async with open_websocket(url(gateway), compression=None, max_size=None) as client:
        for message in ("x" * size, b"\xff" * size):
            pieces = (message[at : at + fragment_bytes] for at in range(0, size, fragment_bytes or size))
            await client.send(message if fragment_bytes is None else pieces)
            assert await client.recv() == message
