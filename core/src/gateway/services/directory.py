"""The directory: what discovery published, merged, with an ``Instance`` that outlives every refresh.

A refresh costs the event loop little at a time, however many instances there are: what was published is compared with
what was known, and new instances are made, in slices between which requests are served, by the old list. Then the new
list takes its place at once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakValueDictionary

from gateway.interfaces import Endpoint, Instance, Mark

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence

    from gateway.interfaces import Directory

    Steps = Generator[None, None, bool]
    """Work in slices; returns whether anything changed."""

__all__ = ["Change", "Published", "Service", "ServiceDirectory", "worker_source"]

logger = logging.getLogger("gateway.services")

T = TypeVar("T")

AT_ONCE = 1000
"""Endpoints up to which a refresh is not worth slicing: a few milliseconds."""
STEP = 128
"""Endpoints between two looks at the clock."""
SLICE_S = 0.002
"""How long the event loop is held up at a time."""

_Identity = tuple[str, str, int]

Marks = dict[str, Mark]
"""What is said against an instance, by who says it."""

PackedEndpoint = tuple[str, str, int, str, int, bool, "Mapping[str, object]"]
"""An endpoint on its way to a worker: pickled and unpickled in a tenth of the time."""


@dataclass(frozen=True, slots=True)
class Change:
    """How the endpoints of a service changed, for workers.

    Attributes:
        put: Those that are new, or are otherwise than before.
        gone: The identities of those that are gone.
        is_last: Whether it is all, or the last piece of it.
    """

    put: tuple[PackedEndpoint, ...] = ()
    gone: tuple[_Identity, ...] = ()
    is_last: bool = True

    @classmethod
    def of(cls, pieces: Iterable[Change]) -> Change:
        """Put pieces together."""
        pieces = list(pieces)
        return cls(
            tuple([endpoint for piece in pieces for endpoint in piece.put]),
            tuple([identity for piece in pieces for identity in piece.gone]),
        )

    def pieces(self, size: int) -> Iterator[Change]:
        """Yield changes of at most so many endpoints each that make up this one."""
        count = max(len(self.put), len(self.gone), 1)
        for begin in range(0, count, size):
            end = begin + size
            yield Change(self.put[begin:end], self.gone[begin:end], end >= count)


Published = tuple[Change, dict[_Identity, Marks]]
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

    __slots__ = (
        "__weakref__",
        "_altered",
        "_by_identity",
        "_gone",
        "_is_ramping",
        "_marks",
        "_published",
        "available",
        "instances",
        "name",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.instances: tuple[Instance, ...] = ()
        self.available: tuple[Instance, ...] = ()
        # What the last refresh changed.
        self._altered: tuple[Endpoint, ...] = ()
        self._gone: tuple[_Identity, ...] = ()
        self._by_identity: dict[_Identity, Instance] = {}
        self._published: dict[str, dict[_Identity, Endpoint]] = {}
        self._marks: dict[_Identity, Marks] = {}
        self._is_ramping = False

    # What there is. One refresh at a time: what works in slices is not interrupted by another one.

    def publish(self, provider: str, endpoints: Sequence[Endpoint]) -> bool:
        """Take over what ``provider`` says about this service, at once; returns whether anything changed."""
        return done_at_once(self.refresh(provider, endpoints))

    def refresh(self, provider: str, endpoints: Sequence[Endpoint]) -> Steps:
        """Take over what ``provider`` says about this service, in slices."""
        known = self._published.get(provider, {})
        found: dict[_Identity, Endpoint] = {}
        for each in _in_steps(endpoints):
            if each is None:
                yield
                continue
            identity = each.scheme, each.address, each.port
            before = known.get(identity)
            # Of what is listed twice the first counts. What is equal stays the same object, and is not looked at again.
            found.setdefault(identity, before if before is not None and before == each else each)
        if found == known:
            return False
        return (yield from self._become({**self._published, provider: found}))

    def take_change(self, change: Change) -> Steps:
        """Follow a change of the control plane's service."""
        endpoints = dict(self._published.get("control", {}))
        for identity in _in_steps(change.gone):
            if identity is None:
                yield
                continue
            endpoints.pop(identity, None)
        for each in _in_steps(change.put):
            if each is None:
                yield
                continue
            endpoint = _unpacked(each)
            endpoints[endpoint.scheme, endpoint.address, endpoint.port] = endpoint
        return (yield from self._become({"control": endpoints}))

    def _become(self, published: dict[str, dict[_Identity, Endpoint]]) -> Steps:
        """Take over what all providers say."""
        published = {provider: endpoints for provider, endpoints in published.items() if endpoints}
        known: dict[_Identity, Instance] = {}
        altered: list[tuple[Instance, Endpoint]] = []
        for each in _in_steps(_merged(published).items()):
            if each is None:
                yield
                continue
            identity, endpoint = each
            instance = self._by_identity.get(identity)
            if instance is None:
                instance = Instance(self.name, endpoint)
                altered.append((instance, endpoint))
            elif instance.endpoint is not endpoint and instance.endpoint != endpoint:
                altered.append((instance, endpoint))
            known[identity] = instance
        # From here on without a pause.
        self._published = published
        gone = self._by_identity.keys() - known.keys()
        if not gone and not altered:
            return False
        if self._marks:
            self._marks = {identity: marks for identity, marks in self._marks.items() if identity in known}
        self._by_identity = known
        for instance, endpoint in altered:
            if self._marks or self._is_ramping:
                self._assess(instance, endpoint)
            else:
                instance.endpoint, instance.is_healthy, instance.weight = endpoint, endpoint.is_healthy, endpoint.weight
        self.instances = tuple(known.values())
        self._altered = tuple([endpoint for _, endpoint in altered])
        self._gone = tuple(gone)
        self._offer()
        return True

    def change(self) -> Change:
        """Return how its endpoints changed last."""
        return Change(tuple([_packed(endpoint) for endpoint in self._altered]), self._gone)

    def count(self, provider: str) -> int:
        """Return how many endpoints ``provider`` has published."""
        return len(self._published.get(provider, ()))

    def instance(self, endpoint: Endpoint) -> Instance | None:
        """Return the instance at the place of ``endpoint``, if it is known."""
        return self._by_identity.get(_identity(endpoint))

    def published(self) -> Published:
        """Return what a worker needs to know that knows nothing."""
        return Change(tuple(_packed(instance.endpoint) for instance in self.instances)), dict(self._marks)

    def take_over(self, published: Published) -> None:
        """Become what ``published`` of the control plane's service says."""
        change, marks = published
        self._published = {}
        self._marks = dict(marks)
        done_at_once(self.take_change(change))
        for instance in self.instances:
            self._assess(instance, instance.endpoint)
        self._offer()

    # What is said about it.

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
        if self._put_marks(instance, marks):
            self._offer()

    def forget_marks(self, source: str) -> list[Instance]:
        """Forget what everybody said whose name begins with ``source``; returns about whom anybody said anything."""
        about = []
        has_changed = False
        for identity, marks in list(self._marks.items()):
            kept = {each: mark for each, mark in marks.items() if not each.startswith(source)}
            if len(kept) < len(marks):
                instance = self._by_identity[identity]
                has_changed |= self._put_marks(instance, kept)
                about.append(instance)
        if has_changed:
            self._offer()
        return about

    def _put_marks(self, instance: Instance, marks: Mapping[str, Mark]) -> bool:
        identity = _identity(instance.endpoint)
        if marks:
            self._marks[identity] = dict(marks)
        else:
            self._marks.pop(identity, None)
        return self._assess(instance, instance.endpoint)

    def _assess(self, instance: Instance, endpoint: Endpoint) -> bool:
        """Say what the instance is like now; returns whether it was otherwise."""
        marks = self._marks.get(_identity(endpoint)) if self._marks else None
        share_percent = min([100, *(mark.share_percent for mark in marks.values())]) if marks else 100
        before = instance.endpoint, instance.is_healthy, instance.share_percent
        is_healthy = endpoint.is_healthy and share_percent > 0
        instance.endpoint, instance.is_healthy, instance.share_percent = endpoint, is_healthy, share_percent
        if not self._is_ramping:
            instance.weight = endpoint.weight
        return before != (endpoint, is_healthy, share_percent)

    def _offer(self) -> None:
        """Offer the healthy ones to balancers, in a tuple they have not seen."""
        available = tuple([instance for instance in self.instances if instance.is_healthy])
        was_ramping = self._is_ramping
        self._is_ramping = bool(self._marks) and any(instance.share_percent < 100 for instance in available)
        if self._is_ramping or was_ramping:
            # Weights are whole numbers, and only their proportions count.
            for instance in self.instances:
                weight = instance.endpoint.weight
                instance.weight = weight * instance.share_percent if self._is_ramping else weight
        self.available = available

    def __repr__(self) -> str:
        return f"<Service {self.name} {len(self.available)} of {len(self.instances)} available>"


class ServiceDirectory:
    """All services. Implements ``gateway.interfaces.Directory``; used from one event loop.

    Args:
        changed: Called with the service after every change, and with the instance if only what is said against that one
            changed; the control plane tells the workers so. ``Service.change()`` says what a refresh changed.
    """

    def __init__(self, changed: Callable[[Service, Instance | None], None] | None = None) -> None:
        # Routes hold the services they need, and the directory those that have instances; the others are forgotten.
        self._services: WeakValueDictionary[str, Service] = WeakValueDictionary()
        self._populated: set[Service] = set()
        self._changed = changed
        # What is still to be done, by whom it was said; workers' names for it are empty.
        self._refreshes: deque[tuple[str, Iterator[None]]] = deque()

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
        self._work_on(provider, self._refresh(provider, snapshot), is_large=is_large)

    async def settled(self) -> None:
        """Wait until everything is there that has been published so far."""
        last = self._refreshes[-1] if self._refreshes else None
        while last in self._refreshes:  # noqa: ASYNC110 - each turn of the event loop does a slice of it
            await asyncio.sleep(0)

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
                self._tell(service)

    def _work_on(self, source: str, steps: Iterator[None], *, is_large: bool) -> None:
        """Do something now, if it is small and nothing is to be done before it."""
        if self._refreshes or (is_large and _has_loop()):
            self._queue(source, steps)
        else:
            for _ in steps:
                pass

    def _queue(self, source: str, steps: Iterator[None]) -> None:
        queue = self._refreshes
        if not queue:
            asyncio.get_running_loop().call_soon(self._do_slice)
        # The first one may have begun.
        outdated = [each for each in islice(queue, 1, None) if source and each[0] == source]
        for each in outdated:
            queue.remove(each)
        queue.append((source, steps))

    def _do_slice(self) -> None:
        queue = self._refreshes
        until_s = time.monotonic() + SLICE_S
        while queue and time.monotonic() < until_s:
            try:
                next(queue[0][1])
            except StopIteration:
                queue.popleft()
            except Exception:
                logger.exception("what %s published could not be taken over", queue[0][0] or "the control plane")
                queue.popleft()
        if queue:
            asyncio.get_running_loop().call_soon(self._do_slice)

    def withdraw(self, provider: str) -> None:
        """Forget everything ``provider`` published: the configuration does not use it any more."""
        self.publish(provider, {})

    def take_over(self, name: str, published: Published) -> None:
        """Copy a service of the control plane; in workers, before they serve."""
        # What came before is older.
        self._refreshes.clear()
        service = self.service(name)
        service.take_over(published)
        self._keep(service)

    def take_change(self, name: str, change: Change) -> None:
        """Follow the control plane's service; in workers."""
        self._work_on("", self._follow(name, change), is_large=len(change.put) + len(change.gone) > AT_ONCE)

    def take_marks(self, name: str, endpoint: Endpoint, marks: Mapping[str, Mark]) -> None:
        """Copy what the control plane knows to be said against an instance; in workers."""
        # Not before the change that brings the instance.
        self._work_on("", self._follow_marks(name, endpoint, marks), is_large=False)

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


def done_at_once(steps: Steps) -> bool:
    """Do all of it now; returns whether anything changed."""
    try:
        while True:
            next(steps)
    except StopIteration as stop:
        return bool(stop.value)


def _in_steps(items: Iterable[T]) -> Iterator[T | None]:
    """Yield ``items``, and ``None`` now and then, for a look at the clock."""
    for number, item in enumerate(items, 1):
        yield item
        if not number % STEP:
            yield None


def _merged(published: Mapping[str, dict[_Identity, Endpoint]]) -> dict[_Identity, Endpoint]:
    """Return the endpoints of all providers; of two that know the same, the first decides."""
    if len(published) == 1:
        return next(iter(published.values()))
    merged: dict[_Identity, Endpoint] = {}
    for endpoints in published.values():
        for identity, endpoint in endpoints.items():
            merged.setdefault(identity, endpoint)
    return merged


def _has_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _packed(endpoint: Endpoint) -> PackedEndpoint:
    return (
        endpoint.scheme,
        endpoint.address,
        endpoint.port,
        endpoint.id,
        endpoint.weight,
        endpoint.is_healthy,
        endpoint.metadata,
    )


def _unpacked(packed: PackedEndpoint) -> Endpoint:
    scheme, address, port, name, weight, is_healthy, metadata = packed
    return Endpoint(
        address=address, port=port, scheme=scheme, id=name, weight=weight, is_healthy=is_healthy, metadata=metadata
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
