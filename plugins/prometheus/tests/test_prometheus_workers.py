"""Sums over real workers, one of which dies."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from gateway.testing import Client, Upstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.anyio

CONFIG = """
gateway:
  workers: 2
  frontend: {{http: {{host: 127.0.0.1, port: 0}}}}
  admin: {{token: secret}}
  metrics: {{path: /metrics}}
  registry: {{static: {{services: [{{name: orders, instances: [{{address: 127.0.0.1, port: {port}}}]}}]}}}}
  router: {{rules: [{{path: /orders/*, serviceName: orders}}]}}
"""


@contextlib.asynccontextmanager
async def gateway(folder: Path, upstream: Upstream) -> AsyncIterator[int]:
    """Run a gateway of two workers; gives its port."""
    config = folder / "gateway.yaml"
    config.write_text(CONFIG.format(port=upstream.port))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "gateway.cli", "run", "--config", str(config)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    lines: list[bytes] = []
    try:
        async with asyncio.timeout(20):
            while b"listening on" not in (line := await process.stdout.readline()):
                lines.append(line)
                assert line, b"".join(lines).decode()
        rest = asyncio.ensure_future(process.stdout.read())
        yield int(line.decode().partition("listening on 127.0.0.1:")[2].partition(":")[0])
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), 15)
        await rest
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def scrape(port: int) -> dict[tuple[str, str], Any]:
    async with Client("127.0.0.1", port) as client:
        answer = await client.ask("GET", "/metrics")
    return {
        (sample.name, sample.labels.get("path", sample.labels.get("pid", ""))): sample.value
        for family in parse(answer.text)
        for sample in family.samples
        if "le" not in sample.labels
    }


async def ask_of_both(port: int, times: int) -> None:
    """Ask until both workers had something to do: the kernel gives each connection to one of them."""
    for _ in range(times):
        async with Client("127.0.0.1", port) as client:
            assert (await client.ask("GET", "/orders/1")).status == 200


async def test_sums_are_right_over_two_workers_and_when_one_died(tmp_path: Path, upstream: Upstream) -> None:
    requests, active = ("gateway_http_requests_total", "/orders/*"), ("gateway_http_requests_active", "/orders/*")
    backend = ("gateway_backend_requests_total", "")
    async with gateway(tmp_path, upstream) as port:
        await ask_of_both(port, 40)
        found = await scrape(port)
        assert (found[requests], found[backend], found[active]) == (40, 40, 0)
        async with Client("127.0.0.1", port) as client:
            status = await client.ask("GET", "/_gateway/status", headers={"authorization": "Bearer secret"})
        pids = [worker["pid"] for worker in status.json()["workers"]]
        assert {pid for name, pid in found if name == "process_cpu_seconds_total"} >= set(map(str, pids))
        os.kill(pids[0], signal.SIGKILL)
        async with asyncio.timeout(15):
            while True:
                with contextlib.suppress(OSError):
                    found = await scrape(port)
                    if ("process_cpu_seconds_total", str(pids[0])) not in found and len(
                        [name for name, _ in found if name == "process_cpu_seconds_total"]
                    ) == 3:
                        break
                await asyncio.sleep(0.05)
        # What the dead one had counted when it was last asked stays, and nothing is counted twice.
        assert (found[requests], found[active]) == (40, 0)
        await ask_of_both(port, 20)
        found = await scrape(port)
        assert (found[requests], found[backend]) == (60, 60)
