"""A service: what discovery published of it, merged, with an ``Instance`` that outlives every refresh.

A refresh costs the event loop little at a time, however many instances there are: what was published is compared with
what was known, and new instances are made, in slices between which requests are served, by the old list. Then the new
list takes its place at once.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from gateway.interfaces import Instance
from gateway.services.change import Change, packed, unpacked
from gateway.services.slices import done_at_once, in_steps
from gateway.services.unreachable import Unreachable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from gateway.interfaces import Endpoint, Mark
    from gateway.services.change import Identity, Marks, Published
    from gateway.services.slices import Steps

__all__ = ["NO_MARKS", "Service"]

NO_MARKS: Mapping[str, Mark] = MappingProxyType({})


class Service:
    """A service and its instances. Compiled routes hold on to it, so it stays the same object for good.

    Attributes:
        name: Its name.
        instances: All known instances.
        available: The healthy ones that take traffic; a new tuple whenever something changed, never changed in place.
        unreachable: Those that this process could not reach a moment ago.
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
        "unreachable",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.instances: tuple[Instance, ...] = ()
        self.available: tuple[Instance, ...] = ()
        self.unreachable = Unreachable()
        # What the last refresh changed.
        self._altered: tuple[Endpoint, ...] = ()
        self._gone: tuple[Identity, ...] = ()
        self._by_identity: dict[Identity, Instance] = {}
        self._published: dict[str, dict[Identity, Endpoint]] = {}
        self._marks: dict[Identity, Marks] = {}
        self._is_ramping = False

    # What there is. One refresh at a time: what works in slices is not interrupted by another one.

    def publish(self, provider: str, endpoints: Sequence[Endpoint]) -> bool:
        """Take over what ``provider`` says about this service, at once; returns whether anything changed."""
        return done_at_once(self.refresh(provider, endpoints))

    def refresh(self, provider: str, endpoints: Sequence[Endpoint]) -> Steps:
        """Take over what ``provider`` says about this service, in slices."""
        known = self._published.get(provider, {})
        found: dict[Identity, Endpoint] = {}
        for each in in_steps(endpoints):
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
        for identity in in_steps(change.gone):
            if identity is None:
                yield
                continue
            endpoints.pop(identity, None)
        for each in in_steps(change.put):
            if each is None:
                yield
                continue
            endpoint = unpacked(each)
            endpoints[endpoint.scheme, endpoint.address, endpoint.port] = endpoint
        return (yield from self._become({"control": endpoints}))

    def _become(self, published: dict[str, dict[Identity, Endpoint]]) -> Steps:
        """Take over what all providers say."""
        published = {provider: endpoints for provider, endpoints in published.items() if endpoints}
        known: dict[Identity, Instance] = {}
        altered: list[tuple[Instance, Endpoint]] = []
        for each in in_steps(_merged(published).items()):
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
        gone = self._by_identity.keys() - known.keys()
        yield
        # From here on without a pause.
        self._published = published
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

    def changes(self, size: int) -> Iterator[Change]:
        """Yield how its endpoints changed last, in pieces of at most so many of them, which are made one by one."""
        altered, gone = self._altered, self._gone
        count = max(len(altered), len(gone), 1)
        for begin in range(0, count, size):
            end = begin + size
            put = tuple([packed(endpoint) for endpoint in altered[begin:end]])
            yield Change(put, gone[begin:end], end >= count)

    def count(self, provider: str) -> int:
        """Return how many endpoints ``provider`` has published."""
        return len(self._published.get(provider, ()))

    def instance(self, endpoint: Endpoint) -> Instance | None:
        """Return the instance at the place of ``endpoint``, if it is known."""
        return self._by_identity.get(_identity(endpoint))

    def published(self) -> Published:
        """Return what a worker needs to know that knows nothing."""
        return Change(tuple(packed(instance.endpoint) for instance in self.instances)), dict(self._marks)

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


def _merged(published: Mapping[str, dict[Identity, Endpoint]]) -> dict[Identity, Endpoint]:
    """Return the endpoints of all providers; of two that know the same, the first decides."""
    if len(published) == 1:
        return next(iter(published.values()))
    merged: dict[Identity, Endpoint] = {}
    for endpoints in published.values():
        for identity, endpoint in endpoints.items():
            merged.setdefault(identity, endpoint)
    return merged


def _share_percent(mark: Mark | None) -> int:
    return mark.share_percent if mark is not None else 100


def _without(marks: Marks, source: str) -> Marks:
    return {each: mark for each, mark in marks.items() if each != source}


def _identity(endpoint: Endpoint) -> Identity:
    return endpoint.scheme, endpoint.address, endpoint.port
