"""Discovery through a library that blocks: threads, and what was known last stays in force."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from pydantic import Field

from gateway import BuildContext, Config, DiscoveryRegistration, Duration, Endpoint

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gateway.interfaces import DiscoveryProvider, Publish


class ContainersConfig(Config):
    source: str = Field(description="A file that lists containers in JSON. Stands for the socket of Docker.")
    interval: Duration = Field(10.0, description="Seconds between two looks.", gt=0)


class ContainerProvider:
    def __init__(self, config: ContainersConfig, context: BuildContext) -> None:
        self._source = context.resolve(config.source)
        self._interval_s = config.interval

    async def watch(self, publish: Publish) -> None:
        while True:
            # On cancellation the thread is left to end by itself: a stop must not wait for a daemon that hangs.
            with anyio.fail_after(30):
                containers = await anyio.to_thread.run_sync(_list, self._source, abandon_on_cancel=True)
            publish(_services(containers))
            await anyio.sleep(self._interval_s)


def _list(source: Path) -> list[dict[str, Any]]:
    """Ask for the containers. Blocks; whatever it raises has the provider started again, later and later."""
    return list(json.loads(source.read_text()))


def _services(containers: list[dict[str, Any]]) -> dict[str, Sequence[Endpoint]]:
    services: dict[str, list[Endpoint]] = {}
    for container in containers:
        labels = container["labels"]
        endpoint = Endpoint(address=container["ip"], port=int(labels["gateway.port"]), id=container["name"])
        services.setdefault(labels["gateway.service"], []).append(endpoint)
    return {name: tuple(endpoints) for name, endpoints in services.items()}


def build(config: ContainersConfig, context: BuildContext) -> ContainerProvider:
    return ContainerProvider(config, context)


containers = DiscoveryRegistration(name="containers", config=ContainersConfig, build=build, path="registry.containers")

if TYPE_CHECKING:
    _provider: type[DiscoveryProvider] = ContainerProvider
