"""What a stranger may try to make the gateway work, wait or remember more than it should."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hyperframe import frame as frames

from gateway.testing import Reply

pytestmark = pytest.mark.anyio

CALM = 11
GET = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "gw.test")]
POST = [(":method", "POST"), *GET[1:]]


async def test_rapid_reset(start: Any, connect: Any, service: Any) -> None:
    """CVE-2023-44487: requests that are taken back at once cost the client nothing."""
    service.answer = lambda asked: None
    gateway = await start(**service.registry, http2={"maxResets": 20})
    peer = await connect(gateway)
    for number in range(1, 200, 2):
        peer.headers(number, GET)
        peer.frame(frames.RstStreamFrame(number, error_code=8))
    assert await peer.goaway() == CALM
    await gateway.eventually(lambda: not gateway.gateway.plane.in_flight())
    assert len(service.requests) <= 21


async def test_a_client_may_give_up_now_and_then(start: Any, connect: Any, service: Any) -> None:
    service.answer = lambda asked: None
    peer = await connect(await start(**service.registry, http2={"maxResets": 20}))
    for number in range(1, 40, 2):
        peer.headers(number, GET)
        peer.frame(frames.RstStreamFrame(number, error_code=8))
    await peer.pong()
    assert not peer.goaways


async def test_resets_that_are_provoked_count_too(start: Any, connect: Any, upstream: Any) -> None:
    """CVE-2025-8671, made you reset: the client has the server take the requests back."""
    peer = await connect(await start(upstream, http2={"maxControlFrames": 50}))
    for number in range(1, 400, 2):
        peer.headers(number, POST, end=False)
        peer.frame(frames.WindowUpdateFrame(number, window_increment=2**31 - 1))
    assert await peer.goaway() == CALM


async def test_continuation_flood(start: Any, connect: Any, upstream: Any) -> None:
    """CVE-2024-27316 and others: a header block without end."""
    peer = await connect(await start(upstream))
    peer.frame(frames.HeadersFrame(1, b"\x82"))
    for _ in range(100):
        peer.frame(frames.ContinuationFrame(1, b""))
    assert await peer.goaway() == CALM
    peer = await connect(await start(upstream))
    peer.frame(frames.HeadersFrame(1, b"\x82" * 16384))
    for _ in range(3):
        peer.frame(frames.ContinuationFrame(1, b"\x82" * 16384))
    assert await peer.goaway() == CALM


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(frames.PingFrame(0, bytes(8)), id="PING"),
        pytest.param(frames.SettingsFrame(0, settings={4: 65535}), id="SETTINGS"),
        pytest.param(frames.PriorityFrame(99), id="PRIORITY"),
        pytest.param(frames.WindowUpdateFrame(0, window_increment=1), id="WINDOW_UPDATE"),
        pytest.param(frames.ExtensionFrame(0x55, 0, body=b""), id="unknown"),
    ],
)
async def test_frames_that_carry_nothing(start: Any, connect: Any, upstream: Any, frame: frames.Frame) -> None:
    peer = await connect(await start(upstream, http2={"maxControlFrames": 100}))
    peer.send(frame.serialize() * 500)
    assert await peer.goaway() == CALM


async def test_empty_data(start: Any, connect: Any, service: Any) -> None:
    peer = await connect(await start(**service.registry, http2={"maxControlFrames": 100}))
    peer.headers(1, POST, end=False)
    peer.send(frames.DataFrame(1, b"").serialize() * 500)
    assert await peer.goaway() == CALM


async def test_acknowledgements_do_not_heap_up_for_a_client_that_never_reads(
    start: Any, connect: Any, upstream: Any
) -> None:
    gateway = await start(upstream)
    peer = await connect(gateway)
    await peer.pong()
    peer._task.cancel()
    for _ in range(20):
        peer.send(frames.PingFrame(0, bytes(8)).serialize() * 500)
        await asyncio.sleep(0)
    (adapter, *_) = gateway.gateway.plane._adapters()
    await gateway.eventually(lambda: not adapter.connections() or _unsent(adapter) < 65536)


def _unsent(adapter: Any) -> int:
    return max(int(each._transport.get_write_buffer_size()) for each in adapter._connections)


async def test_header_bomb(start: Any, connect: Any, upstream: Any) -> None:
    """A few bytes that refer to a large entry of the table again and again mean megabytes."""
    peer = await connect(await start(upstream))
    await peer.ask([*GET, ("x-bomb", "v" * 3500)])
    block = peer.encoder.encode(GET)
    index = peer.encoder.encode([("x-bomb", "v" * 3500)])
    assert len(index) == 1
    peer.frame(frames.HeadersFrame(3, block + index * 10_000, flags=["END_HEADERS", "END_STREAM"]))
    assert (await peer.got(3)).status == 431
    assert (await peer.ask(stream_id=5, fields=GET)).status == 200


async def test_more_streams_than_allowed(start: Any, connect: Any, service: Any) -> None:
    service.answer = lambda asked: None
    peer = await connect(await start(**service.registry, http2={"maxConcurrentStreams": 5}))
    for number in range(1, 15, 2):
        peer.headers(number, GET)
    assert [(await peer.got(number)).reset for number in (11, 13)] == [7, 7]
    while len(service.requests) < 5:
        await peer.pong()
    assert peer.settings[3] == 5
    for asked in list(service.requests):
        asked.reply()
    assert (await peer.got(9)).status == 200


async def test_a_window_that_stays_shut(start: Any, connect: Any, upstream: Any, let_pass: Any) -> None:
    upstream.answer = lambda request: Reply(body=b"x" * 100_000)
    gateway = await start(upstream, http={"writeTimeout": "30s"})
    peer = await connect(gateway, {4: 0})
    peer.headers(1, GET)
    await peer.head(1)
    let_pass(gateway, 29)
    assert peer.streams[1].reset is None
    let_pass(gateway, 31)
    assert (await peer.got(1)).reset == 8
    await gateway.eventually(lambda: not gateway.gateway.plane.in_flight())
    assert upstream.requests


async def test_a_window_that_opens_by_a_byte_at_a_time_is_progress(
    start: Any, connect: Any, upstream: Any, let_pass: Any
) -> None:
    upstream.answer = lambda request: Reply(body=b"x" * 10)
    gateway = await start(upstream, http={"writeTimeout": "30s"})
    peer = await connect(gateway, {4: 0})
    peer.headers(1, GET)
    await peer.head(1)
    for _ in range(10):
        peer.give(1, 1)
        await peer.pong()
        let_pass(gateway, 29)
    assert (await peer.got(1)).body == b"x" * 10


async def test_a_head_that_never_ends(start: Any, connect: Any, upstream: Any, let_pass: Any) -> None:
    gateway = await start(upstream, http={"readTimeout": "10s", "idleTimeout": "100s"})
    peer = await connect(gateway)
    await peer.ask(GET)
    peer.frame(frames.HeadersFrame(3, b"\x82"))
    await asyncio.sleep(0.05)  # nothing can tell: the gateway has nothing to say
    let_pass(gateway, 11)
    assert await peer.goaway() == CALM


async def test_a_body_that_never_comes(start: Any, connect: Any, service: Any, let_pass: Any) -> None:
    gateway = await start(**service.registry, http={"readTimeout": "10s"})
    peer = await connect(gateway)
    peer.headers(1, POST, end=False)
    while not service.connections:
        await peer.pong()
    await peer.pong()
    let_pass(gateway, 11)
    let_pass(gateway, 22)
    got = await peer.got(1)
    assert got.status == 408


async def test_settings_that_are_never_acknowledged(start: Any, connect: Any, upstream: Any, let_pass: Any) -> None:
    gateway = await start(upstream, http2={"settingsTimeout": "10s"})
    peer = await connect(gateway, begin=False)
    peer.answers = False
    peer.begin()
    await peer.until(lambda: peer.settings)
    let_pass(gateway, 11)
    assert await peer.goaway() == 4


@pytest.mark.parametrize("pieces", [[b"x" * 11], [b"x" * 6, b"x" * 6]])
async def test_a_body_that_is_too_large(start: Any, connect: Any, service: Any, pieces: list[bytes]) -> None:
    peer = await connect(await start(**service.registry, http={"maxRequestSize": 10}))
    peer.headers(1, POST, end=False)
    for piece in pieces:
        await peer.pong()
        peer.data(1, piece)
    got = await peer.got(1)
    assert got.status == 413
    assert not [asked for asked in service.requests if asked.is_ended]


async def test_connections_are_counted_with_those_of_http_1(start: Any, connect: Any, upstream: Any) -> None:
    gateway = await start(upstream, http={"maxConnections": 2})
    first, second = await connect(gateway), await connect(gateway)
    await first.ask(GET)
    await second.ask(GET)
    third = await connect(gateway)
    await third.until(lambda: third.is_closed)
    assert (await first.ask(GET, stream_id=3)).status == 200
    await second.close()
    (adapter, *_) = gateway.gateway.plane._adapters()
    await gateway.eventually(lambda: adapter.connections() < 2)
    assert (await (await connect(gateway)).ask(GET)).status == 200
