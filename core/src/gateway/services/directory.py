"""The directory: every service, fed by what discovery publishes and what health checkers say."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from gateway.interfaces import Mark
from gateway.services.service import NO_MARKS, Service
from gateway.services.slices import SlicedWork

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from gateway.interfaces import Directory, Endpoint, Instance
    from gateway.services.change import Change, Published

__all__ = ["ServiceDirectory", "worker_source"]

logger = logging.getLogger("gateway.services")

AT_ONCE = 1000
"""Endpoints up to which a refresh is not worth slicing: a few milliseconds."""


def worker_source(worker: int, source: str) -> str:
    """Return what a component of a worker is known as outside of it; without a name, how all of these begin."""
    return f"worker {worker}: {source}"


class ServiceDirectory:
    """All services. Implements ``gateway.interfaces.Directory``; used from one event loop.

    Args:
        changed: Called with the service after every change, and with the instance if only what is said against that one
            changed; the control plane tells the workers so. ``Service.changes()`` says what a refresh changed.
            What it has to do then it may return, to be done in steps; the next refresh waits for it.
    """

    def __init__(self, changed: Callable[[Service, Instance | None], Iterator[None] | None] | None = None) -> None:
        # Routes hold the services they need, and the directory those that have instances; the others are forgotten.
        self._services: WeakValueDictionary[str, Service] = WeakValueDictionary()
        self._populated: set[Service] = set()
        self._changed = changed
        self._work = SlicedWork()

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
        """Replace everything ``provider`` published before by ``snapshot``: at once if it is small.

        A large one is worked through between requests, which the instances serve meanwhile that were known before; see
        ``settled``. If the same provider publishes again before it was begun, it is left out.
        """
        before = sum(service.count(provider) for service in self._populated)
        is_large = max(before, sum(map(len, snapshot.values()))) > AT_ONCE
        self._work.do(provider, self._refresh(provider, snapshot), is_large=is_large)

    async def settled(self) -> None:
        """Wait until everything is there that has been published so far."""
        await self._work.settled()

    def _refresh(self, provider: str, snapshot: Mapping[str, Sequence[Endpoint]]) -> Iterator[None]:
        for name in {*snapshot, *(service.name for service in self._populated)}:
            service = self.service(name)
            if (yield from service.refresh(provider, snapshot.get(name, ()))):
                logger.info(
                    "service %s: %d of %d instances available",
                    name,
                    len(service.available),
                    len(service.instances),
                    extra={"service": name, "provider": provider},
                )
                self._keep(service)
                yield from (self._changed(service, None) or ()) if self._changed is not None else ()

    def withdraw(self, provider: str) -> None:
        """Forget everything ``provider`` published: the configuration does not use it any more."""
        self.publish(provider, {})

    def take_over(self, name: str, published: Published) -> None:
        """Copy a service of the control plane; in workers, before they serve."""
        # What came before is older.
        self._work.clear()
        service = self.service(name)
        service.take_over(published)
        self._keep(service)

    def take_change(self, name: str, change: Change) -> None:
        """Follow the control plane's service; in workers."""
        self._work.do("", self._follow(name, change), is_large=len(change.put) + len(change.gone) > AT_ONCE)

    def take_marks(self, name: str, endpoint: Endpoint, marks: Mapping[str, Mark]) -> None:
        """Copy what the control plane knows to be said against an instance; in workers."""
        # Not before the change that brings the instance.
        self._work.do("", self._follow_marks(name, endpoint, marks), is_large=False)

    def _follow(self, name: str, change: Change) -> Iterator[None]:
        service = self.service(name)
        yield from service.take_change(change)
        self._keep(service)

    def _follow_marks(self, name: str, endpoint: Endpoint, marks: Mapping[str, Mark]) -> Iterator[None]:
        service = self.service(name)
        instance = service.instance(endpoint)
        if instance is not None:
            service.take_marks(instance, marks)
        yield from ()

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
            for instance in service.forget_marks(source):
                self._tell(service, instance)

    def _tell(self, service: Service, instance: Instance) -> None:
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


if TYPE_CHECKING:
    _: type[Directory] = ServiceDirectory
    __: type[Directory] = _HeardFrom
