"""Circuits of two workers, which are processes of their own: seen and reset together."""

from __future__ import annotations

import asyncio
import json
import signal
import sys

import pytest

from gateway.testing import Client, Reply

pytestmark = pytest.mark.anyio


@pytest.fixture
async def gateway(upstream, tmp_path, unused_port):
    configuration = {
        "admin": {"token": "a-token-for-tests"},
        "shutdownTimeout": "1s",
        "frontend": {"http": {"host": "127.0.0.1", "port": unused_port}},
        "circuitBreaker": {"maxFailures": 1, "timeout": 60},
        "registry": {"static": {"services": [{"name": "service", "instances": [upstream.instance]}]}},
        "router": {"rules": [{"path": "/*", "serviceName": "service"}]},
    }
    file = tmp_path / "gateway.yaml"
    file.write_text(json.dumps({"gateway": configuration}))
    command = (sys.executable, "-m", "gateway.cli", "run", "-c", str(file), "--workers", "2")
    process = await asyncio.create_subprocess_exec(*command, stdout=-3, stderr=-3)
    try:
        yield unused_port
    finally:
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), 10)


@pytest.fixture
async def unused_port():
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    async with server:
        return server.sockets[0].getsockname()[1]


async def ask(port, method, path, body=b""):
    async with Client("127.0.0.1", port) as client:
        headers = {"authorization": "Bearer a-token-for-tests"}
        return await client.ask(method, path, headers=headers, body=body)


async def circuits(port):
    """Return what each worker says of the circuit."""
    answer = await ask(port, "GET", "/_gateway/breakers")
    if answer.status != 200:
        return "the gateway is starting", []
    (entry,) = answer.json()["breakers"]
    return entry["state"], sorted(worker["state"] for worker in entry["workers"])


@pytest.mark.slow
async def test_a_reset_reaches_every_worker(gateway, upstream):
    upstream.answer = lambda request: Reply(503)
    async with asyncio.timeout(25):
        while True:
            try:
                await ask(gateway, "GET", "/")
                if await circuits(gateway) == ("open", ["open", "open"]):
                    break
            except OSError:
                await asyncio.sleep(0.05)  # it is starting
    assert len(upstream.requests) == 2  # each worker learns by itself
    answer = await ask(gateway, "POST", "/_gateway/breakers/reset", b'{"name": "service"}')
    assert [worker["state"] for worker in answer.json()["reset"][0]["workers"]] == ["open", "open"]
    assert await circuits(gateway) == ("closed", ["closed", "closed"])
