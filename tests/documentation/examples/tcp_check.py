"""A health checker: an instance works while its port accepts connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
from pydantic import Field

from gateway import Config, Duration, HealthCheckerRegistration, hookimpl

if TYPE_CHECKING:
    from gateway import BuildContext, Instance
    from gateway.interfaces import Directory


class TcpCheckConfig(Config):
    interval: Duration = Field(5.0, description="Seconds between two rounds.", gt=0)
    timeout: Duration = Field(1.0, description="Seconds an instance has to accept a connection.", gt=0)


class TcpCheck:
    def __init__(self, config: TcpCheckConfig) -> None:
        self._config = config

    async def monitor(self, directory: Directory) -> None:
        while True:
            instances = [each for service in directory.services() for each in directory.instances(service)]
            async with anyio.create_task_group() as group:
                for instance in instances:
                    group.start_soon(self._check, directory, instance)
            await anyio.sleep(self._config.interval)

    async def _check(self, directory: Directory, instance: Instance) -> None:
        try:
            with anyio.fail_after(self._config.timeout):
                stream = await anyio.connect_tcp(instance.endpoint.address, instance.endpoint.port)
            await stream.aclose()
        except (OSError, TimeoutError) as error:
            directory.mark(instance, is_healthy=False, reason=f"no connection: {error}")
        else:
            directory.mark(instance, is_healthy=True, reason="accepts connections")


@hookimpl
def gateway_register_health_checkers() -> list[HealthCheckerRegistration]:
    return [
        HealthCheckerRegistration(
            name="tcp_check", summary="Tries to connect", config=TcpCheckConfig, build=build, path="health.tcp"
        )
    ]


def build(config: TcpCheckConfig, context: BuildContext) -> TcpCheck:
    return TcpCheck(config)
