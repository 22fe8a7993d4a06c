"""Services that echo: WebSocket and gRPC."""

import asyncio
import base64
import os

import pytest

from gateway.testing import Client, Reply, WebSocketEcho, websocket_echo

pytestmark = pytest.mark.anyio

MASK = b"\x01\x02\x03\x04"
HANDSHAKE = {
    "connection": "upgrade",
    "upgrade": "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    "sec-websocket-protocol": "chat, superchat",
}


def frame(opcode, payload):
    size = len(payload)
    if size < 126:
        length = bytes((0x80 | size,))
    elif size < 65536:
        length = b"\xfe" + size.to_bytes(2)
    else:
        length = b"\xff" + size.to_bytes(8)
    masked = bytes(byte ^ MASK[index % 4] for index, byte in enumerate(payload))
    return bytes((0x80 | opcode,)) + length + MASK + masked


async def test_a_handshake_is_answered_as_rfc_6455_says(upstream):
    """Section 1.3 has the example."""
    upstream.answer = websocket_echo
    async with Client(upstream.host, upstream.port) as client:
        answer = await client.begin("GET", "/chat", headers=HANDSHAKE)
        assert answer.status == 101
        assert answer["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert answer["sec-websocket-protocol"] == "chat"
    async with Client(upstream.host, upstream.port) as client:
        assert (await client.ask("GET", "/")).status == 400


async def test_messages_come_back_through_a_gateway(gateway_factory, upstream):
    websockets = pytest.importorskip("websockets.asyncio.client")
    upstream.answer = websocket_echo
    gateway = await gateway_factory(upstream=upstream, rule={"allowUpgrade": ["websocket"]})
    url = gateway.url.replace("http", "ws")
    async with asyncio.timeout(30), websockets.connect(f"{url}/chat", compression=None) as socket:
        for message in ("tea", b"\x00" * 200, "x" * 70_000):
            await socket.send(message)
            assert await socket.recv() == message
        await (await socket.ping())


def test_frames_come_back_whatever_the_pieces():
    messages = [os.urandom(size) for size in (0, 5, 126, 70_000)]
    sent = b"".join(frame(2, message) for message in messages) + frame(10, b"pong") + frame(9, b"ping") + frame(8, b"")
    for size in (1, 3, 1000, len(sent)):
        echo = WebSocketEcho()
        got = b"".join(echo.received(sent[start : start + size]) for start in range(0, len(sent), size))
        assert got.startswith(b"\x82\x00\x82\x05" + messages[1] + b"\x82\x7e\x00\x7e" + messages[2])
        assert got.endswith(messages[3] + b"\x8a\x04ping" + b"\x88\x00")
        assert echo.is_over
        assert echo.received(b"more") == b""


async def test_any_protocol_can_be_spoken_after_a_change(upstream):
    class Shout:
        is_over = False

        def received(self, data):
            self.is_over = data.endswith(b"!")
            return data.upper()

    upstream.answer = lambda request: Reply(101, headers={"upgrade": "shout", "connection": "upgrade"}, speaker=Shout())
    reader, writer = await asyncio.open_connection(upstream.host, upstream.port)
    writer.write(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: shout\r\n\r\nearly ")
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101")
    writer.write(b"tea!")
    assert await reader.read() == b"EARLY TEA!"
    writer.close()


async def test_a_delay_ends_when_the_client_is_gone(upstream):
    upstream.answer = lambda request: Reply(delay_s=60)
    client = Client(upstream.host, upstream.port)
    await client.__aenter__()
    asking = asyncio.ensure_future(client.ask("GET", "/"))
    async with asyncio.timeout(30):
        while not upstream.requests:  # noqa: ASYNC110 - what it waits for has no event
            await asyncio.sleep(0.005)
        asking.cancel()
        await client.close()
        while upstream.connections:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.005)


def test_grpc_messages_come_back(grpc_upstream):
    grpc = pytest.importorskip("grpc")
    message = base64.b64encode(os.urandom(99))
    with grpc.insecure_channel(f"{grpc_upstream.host}:{grpc_upstream.port}") as channel:
        unary = channel.unary_unary("/tea.Kettle/Boil")
        assert unary(message, metadata=[("x-tea", "green")], timeout=30) == message
        stream = channel.stream_stream("/tea.Kettle/Pour")
        assert list(stream(iter([b"a", b"b", message]), timeout=30)) == [b"a", b"b", message]
    assert [method for method, _ in grpc_upstream.calls] == ["/tea.Kettle/Boil", "/tea.Kettle/Pour"]
    assert grpc_upstream.calls[0][1]["x-tea"] == "green"
    assert grpc_upstream.instance["port"] == grpc_upstream.port
