"""The directory: what discovery published, merged, with an ``Instance`` that outlives every refresh."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from gateway.interfaces import Instance

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.interfaces import Endpoint

__all__ = ["Service", "ServiceDirectory"]

logger = logging.getLogger("gateway.services")

_Identity = tuple[str, str, int]


class Service:
    """A service and its instances. Compiled routes hold on to it, so it stays the same object for good.

    Attributes:
        name: Its name.
        instances: All known instances.
        available: The healthy ones that take traffic; a new tuple whenever something changed, never changed in place.
    """

    __slots__ = ("__weakref__", "_by_identity", "_published", "_refused", "available", "instances", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.instances: tuple[Instance, ...] = ()
        self.available: tuple[Instance, ...] = ()
        self._by_identity: dict[_Identity, Instance] = {}
        self._published: dict[str, tuple[Endpoint, ...]] = {}
        self._refused: set[_Identity] = set()

    def publish(self, provider: str, endpoints: Sequence[Endpoint]) -> bool:
        """Take over what ``provider`` says about this service; returns whether anything changed."""
        endpoints = tuple(endpoints)
        if self._published.get(provider, ()) == endpoints:
            return False
        if endpoints:
            self._published[provider] = endpoints
        else:
            self._published.pop(provider, None)
        return self._rebuild()

    def instance(self, endpoint: Endpoint) -> Instance | None:
        """Return the instance at the place of ``endpoint``, if it is known."""
        return self._by_identity.get(_identity(endpoint))

    def mark(self, instance: Instance, *, is_healthy: bool) -> bool:
        """Take over a health checker's word; returns whether anything changed."""
        identity = _identity(instance.endpoint)
        if self._by_identity.get(identity) is not instance or (identity not in self._refused) == is_healthy:
            return False
        if is_healthy:
            self._refused.discard(identity)
        else:
            self._refused.add(identity)
        return self._rebuild()

    def forget_marks(self) -> bool:
        """Forget what health checkers said; returns whether anything changed."""
        if not self._refused:
            return False
        self._refused.clear()
        return self._rebuild()

    def published(self) -> tuple[tuple[Endpoint, ...], frozenset[_Identity]]:
        """Return the endpoints of all instances and what health checkers took out: what workers need."""
        return tuple(instance.endpoint for instance in self.instances), frozenset(self._refused)

    def take_over(self, endpoints: Sequence[Endpoint], refused: frozenset[_Identity]) -> None:
        """Become what ``published`` of the control plane's service says."""
        self._published = {"control": tuple(endpoints)}
        self._refused = set(refused)
        self._rebuild()

    def _rebuild(self) -> bool:
        """Work out the instances anew; returns whether anything changed for anybody."""
        known: dict[_Identity, Instance] = {}
        has_changed = False
        for endpoint in (endpoint for endpoints in self._published.values() for endpoint in endpoints):
            identity = _identity(endpoint)
            if identity in known:
                continue
            instance = known[identity] = self._by_identity.get(identity) or Instance(self.name, endpoint)
            is_healthy = endpoint.is_healthy and identity not in self._refused
            has_changed |= instance.endpoint != endpoint or instance.is_healthy != is_healthy
            instance.endpoint, instance.is_healthy = endpoint, is_healthy
        self._refused &= known.keys()
        self._by_identity = known
        instances = tuple(known.values())
        if has_changed or instances != self.instances:
            self.instances = instances
            self.available = tuple(instance for instance in instances if instance.is_healthy)
            return True
        return False

    def __repr__(self) -> str:
        return f"<Service {self.name} {len(self.available)} of {len(self.instances)} available>"


class ServiceDirectory:
    """All services. Implements ``gateway.interfaces.Directory``; used from one event loop.

    Args:
        changed: Called with the service after every change; the control plane tells the workers so.
    """

    def __init__(self, changed: Callable[[Service], None] | None = None) -> None:
        # Routes hold the services they need, and the directory those that have instances; the others are forgotten.
        self._services: WeakValueDictionary[str, Service] = WeakValueDictionary()
        self._populated: set[Service] = set()
        self._changed = changed

    def service(self, name: str) -> Service:
        """Return the service called ``name``, without instances as long as nobody publishes any.

        It is the same one for as long as somebody holds it or it has instances.
        """
        service = self._services.get(name)
        if service is None:
            service = self._services[name] = Service(name)
        return service

    def services(self) -> Sequence[str]:
        """Return the names of all services that have instances, or that a route names."""
        return sorted(self._services)

    def instances(self, service: str) -> Sequence[Instance]:
        """Return the instances of ``service``, unhealthy ones too."""
        found = self._services.get(service)
        return found.instances if found is not None else ()

    def publish(self, provider: str, snapshot: Mapping[str, Sequence[Endpoint]]) -> None:
        """Replace everything ``provider`` published before by ``snapshot``."""
        for name in {*snapshot, *(service.name for service in self._populated)}:
            service = self.service(name)
            if service.publish(provider, snapshot.get(name, ())):
                logger.info(
                    "service %s: %d of %d instances available",
                    name,
                    len(service.available),
                    len(service.instances),
                    extra={"service": name, "provider": provider},
                )
                self._tell(service)

    def withdraw(self, provider: str) -> None:
        """Forget everything ``provider`` published: the configuration does not use it any more."""
        self.publish(provider, {})

    def take_over(self, name: str, endpoints: Sequence[Endpoint], refused: frozenset[_Identity]) -> None:
        """Copy a service of the control plane; in workers."""
        service = self.service(name)
        service.take_over(endpoints, refused)
        self._keep(service)

    def mark(self, instance: Instance, *, is_healthy: bool, reason: str) -> None:
        """Say whether ``instance`` works."""
        service = self._services.get(instance.service)
        if service is not None and service.mark(instance, is_healthy=is_healthy):
            logger.warning(
                "instance %s of service %s is %s: %s",
                instance.id,
                service.name,
                "healthy again" if is_healthy else "unhealthy",
                reason,
                extra={"service": service.name, "instance": instance.id},
            )
            self._tell(service)

    def forget_marks(self) -> None:
        """Take every instance for one that works: nobody checks them any more."""
        for service in list(self._populated):
            if service.forget_marks():
                self._tell(service)

    def _tell(self, service: Service) -> None:
        self._keep(service)
        if self._changed is not None:
            self._changed(service)

    def _keep(self, service: Service) -> None:
        if service.instances:
            self._populated.add(service)
        else:
            self._populated.discard(service)


def _identity(endpoint: Endpoint) -> _Identity:
    return endpoint.scheme, endpoint.address, endpoint.port


if TYPE_CHECKING:
    from gateway.interfaces import Directory

    _: type[Directory] = ServiceDirectory
