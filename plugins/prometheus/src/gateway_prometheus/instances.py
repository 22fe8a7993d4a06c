"""How many instances services have, and which of them work, as the control plane knows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.interfaces import Directory
    from gateway.metrics import Metrics

__all__ = ["InstanceGauges"]


class InstanceGauges:
    """Two gauges that are brought up to date when somebody looks.

    Args:
        metrics: Where they are.
        directory: The services.
    """

    def __init__(self, metrics: Metrics, directory: Directory) -> None:
        self._directory = directory
        self._instances = metrics.gauge(
            "gateway_service_instances", "Instances of services, by whether they work.", ("service", "health")
        )
        self._healthy = metrics.gauge(
            "gateway_backend_healthy", "Whether an instance works: 1 if it does, else 0.", ("service", "instance")
        )

    def update(self) -> None:
        """Bring them up to date."""
        healthy: dict[tuple[str, ...], float] = {}
        counts: dict[tuple[str, ...], float] = {}
        for service in self._directory.services():
            instances = self._directory.instances(service)
            working = sum(instance.is_healthy for instance in instances)
            counts[service, "healthy"] = working
            counts[service, "unhealthy"] = len(instances) - working
            healthy.update({(service, instance.id): float(instance.is_healthy) for instance in instances})
        for family, wanted in ((self._instances, counts), (self._healthy, healthy)):
            for labels in family.snapshot().series.keys() - wanted.keys():
                family.remove(*labels)
            for labels, value in wanted.items():
                family.labels(*labels).set(value)
