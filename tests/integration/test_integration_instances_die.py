"""Instances that die, hang and come back while requests flow: processes of their own, ended by signals.

With ``--log-cli-level=info`` each test tells its figures.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.anyio

logger = logging.getLogger("figures")

CLIENTS = 8
"""Each asks for one thing after the other."""
CHECKS = {"type": "http", "path": "/", "interval": 0.1, "timeout": 0.2, "healthyThreshold": 1, "unhealthyThreshold": 1}

INSTANCE = """
import asyncio, sys

class Instance(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.received = transport, b""

    def data_received(self, data):
        self.received += data
        while b"\\r\\n\\r\\n" in self.received:
            _, _, self.received = self.received.partition(b"\\r\\n\\r\\n")
            asyncio.get_running_loop().call_later(0.005, self.answer)

    def answer(self):
        name = sys.argv[1].encode()
        self.transport.write(b"HTTP/1.1 200 OK\\r\\ncontent-length: %d\\r\\n\\r\\n%b" % (len(name), name))

async def main():
    server = await asyncio.get_running_loop().create_server(Instance, "127.0.0.1", int(sys.argv[1]))
    print("ready", flush=True)
    await server.serve_forever()

asyncio.run(main())
"""


class Instance:
    """An instance of a service in a process of its own."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", INSTANCE, str(self.port), stdout=asyncio.subprocess.PIPE
        )
        assert self.process.stdout is not None
        assert await asyncio.wait_for(self.process.stdout.readline(), 20) == b"ready\n"

    def signal(self, number: int) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)

    async def kill(self) -> None:
        self.signal(signal.SIGKILL)
        assert self.process is not None
        await self.process.wait()


@pytest.fixture
async def instances(port):
    """Three instances that run."""
    made = [Instance(port()) for _ in range(3)]
    await asyncio.gather(*(each.start() for each in made))
    yield made
    for each in made:
        if each.process is not None and each.process.returncode is None:
            await each.kill()


@dataclass
class Load:
    """What became of requests.

    Attributes:
        statuses: How many had which.
        seen: When each instance answered last, by its port.
        longest_s: The longest time that one took.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    seen: dict[int, float] = field(default_factory=dict)
    longest_s: float = 0.0
    is_over: bool = False

    @property
    def failures(self) -> int:
        return self.statuses.total() - self.statuses[200]


@pytest.fixture
async def load(dial):
    """Ask a gateway all the time, over several connections."""
    running: list[tuple[Load, list[asyncio.Task[None]]]] = []

    async def ask(made: Load, port: int) -> None:
        connection = await dial(port)
        while not made.is_over:
            begun_s = time.monotonic()
            answer = await connection.ask("GET", "/")
            made.longest_s = max(made.longest_s, time.monotonic() - begun_s)
            made.statuses[answer.status] += 1
            if answer.status == 200:
                made.seen[int(answer.body)] = time.monotonic()
            if answer.headers.get("connection") == "close":
                connection = await dial(port)

    async def begin(port: int) -> Load:
        made = Load()
        running.append((made, [asyncio.ensure_future(ask(made, port)) for _ in range(CLIENTS)]))
        return made

    yield begin
    for made, tasks in running:
        made.is_over = True
        await asyncio.wait_for(asyncio.gather(*tasks), 10)


def settings(routes: Callable[..., Any], instances: list[Instance], **more: Any) -> Any:
    return routes({"orders": [each.port for each in instances]}, **more)


RETRY = {
    "maxAttempts": 3,
    "initialDelay": 10,
    "perTryTimeout": "250ms",
    "budget": {"ratio": 1.0, "minRetriesPerSecond": 100},
}


async def test_with_retries_no_idempotent_request_fails(gateway, routes, instances, load, until):
    started = await gateway(settings(routes, instances, retry=RETRY), "--workers", "2")
    seen = await load(started.port)
    killed, hanging, _ = instances
    await until(lambda: len(seen.seen) == 3)
    for _ in range(2):
        await killed.kill()
        await asyncio.sleep(0.3)
        await killed.start()
        back_s = time.monotonic()
        await until(lambda back_s=back_s: seen.seen[killed.port] > back_s)
    hanging.signal(signal.SIGSTOP)
    await asyncio.sleep(0.6)
    hanging.signal(signal.SIGCONT)
    cont_s = time.monotonic()
    await until(lambda: seen.seen[hanging.port] > cont_s)
    seen.is_over = True
    logger.info(
        "%d requests, %d failures, longest %.0f ms", seen.statuses.total(), seen.failures, seen.longest_s * 1000
    )
    assert seen.failures == 0


async def test_without_retries_only_those_in_flight_fail(gateway, routes, instances, load, until):
    """What the instance has taken, and not answered, is lost; others find it gone and are sent elsewhere."""
    started = await gateway(settings(routes, instances))
    seen = await load(started.port)
    killed = instances[0]
    await until(lambda: len(seen.seen) == 3)
    kills = 3
    for _ in range(kills):
        await killed.kill()
        await asyncio.sleep(0.2)
        await killed.start()
        back_s = time.monotonic()
        await until(lambda back_s=back_s: seen.seen[killed.port] > back_s)
    seen.is_over = True
    logger.info("%d kills, answers: %s", kills, dict(seen.statuses))
    assert seen.failures <= kills * CLIENTS
    assert set(seen.statuses) <= {200, 502}


async def test_traffic_leaves_an_instance_that_hangs_and_comes_back(gateway, routes, instances, load, until):
    """From the event to what is routed: a check that is due, its time-out, and the way to the workers."""
    started = await gateway(settings(routes, instances, health={"active": CHECKS}, retry=RETRY), "--workers", "2")
    seen = await load(started.port)
    hanging = instances[0]
    await until(lambda: len(seen.seen) == 3)

    async def is_healthy() -> bool:
        (service,) = (await started.admin("/services"))["services"]
        return next(bool(each["healthy"]) for each in service["instances"] if each["port"] == hanging.port)

    async def is_out() -> bool:
        return not await is_healthy()

    took_s = {}
    for event, happens in (("SIGSTOP", is_out), ("SIGCONT", is_healthy), ("SIGKILL", is_out)):
        begun_s = time.monotonic()
        hanging.signal(getattr(signal, event))
        await until(happens)
        took_s[event] = time.monotonic() - begun_s
    assert hanging.process is not None
    await hanging.process.wait()
    begun_s = time.monotonic()
    await hanging.start()
    await until(lambda: seen.seen[hanging.port] > begun_s)
    took_s["start"] = time.monotonic() - begun_s
    seen.is_over = True
    logger.info("seconds until it is routed: %s; answers: %s", took_s, dict(seen.statuses))
    assert max(took_s.values()) < 5
    assert seen.failures == 0
