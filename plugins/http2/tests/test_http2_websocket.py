"""WebSockets over HTTP/2 (RFC 8441): extended CONNECT from the client, an Upgrade to the service."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

pytestmark = pytest.mark.anyio

CONNECT = [
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":scheme", "http"),
    (":path", "/chat"),
    (":authority", "gw.test"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-protocol", "chat"),
]
MASK = b"\x11\x22\x33\x44"


def frame(opcode: int, payload: bytes) -> bytes:
    masked = bytes(byte ^ MASK[index % 4] for index, byte in enumerate(payload))
    size = bytes((0x80 | len(payload),)) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2, "big")
    return bytes((0x80 | opcode,)) + size + MASK + masked


@pytest.fixture
async def echo() -> Any:
    async def answer(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    def choose(connection: ServerConnection, offered: Any) -> Any:
        return "chat" if "chat" in offered else None

    quiet = logging.getLogger("tests.http2.websocket")
    quiet.disabled = True
    async with serve(answer, "127.0.0.1", 0, select_subprotocol=choose, compression=None, logger=quiet) as server:
        yield {"address": "127.0.0.1", "port": next(iter(server.sockets)).getsockname()[1]}


@pytest.fixture
async def gateway(start: Any, echo: Any) -> Any:
    services = [{"name": "echo", "instances": [echo]}]
    rules = [
        {"path": "/chat", "serviceName": "echo", "protocol": "websocket"},
        {"path": "/plain", "serviceName": "echo"},
    ]
    return await start(registry={"static": {"services": services}}, router={"rules": rules})


async def test_messages_go_both_ways(gateway: Any, connect: Any) -> None:
    peer = await connect(gateway)
    await peer.until(lambda: peer.settings)
    assert peer.settings[8] == 1
    peer.headers(1, CONNECT, end=False)
    head = await peer.head(1)
    assert (head.status, head["sec-websocket-protocol"]) == (200, "chat")
    assert not {"upgrade", "connection", "sec-websocket-accept", "content-length"} & {name for name, _ in head.fields}
    for text in (b"hello", b"x" * 300, b"bye"):
        before = len(head.body)
        peer.data(1, frame(1, text))
        await peer.until(lambda: head.body[before:].endswith(text))  # noqa: B023 - called at once
    # Other requests share the connection meanwhile.
    assert (await peer.ask([*_asking("/nothing")], stream_id=3)).status == 404
    peer.data(1, frame(8, b"\x03\xe8"))
    got = await peer.got(1)
    assert got.body.endswith(b"\x88\x02\x03\xe8")
    peer.data(1, b"", end=True)
    await gateway.eventually(lambda: not gateway.gateway.plane.in_flight())


async def test_a_client_that_gives_up_closes_the_socket(gateway: Any, connect: Any) -> None:
    peer = await connect(gateway)
    peer.headers(1, CONNECT, end=False)
    await peer.head(1)
    peer.send(b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08")
    await gateway.eventually(lambda: not gateway.gateway.plane.in_flight())
    assert (await peer.ask([*_asking("/nothing")], stream_id=3)).status == 404


async def test_a_connection_that_is_lost_closes_the_socket(gateway: Any, connect: Any) -> None:
    peer = await connect(gateway)
    peer.headers(1, CONNECT, end=False)
    await peer.head(1)
    await peer.close()
    await gateway.eventually(lambda: not gateway.gateway.plane.in_flight())


async def test_an_end_that_stays_open_is_cut_after_a_while(gateway: Any, connect: Any, let_pass: Any) -> None:
    peer = await connect(gateway)
    peer.headers(1, CONNECT, end=False)
    await peer.head(1)
    peer.data(1, frame(8, b"\x03\xe8"))
    await peer.got(1)
    let_pass(gateway, 76)
    await gateway.eventually(lambda: not gateway.gateway.plane.in_flight())


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ((":path", "/elsewhere"), 404),
        (("sec-websocket-version", "12"), 426),
    ],
)
async def test_refusals(gateway: Any, connect: Any, change: tuple[str, str], status: int) -> None:
    peer = await connect(gateway)
    peer.headers(1, [change if name == change[0] else (name, value) for name, value in CONNECT], end=False)
    assert (await peer.head(1)).status == status


async def test_a_route_that_does_not_allow_it(gateway: Any, connect: Any) -> None:
    peer = await connect(gateway)
    peer.headers(1, [(":path", "/plain") if name == ":path" else (name, value) for name, value in CONNECT], end=False)
    assert (await peer.head(1)).status != 200


async def test_a_client_that_takes_nothing_slows_the_service_down(gateway: Any, connect: Any) -> None:
    peer = await connect(gateway, {4: 1000})
    peer.gives_room = False
    peer.headers(1, CONNECT, end=False)
    head = await peer.head(1)
    for _ in range(10):
        peer.data(1, frame(2, b"y" * 300))
    await peer.until(lambda: len(head.body) == 1000)
    peer.give(1, 10_000)
    await peer.until(lambda: len(head.body) == 10 * 304)


def _asking(path: str) -> list[tuple[str, str]]:
    return [(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "gw.test")]
