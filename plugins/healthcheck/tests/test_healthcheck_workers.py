"""The plugin in a gateway with several workers, each a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from gateway.testing import Client, Reply, free_port

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def running(folder, configuration):
    """Run ``gateway run`` with a configuration; gives its port, and ends it."""
    port = free_port()
    configuration["frontend"] = {"http": {"host": "127.0.0.1", "port": port}}
    path = folder / "gateway.yaml"
    path.write_text(json.dumps({"gateway": {**configuration, "shutdownTimeout": "200ms"}}))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway.cli", "run", "--config", str(path), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield port
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), 15)


async def ask(port, path, **headers):
    async with Client("127.0.0.1", port) as client:
        return await client.ask("GET", path, headers=headers)


async def eventually(port, path, is_so, **headers):
    async with asyncio.timeout(20):
        while True:
            try:
                answer = await ask(port, path, **headers)
            except OSError:
                answer = None
            if answer is not None and is_so(answer):
                return answer
            await asyncio.sleep(0.02)


async def one_of_each_worker(port, stack):
    """Return two connections, which two workers have."""
    first = await stack.enter_async_context(Client("127.0.0.1", port))
    while True:
        second = await stack.enter_async_context(Client("127.0.0.1", port))
        await second.ask("GET", "/ready")
        status = await first.ask("GET", "/_gateway/status", headers={"authorization": "Bearer token"})
        if all(worker["connections"] for worker in status.json()["workers"]):
            return first, second


async def test_what_one_worker_sees_all_workers_leave_alone(tmp_path, upstream_factory):
    good, bad = await upstream_factory(), await upstream_factory()
    bad.answer = lambda request: Reply(500)
    configuration = {
        "workers": 2,
        # What happens to be installed beside is not what this is about.
        "disabledPlugins": ["docker", "kubernetes", "prometheus", "otel", "jsonlog"],
        "admin": {"token": "token"},
        "health": {"passive": {"ejectionTime": 60}, "livePath": "/live", "readyPath": "/ready"},
        "registry": {"static": {"services": [{"name": "s", "instances": [good.instance, bad.instance]}]}},
        "router": {"rules": [{"path": "/*", "serviceName": "s"}]},
    }
    token = {"authorization": "Bearer token"}
    async with running(tmp_path, configuration) as port:
        await eventually(port, "/ready", lambda answer: answer.status == 200)
        answer = None
        # Over one connection, which is one worker's: it must not be all of them together that see it first.
        async with Client("127.0.0.1", port) as client:
            while answer is None or not answer.json()["services"][0]["instances"][1]["marks"]:
                await client.ask("GET", "/")
                answer = await ask(port, "/_gateway/services", **token)
        (mark,) = answer.json()["services"][0]["instances"][1]["marks"]
        assert mark["by"] in ("worker 1: observer 'health'", "worker 2: observer 'health'")
        # A connection is one worker's: over several ones, all of them were told.
        for _ in range(40):
            assert (await ask(port, "/")).status == 200
        # When the worker is gone, so is what it said; another one sees for itself.
        status = (await ask(port, "/_gateway/status", **token)).json()
        number = int(mark["by"].split()[1].rstrip(":"))
        (pid,) = [worker["pid"] for worker in status["workers"] if worker["worker"] == number]
        os.kill(pid, signal.SIGKILL)
        await eventually(
            port,
            "/_gateway/services",
            lambda answer: not answer.json()["services"][0]["instances"][1]["marks"],
            **token,
        )


async def test_what_fails_in_all_workers_together_is_ejected(tmp_path, upstream_factory):
    """No worker sees nine failures in a row; two of them together do."""
    good, bad = await upstream_factory(), await upstream_factory()
    bad.answer = lambda request: Reply(500)
    configuration = {
        "workers": 2,
        "disabledPlugins": ["docker", "kubernetes", "prometheus", "otel", "jsonlog"],
        "admin": {"token": "token"},
        "health": {"passive": {"consecutive5xx": 9, "consecutiveGatewayErrors": 0}, "readyPath": "/ready"},
        "registry": {"static": {"services": [{"name": "s", "instances": [good.instance, bad.instance]}]}},
        "router": {"rules": [{"path": "/*", "serviceName": "s"}]},
    }
    async with running(tmp_path, configuration) as port:
        await eventually(port, "/ready", lambda answer: answer.status == 200)
        async with AsyncExitStack() as stack:
            for client in await one_of_each_worker(port, stack):
                # Six failures, unless the sum is noticed before the last of them.
                for _ in range(12):
                    await client.ask("GET", "/")
        answer = await eventually(
            port,
            "/_gateway/services",
            lambda answer: answer.json()["services"][0]["instances"][1]["marks"],
            authorization="Bearer token",
        )
        (mark,) = answer.json()["services"][0]["instances"][1]["marks"]
        assert mark["by"] == "health checker 'health-passive'"
        assert mark["reason"].endswith("in all workers; for 30 s")
