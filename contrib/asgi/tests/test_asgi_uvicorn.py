"""The application behind uvicorn, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
import uvicorn

from gateway.embedding import Gateway
from gateway.testing import Client, Reply
from gateway_asgi import asgi_app

pytestmark = pytest.mark.anyio


@pytest.fixture
async def client(configured, upstream, monkeypatch):
    """Give a client of uvicorn, which serves the gateway."""
    app = asgi_app(Gateway.from_mapping(configured(upstream)))
    settings = uvicorn.Config(app, host="127.0.0.1", port=0, http="h11", ws="none", lifespan="on", log_level="error")
    settings.proxy_headers = False  # the gateway decides whom it believes
    server = uvicorn.Server(settings)
    monkeypatch.setattr(server, "capture_signals", contextlib.nullcontext)  # signals belong to the tests
    serving = asyncio.ensure_future(server.serve())
    while not server.started:
        assert not serving.done()
        await asyncio.sleep(0.01)
    address = server.servers[0].sockets[0].getsockname()
    async with Client(*address) as connected:
        yield connected
    server.should_exit = True
    await serving


async def test_requests_and_answers_over_one_connection(client, upstream):
    upstream.answer = lambda request: Reply(headers={"x-a": "1"}, body=request.body or b"ok")
    for _ in range(3):
        answer = await client.ask("GET", "/a?b=1", headers={"x-forwarded-for": "203.0.113.9"})
        assert (answer.status, answer.text, answer["x-a"]) == (200, "ok", "1")
        assert len(answer.all("date")) == 1
    assert upstream.requests[0]["x-forwarded-for"] == "127.0.0.1"
    assert (await client.ask("PUT", "/", body=b"x" * 500_000)).body == b"x" * 500_000
    assert (await client.ask("HEAD", "/")).status == 200


async def test_a_stream_arrives_piece_by_piece(client, upstream):
    go_on = asyncio.Event()

    async def pieces():
        yield b"first"
        await go_on.wait()
        yield b"second"

    upstream.answer = lambda request: Reply(body=pieces())
    answer = await client.begin("GET", "/")
    reading = answer.pieces()
    assert await anext(reading) == b"first"
    go_on.set()
    assert b"".join([piece async for piece in reading]) == b"second"


async def test_a_client_that_leaves_lets_the_service_go(client, upstream):
    asked = asyncio.Event()
    cancelled = asyncio.Event()

    async def pieces():
        yield b"first"
        asked.set()
        try:
            while True:
                await asyncio.sleep(0.01)
                yield b"more"
        finally:
            cancelled.set()

    upstream.answer = lambda request: Reply(body=pieces())
    await client.begin("GET", "/")
    await asked.wait()
    await client.close()
    async with asyncio.timeout(5):
        await cancelled.wait()
