"""The fixtures."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from gateway.embedding import Gateway
from gateway.testing.clock import ManualClock
from gateway.testing.running import GatewayFactory, RunningGateway, configuration_for
from gateway.testing.upstream import Upstream

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

__all__ = ["anyio_backend", "clock", "gateway_factory", "upstream", "upstream_factory"]


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Run asynchronous tests on asyncio, with uvloop as the gateway itself does."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture
def clock() -> ManualClock:
    """Give a clock that stands still."""
    return ManualClock()


@pytest.fixture
async def upstream_factory() -> AsyncIterator[Callable[..., Awaitable[Upstream]]]:
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
async def gateway_factory(tmp_path: Path) -> AsyncIterator[GatewayFactory]:
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
