"""A discovery provider: services from a file with lines such as ``orders 10.0.0.1:3000``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
from pydantic import Field

from gateway import Config, DiscoveryRegistration, Duration, Endpoint, hookimpl

if TYPE_CHECKING:
    from gateway import BuildContext
    from gateway.interfaces import Publish


class InstancesFileConfig(Config):
    path: str = Field(description="The file, relative to the configuration file.")
    interval: Duration = Field(5.0, description="Seconds between two looks at it.", gt=0)


class InstancesFile:
    def __init__(self, config: InstancesFileConfig, context: BuildContext) -> None:
        self._path = anyio.Path(context.resolve(config.path))
        self._interval_s = config.interval

    async def watch(self, publish: Publish) -> None:
        while True:
            # What goes wrong here is logged, and the provider started again; the last snapshot stays in force.
            publish(_parse(await self._path.read_text()))
            await anyio.sleep(self._interval_s)


def _parse(text: str) -> dict[str, list[Endpoint]]:
    services: dict[str, list[Endpoint]] = {}
    for line in text.splitlines():
        service, authority = line.split()
        address, _, port = authority.rpartition(":")
        services.setdefault(service, []).append(Endpoint(address=address, port=int(port)))
    return services


@hookimpl
def gateway_register_discovery_providers() -> list[DiscoveryRegistration]:
    return [
        DiscoveryRegistration(
            name="instances_file",
            summary="Services listed in a file",
            config=InstancesFileConfig,
            build=InstancesFile,
            path="registry.file",
        )
    ]
