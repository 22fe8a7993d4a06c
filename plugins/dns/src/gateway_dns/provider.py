"""The discovery provider ``dns``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway_dns.lookup import LookupFailed, Lookups

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway import BuildContext, Endpoint
    from gateway.interfaces import Publish
    from gateway_dns.config import DnsConfig, DnsServiceConfig

__all__ = ["DnsProvider"]


class DnsProvider:
    """Implements ``gateway.interfaces.DiscoveryProvider``: each name is asked for again when its time is over.

    A look-up that fails leaves what is known, over a reload too; "there is no such name" does not.

    Args:
        config: What to look up.
        context: Of the provider.
        sleep: Waits some seconds; tests pass their own.
    """

    def __init__(
        self,
        config: DnsConfig,
        context: BuildContext,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._config = config
        self._lookups = Lookups(config)
        self._logger = context.logger
        self._sleep = sleep
        self._known: dict[str, list[Endpoint]] = {}
        self._kept: dict[DnsServiceConfig, list[Endpoint]] = context.keep("found", dict)
        self._failing: set[str] = set()
        self._failures = context.metrics.counter(
            "gateway_dns_lookup_failures_total", "Look-ups of instances that failed.", ("service",)
        )

    async def watch(self, publish: Publish) -> None:
        """Publish what is found, again whenever that changes."""
        services = self._config.services
        for gone in self._kept.keys() - set(services):
            del self._kept[gone]
        self._known = {service.name: self._kept[service] for service in services if service in self._kept}
        async with asyncio.TaskGroup() as running:
            # All of them at once first, so that the first snapshot is whole.
            pauses_s = await asyncio.gather(*(self._look_up(service) for service in services))
            publish(dict(self._known))
            for service, pause_s in zip(services, pauses_s, strict=True):
                running.create_task(self._follow(service, pause_s, publish))

    async def _follow(self, service: DnsServiceConfig, pause_s: float, publish: Publish) -> None:
        while True:
            await self._sleep(pause_s)
            before = self._known.get(service.name)
            pause_s = await self._look_up(service)
            if self._known.get(service.name) != before:
                publish(dict(self._known))

    async def _look_up(self, service: DnsServiceConfig) -> float:
        """Look a service up; returns the seconds until it is to be looked up again."""
        try:
            found, ttl_s = await self._lookups.find(service)
        except LookupFailed as error:
            self._failures.labels(service.name).add()
            if service.name not in self._failing:
                self._failing.add(service.name)
                kept = len(self._known.get(service.name, ()))
                self._logger.warning(
                    "service %s cannot be looked up, %d instances stay as they are: %s", service.name, kept, error
                )
            return self._config.retry_interval
        if service.name in self._failing:
            self._failing.remove(service.name)
            self._logger.info("service %s can be looked up again", service.name)
        self._known[service.name] = self._kept[service] = found
        return ttl_s


if TYPE_CHECKING:
    from gateway.interfaces import DiscoveryProvider

    _: type[DiscoveryProvider] = DnsProvider
