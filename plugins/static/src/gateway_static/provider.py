"""The discovery provider ``static``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import Endpoint
from gateway_static.weight import whole_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.interfaces import Publish
    from gateway_static.config import InstanceConfig, ServiceConfig, StaticConfig

__all__ = ["StaticProvider"]


class StaticProvider:
    """Publishes what the configuration lists, once.

    Args:
        config: The validated block.
    """

    def __init__(self, config: StaticConfig) -> None:
        self._snapshot = {service.name: _endpoints(service) for service in config.services}

    async def watch(self, publish: Publish) -> None:
        """Publish every service and return: nothing changes until the configuration does."""
        publish(self._snapshot)


def _endpoints(service: ServiceConfig) -> Sequence[Endpoint]:
    # Endpoints have whole weights; those of a service are scaled together, so that 0.5 beside 1.5 is 1 beside 3 parts.
    weights = whole_weights([instance.effective_weight for instance in service.instances])
    return tuple(_endpoint(instance, weight) for instance, weight in zip(service.instances, weights, strict=True))


def _endpoint(instance: InstanceConfig, weight: int) -> Endpoint:
    tags = {"tags": list(instance.tags)} if instance.tags else {}
    return Endpoint(
        address=instance.address,
        port=instance.effective_port,
        scheme=instance.effective_scheme,
        id=instance.id,
        weight=weight,
        is_healthy=instance.health,
        metadata={**instance.metadata, **tags},
    )


if TYPE_CHECKING:
    from gateway.interfaces import DiscoveryProvider

    _: type[DiscoveryProvider] = StaticProvider
