"""The fixtures."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from gateway.embedding import Gateway
from gateway.testing.clock import ManualClock
from gateway.testing.grpc_echo import GrpcEcho
from gateway.testing.memory import PLUGIN_FILE, MemoryClient, MemoryClientFactory, gateway_in_memory
from gateway.testing.running import GatewayFactory, RunningGateway, configuration_for
from gateway.testing.upstream import Upstream

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = [
    "anyio_backend",
    "client",
    "client_factory",
    "clock",
    "gateway_block",
    "gateway_factory",
    "grpc_upstream",
    "upstream",
    "upstream_factory",
]


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Run asynchronous tests on asyncio, with uvloop as the gateway itself does."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture
def clock() -> ManualClock:
    """Give a clock that stands still."""
    return ManualClock()


# Those below ask for ``anyio_backend`` so that a test that awaits nothing can use them, too.


@pytest.fixture
async def upstream_factory(anyio_backend: object) -> AsyncIterator[Callable[..., Awaitable[Upstream]]]:
    """Give a function that starts services, and stop them in the end."""
    async with contextlib.AsyncExitStack() as started:

        async def start(*, tls: ssl.SSLContext | None = None) -> Upstream:
            return await started.enter_async_context(Upstream(tls=tls))

        yield start


@pytest.fixture
async def upstream(upstream_factory: Callable[..., Awaitable[Upstream]]) -> Upstream:
    """Give a service on loopback."""
    return await upstream_factory()


@pytest.fixture
async def gateway_factory(anyio_backend: object, tmp_path: Path) -> AsyncIterator[GatewayFactory]:
    """Give a function that starts gateways, and stop them in the end."""
    async with contextlib.AsyncExitStack() as started:

        async def start(
            gateway: Mapping[str, Any] | None = None,
            *,
            upstream: Upstream | Sequence[Upstream] | None = None,
            rule: Mapping[str, Any] | None = None,
            plugin_files: Sequence[Path] = (),
        ) -> RunningGateway:
            configuration = configuration_for(gateway, upstream, rule)
            embedded = Gateway.from_mapping(configuration, folder=tmp_path, plugin_files=plugin_files)
            return RunningGateway(await started.enter_async_context(embedded))

        yield start


@pytest.fixture
def grpc_upstream() -> Iterator[GrpcEcho]:
    """Give a service that speaks gRPC and sends back every message; the test is skipped without ``grpcio``."""
    with GrpcEcho() as service:
        yield service


@pytest.fixture
async def client_factory(anyio_backend: object, tmp_path: Path) -> AsyncIterator[MemoryClientFactory]:
    """Give a function that starts gateways in memory and returns a client of each, and stop them in the end."""
    async with contextlib.AsyncExitStack() as started:

        async def start(
            gateway: Mapping[str, Any] | None = None,
            *,
            rule: Mapping[str, Any] | None = None,
            plugin_files: Sequence[Path] = (),
        ) -> MemoryClient:
            client = MemoryClient()
            configuration = gateway_in_memory(client, gateway, rule)
            files = [PLUGIN_FILE, *plugin_files]
            await started.enter_async_context(Gateway.from_mapping(configuration, folder=tmp_path, plugin_files=files))
            return client

        yield start


@pytest.fixture
def gateway_block() -> Mapping[str, Any]:
    """Give what stands below ``gateway`` in the configuration of ``client``; override it where the tests are."""
    return {}


@pytest.fixture
async def client(client_factory: MemoryClientFactory, gateway_block: Mapping[str, Any]) -> MemoryClient:
    """Give a client of a gateway in memory that is configured by the fixture ``gateway_block``."""
    return await client_factory(gateway_block)
