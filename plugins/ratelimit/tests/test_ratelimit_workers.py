"""Two real workers: what holds for the gateway, holds for both together."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from gateway.testing import Client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

CLIENTS = 16
SECONDS = 2.0
RATE = 100
TOKEN = "a-token-for-tests"


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Callable[[dict[str, Any], int], None]]:
    """Give a function that starts a gateway with two workers, which answer ``/`` themselves."""
    processes = []

    def start(limit: dict[str, Any], port: int) -> None:
        gateway = {
            "frontend": {"http": {"host": "127.0.0.1", "port": port}},
            "admin": {"token": TOKEN},
            "plugins": {"demo": {}},
            "rateLimit": limit,
            "router": {"rules": [{"path": "/*", "serviceName": "demo"}]},
        }
        file = tmp_path / "gateway.yaml"
        file.write_text(yaml.safe_dump({"gateway": gateway}))
        command = [sys.executable, "-m", "gateway.cli", "--config", str(file), "--workers", "2"]
        processes.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    yield start
    for process in processes:
        process.send_signal(signal.SIGTERM)
        process.wait(15)


async def workers_that_serve(port: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(OSError):
                async with Client("127.0.0.1", port) as client:
                    answer = await client.ask("GET", "/_gateway/status", headers={"authorization": f"Bearer {TOKEN}"})
                    found: list[dict[str, Any]] = json.loads(answer.body).get("workers", [])
                    if [worker["serving"] for worker in found] == [True, True]:
                        return found
            await asyncio.sleep(0.1)


async def allowed_per_second(port: int) -> float:
    """Ask far more than is allowed over connections to both workers; return how much a second was allowed.

    Whenever somebody is refused the bucket is empty, so what was allowed between the first and the last refusal is what
    dropped in meanwhile, however busy this machine is.
    """
    allowed, refusals, allowed_at_refusal = 0, list[float](), list[int]()
    ends = time.monotonic() + SECONDS + 1

    async def client() -> None:
        nonlocal allowed
        async with Client("127.0.0.1", port) as client:
            while time.monotonic() < ends:
                answer = await client.ask("GET", "/")
                if answer.status == 200:
                    allowed += 1
                else:
                    assert answer.status == 429
                    refusals.append(time.monotonic())
                    allowed_at_refusal.append(allowed)
                await asyncio.sleep(0.02)

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    assert refusals[-1] - refusals[0] > SECONDS / 2
    return (allowed_at_refusal[-1] - allowed_at_refusal[0]) / (refusals[-1] - refusals[0])


@pytest.mark.parametrize("store", ["memory", "redis"])
async def test_a_hundred_a_second_stay_a_hundred_with_two_workers(
    workers: Any, redis_factory: Any, unused_port: Callable[[], int], store: str
) -> None:
    limit: dict[str, Any] = {"rate": RATE, "key": "route", "burst": RATE}
    if store == "redis":
        limit["redis"] = {"port": redis_factory().port, "timeout": "1s"}
    port = unused_port()
    workers(limit, port)
    await workers_that_serve(port)
    assert await allowed_per_second(port) == pytest.approx(RATE, rel=0.05)
    both = await workers_that_serve(port)
    assert len({worker["pid"] for worker in both}) == 2
