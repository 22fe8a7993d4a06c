"""What these tests share: real Redis processes on free ports, and the surroundings of a limiter without a gateway."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import shutil
import socket
import subprocess
import time
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
import redis

from gateway.metrics import Metrics
from gateway.runtime.shared_memory import MemoryStore, SharedMemory
from gateway_ratelimit.config import RateLimit, RateLimitConfig, limits_of
from gateway_ratelimit.plugin import build

if TYPE_CHECKING:
    import signal
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

PATIENCE_S = 15.0


class RedisServer:
    """A Redis process: ``redis-server`` with these settings, in a folder of its own.

    Attributes:
        port: Where it listens.
    """

    def __init__(self, folder: Path, *settings: str, port: int = 0, is_sentinel: bool = False) -> None:
        self.port = port or free_port()
        self._folder = folder
        self._settings = settings
        self._is_sentinel = is_sentinel
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def client(self) -> redis.Redis:
        """A connection to it."""
        return redis.Redis(port=self.port, socket_timeout=PATIENCE_S)

    def start(self) -> None:
        """Start it, or start it again."""
        self._folder.mkdir(exist_ok=True)
        command = ["redis-server"]
        if self._is_sentinel:
            configuration = self._folder / f"{self.port}.conf"
            configuration.write_text("\n".join([f"port {self.port}", *self._settings]) + "\n")
            command += [str(configuration), "--sentinel"]
        else:
            command += ["--port", str(self.port), "--save", "", "--appendonly", "no"]
            command += [word for setting in self._settings for word in f"--{setting}".split()]
        self._process = subprocess.Popen(
            [*command, "--bind", "127.0.0.1", "--dir", str(self._folder), "--daemonize", "no"],
            stdout=subprocess.DEVNULL,
        )
        eventually(self._is_up)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _is_up(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "redis-server could not start"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def free_port() -> int:
    """Return a port below those of outgoing connections, so that a server can be started there again.

    The port 10000 above it is free too: nodes of a cluster take it.
    """
    while True:
        port = random.randrange(11_000, 22_000)  # noqa: S311 - no secret
        with socket.socket() as one, socket.socket() as other, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            other.bind(("127.0.0.1", port + 10_000))
            return port


def eventually(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline, "it did not become so"
        time.sleep(0.01)


@pytest.fixture(scope="session")
def unused_port() -> Callable[[], int]:
    """Give a function that finds a free port."""
    return free_port


@pytest.fixture(scope="session")
def needs_redis() -> None:
    if shutil.which("redis-server") is None:
        missing = "redis-server is not installed: apt-get install redis-server"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)


@pytest.fixture(scope="module")
def redis_factory(needs_redis: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., RedisServer]]:
    """Give a function that starts Redis servers, and end them with the module."""
    with ExitStack() as started:

        def start(*settings: str, **options: Any) -> RedisServer:
            server = RedisServer(tmp_path_factory.mktemp("redis"), *settings, **options)
            started.callback(server.kill)
            server.start()
            return server

        yield start


@pytest.fixture(scope="session")
def shared_redis(needs_redis: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Give a Redis for tests that leave it as it is."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


class Surroundings:
    """A gateway as limiters see it. ``worker()`` gives those of another worker of the same gateway."""

    def __init__(self, memories: MemoryStore) -> None:
        self.name = "ratelimit"
        self.logger = logging.getLogger("gateway.plugins.gateway-ratelimit")
        self.metrics = Metrics()
        self._memories = memories
        self._kept: dict[str, Any] = {}

    def worker(self) -> Surroundings:
        return Surroundings(self._memories)

    def keep(self, key: str, make: Callable[[], Any]) -> Any:
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    async def shared_memory(self, key: str, size_bytes: int) -> SharedMemory:
        file = self._memories.file("ratelimit", key, size_bytes)
        return SharedMemory(os.dup(file.fileno()), size_bytes)

    def resolve(self, path: str) -> Path:
        return Path(path)

    def metric(self, name: str, *labels: str) -> float:
        (family,) = (each for each in self.metrics.snapshot() if each.name == name)
        value = family.series.get(labels, 0.0)
        assert isinstance(value, float)
        return value


@pytest.fixture
def surroundings() -> Iterator[Surroundings]:
    memories = MemoryStore()
    yield Surroundings(memories)
    memories.close()


def limit_of(**block: Any) -> RateLimit:
    """Return the only limit that a block means."""
    (limit,) = limits_of(RateLimitConfig.model_validate(block))
    return limit


@pytest.fixture
async def limiter_factory(surroundings: Surroundings) -> AsyncIterator[Callable[..., Awaitable[Any]]]:
    """Give a function that makes limiters that are entered, and exit them."""
    async with AsyncExitStack() as entered:

        async def make(context: Surroundings | None = None, **block: Any) -> Any:
            limiter: Any = build(limit_of(**block), cast("Any", context or surroundings))
            return await entered.enter_async_context(limiter)

        yield make
