"""A route source: rules from a JSON file such as ``[{"path": "/orders/*", "serviceName": "orders"}]``."""

import json

import anyio
from pydantic import Field

from gateway import BuildContext, Duration, RouteSourceConfig, RouteSourceRegistration, SourcedRule, hookimpl
from gateway.interfaces import PublishRules


class RoutesFileConfig(RouteSourceConfig):
    path: str = Field(description="The file, relative to the configuration file.")
    interval: Duration = Field(5.0, description="Seconds between two looks at it.", gt=0)


class RoutesFile:
    def __init__(self, config: RoutesFileConfig, context: BuildContext) -> None:
        self._path = anyio.Path(context.resolve(config.path))
        self._interval_s = config.interval

    async def watch(self, publish: PublishRules) -> None:
        while True:
            # What goes wrong here is logged, and the source started again; the last rules stay in force.
            rules = json.loads(await self._path.read_text())
            publish([SourcedRule(rule=rule, where=f"{self._path.name} {n}") for n, rule in enumerate(rules, 1)])
            await anyio.sleep(self._interval_s)


@hookimpl
def gateway_register_route_sources() -> list[RouteSourceRegistration]:
    return [
        RouteSourceRegistration(
            name="routes_file",
            summary="Rules listed in a file",
            config=RoutesFileConfig,
            build=RoutesFile,
            path="router.sources.file",
        )
    ]
