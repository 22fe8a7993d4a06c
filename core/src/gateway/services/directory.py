"""The directory: what discovery published, merged, with an ``Instance`` that outlives every refresh."""

from __future__ import annotations

import logging
from types import MappingProxyType
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from gateway.interfaces import Endpoint, Instance, Mark

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.interfaces import Directory

__all__ = ["Published", "Service", "ServiceDirectory", "worker_source"]

logger = logging.getLogger("gateway.services")

_Identity = tuple[str, str, int]

Marks = dict[str, Mark]
"""What is said against an instance, by who says it."""

Published = tuple[tuple[Endpoint, ...], dict[_Identity, Marks]]
"""What a service is made of, for workers: its endpoints, and what is said against them."""

NO_MARKS: Mapping[str, Mark] = MappingProxyType({})


def worker_source(worker: int, source: str) -> str:
    """Return what a component of a worker is known as outside of it; without a name, how all of these begin."""
    return f"worker {worker}: {source}"


class Service:
    """A service and its instances. Compiled routes hold on to it, so it stays the same object for good.

    Attributes:
        name: Its name.
        instances: All known instances.
        available: The healthy ones that take traffic; a new tuple whenever something changed, never changed in place.
    """

    __slots__ = ("__weakref__", "_by_identity", "_marks", "_published", "available", "instances", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.instances: tuple[Instance, ...] = ()
        self.available: tuple[Instance, ...] = ()
        self._by_identity: dict[_Identity, Instance] = {}
        self._published: dict[str, tuple[Endpoint, ...]] = {}
        self._marks: dict[_Identity, Marks] = {}

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

    def marks(self, instance: Instance) -> Mapping[str, Mark]:
        """Return what is said against ``instance``."""
        return self._marks.get(_identity(instance.endpoint), NO_MARKS)

    def put_mark(self, source: str, instance: Instance, mark: Mark | None) -> bool:
        """Take over what ``source`` says against ``instance``, or nothing; returns whether it says something else now.

        The same for another reason is nothing else.
        """
        identity = _identity(instance.endpoint)
        if self._by_identity.get(identity) is not instance:
            return False
        marks = self._marks.get(identity, {})
        if _share_percent(marks.get(source)) == _share_percent(mark):
            return False
        self.take_marks(instance, {**marks, source: mark} if mark is not None else _without(marks, source))
        return True

    def take_marks(self, instance: Instance, marks: Mapping[str, Mark]) -> None:
        """Replace everything that is said against ``instance``."""
        identity = _identity(instance.endpoint)
        if marks:
            self._marks[identity] = dict(marks)
        else:
            self._marks.pop(identity, None)
        if self._assess(instance, instance.endpoint):
            self._offer()

    def forget_marks(self, source: str) -> bool:
        """Forget what everybody said whose name begins with ``source``; returns whether anybody said anything."""
        kept = {
            identity: {each: mark for each, mark in marks.items() if not each.startswith(source)}
            for identity, marks in self._marks.items()
        }
        if kept == self._marks:
            return False
        self._marks = {identity: marks for identity, marks in kept.items() if marks}
        self._rebuild()
        return True

    def published(self) -> Published:
        """Return what workers need to know."""
        return tuple(instance.endpoint for instance in self.instances), dict(self._marks)

    def take_over(self, published: Published) -> None:
        """Become what ``published`` of the control plane's service says."""
        endpoints, marks = published
        self._published = {"control": tuple(endpoints)}
        self._marks = dict(marks)
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
            has_changed |= self._assess(instance, endpoint)
        if self._marks.keys() - known.keys():
            self._marks = {identity: marks for identity, marks in self._marks.items() if identity in known}
        self._by_identity = known
        instances = tuple(known.values())
        if has_changed or instances != self.instances:
            self.instances = instances
            self._offer()
            return True
        return False

    def _assess(self, instance: Instance, endpoint: Endpoint) -> bool:
        """Say what the instance is like now; returns whether it was otherwise."""
        marks = self._marks.get(_identity(endpoint))
        share_percent = min([100, *(mark.share_percent for mark in marks.values())]) if marks else 100
        before = instance.endpoint, instance.is_healthy, instance.share_percent
        is_healthy = endpoint.is_healthy and share_percent > 0
        instance.endpoint, instance.is_healthy, instance.share_percent = endpoint, is_healthy, share_percent
        return before != (endpoint, is_healthy, share_percent)

    def _offer(self) -> None:
        """Offer the healthy ones to balancers, in a tuple they have not seen."""
        available = tuple([instance for instance in self.instances if instance.is_healthy])
        # Weights are whole numbers, and only their proportions count.
        is_ramping = any(instance.share_percent < 100 for instance in available)
        for instance in self.instances:
            weight = instance.endpoint.weight
            instance.weight = weight * instance.share_percent if is_ramping else weight
        self.available = available

    def __repr__(self) -> str:
        return f"<Service {self.name} {len(self.available)} of {len(self.instances)} available>"


class ServiceDirectory:
    """All services. Implements ``gateway.interfaces.Directory``; used from one event loop.

    Args:
        changed: Called with the service after every change, and with the instance if only what is said against that one
            changed; the control plane tells the workers so.
    """

    def __init__(self, changed: Callable[[Service, Instance | None], None] | None = None) -> None:
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

    def take_over(self, name: str, published: Published) -> None:
        """Copy a service of the control plane; in workers."""
        service = self.service(name)
        service.take_over(published)
        self._keep(service)

    def take_marks(self, name: str, endpoint: Endpoint, marks: Mapping[str, Mark]) -> None:
        """Copy what the control plane knows to be said against an instance; in workers."""
        service = self.service(name)
        instance = service.instance(endpoint)
        if instance is not None:
            service.take_marks(instance, marks)

    def heard_from(self, source: str) -> Directory:
        """Return the directory as a component sees it that is known as ``source``."""
        return _HeardFrom(self, source)

    def marks(self, instance: Instance) -> Mapping[str, Mark]:
        """Return what is said against ``instance``, by who says it."""
        service = self._services.get(instance.service)
        return service.marks(instance) if service is not None else NO_MARKS

    def mark(
        self, instance: Instance, *, is_healthy: bool, reason: str, share_percent: int = 100, source: str = "somebody"
    ) -> None:
        """Say whether ``instance`` works, as ``source``."""
        if not 1 <= share_percent <= 100:
            msg = f"share_percent is {share_percent}; it must be from 1 to 100"
            raise ValueError(msg)
        share_percent = share_percent if is_healthy else 0
        mark = Mark(share_percent=share_percent, reason=reason) if share_percent < 100 else None
        self.put_mark(source, instance, mark, reason)

    def put_mark(self, source: str, instance: Instance, mark: Mark | None, reason: str) -> bool:
        """Take over what ``source`` says against ``instance``, or nothing; returns whether it says something else now.

        Args:
            source: Who says it.
            instance: The instance.
            mark: What it says.
            reason: Why.
        """
        service = self._services.get(instance.service)
        was_healthy = instance.is_healthy
        if service is None or not service.put_mark(source, instance, mark):
            return False
        if instance.is_healthy != was_healthy:
            logger.warning(
                "instance %s of service %s is %s: %s",
                instance.id,
                service.name,
                "healthy again" if instance.is_healthy else "unhealthy",
                reason,
                extra={"service": service.name, "instance": instance.id, "source": source},
            )
        self._tell(service, instance)
        return True

    def forget_marks(self, source: str) -> None:
        """Forget what everybody said whose name begins with ``source``: nobody is left to take it back."""
        for service in list(self._populated):
            if service.forget_marks(source):
                self._tell(service)

    def _tell(self, service: Service, instance: Instance | None = None) -> None:
        self._keep(service)
        if self._changed is not None:
            self._changed(service, instance)

    def _keep(self, service: Service) -> None:
        if service.instances:
            self._populated.add(service)
        else:
            self._populated.discard(service)


class _HeardFrom:
    """The directory as one component sees it.

    Args:
        directory: The directory.
        source: What the component is known as.
    """

    def __init__(self, directory: ServiceDirectory, source: str) -> None:
        self._directory = directory
        self._source = source
        self.services = directory.services
        self.instances = directory.instances
        self.marks = directory.marks

    def mark(self, instance: Instance, *, is_healthy: bool, reason: str, share_percent: int = 100) -> None:
        """Say whether ``instance`` works."""
        self._directory.mark(
            instance, is_healthy=is_healthy, reason=reason, share_percent=share_percent, source=self._source
        )


def _share_percent(mark: Mark | None) -> int:
    return mark.share_percent if mark is not None else 100


def _without(marks: Marks, source: str) -> Marks:
    return {each: mark for each, mark in marks.items() if each != source}


def _identity(endpoint: Endpoint) -> _Identity:
    return endpoint.scheme, endpoint.address, endpoint.port


if TYPE_CHECKING:
    _: type[Directory] = ServiceDirectory
    __: type[Directory] = _HeardFrom
