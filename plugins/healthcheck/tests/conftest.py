"""What the tests of health checks need: a build context, a directory with instances, and a small server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from gateway import Endpoint
from gateway.metrics import Metrics
from gateway.services import ServiceDirectory
from gateway_healthcheck.config import HealthConfig

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def directory():
    return ServiceDirectory()


@pytest.fixture
def instances(directory) -> Callable[..., Any]:
    """Publish so many instances of a service, and return them."""

    def publish(count: int = 1, *, service: str = "orders", port: int = 1) -> Any:
        endpoints = [Endpoint(address="127.0.0.1", port=port + number) for number in range(count)]
        directory.publish(service, {service: endpoints})
        return directory.instances(service)

    return publish


@pytest.fixture
def context(directory) -> Any:
    """A build context; background work is noted, and not run."""
    kept: dict[str, Any] = {}
    work: dict[str, Any] = {}
    exposed: dict[str, Any] = {}
    return SimpleNamespace(
        directory=directory.heard_from("me"),
        metrics=Metrics(),
        logger=logging.getLogger("gateway.plugins.gateway-healthcheck"),
        resolve=Path,
        keep=lambda key, make: kept.setdefault(key, make()),
        expose=exposed.__setitem__,
        connector_config=lambda name: None,
        background=SimpleNamespace(start=work.__setitem__),
    )


@pytest.fixture(scope="session")
def config() -> Callable[..., HealthConfig]:
    return HealthConfig.model_validate


@pytest.fixture
async def serve():
    """Start a server on a free port that treats each connection as the test says; returns the port."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(handle: Callable[..., Any], **options: Any) -> int:
            tasks: set[asyncio.Task[None]] = set()

            async def contained(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                task = asyncio.current_task()
                assert task is not None
                tasks.add(task)
                try:
                    with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
                        await handle(reader, writer)
                finally:
                    tasks.discard(task)
                    writer.transport.abort()

            server = await asyncio.start_server(contained, "127.0.0.1", 0, **options)

            async def stop() -> None:
                server.close()
                pending = list(tasks)
                for task in pending:
                    task.cancel()
                if pending:
                    await asyncio.wait(pending)

            stack.push_async_callback(stop)
            port: int = server.sockets[0].getsockname()[1]
            return port

        yield start
