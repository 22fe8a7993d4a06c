"""The balancer ``consistent_hash``: what belongs together goes to the same instance."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from gateway.hash_ring import HashRing
from gateway_balancers.candidates import candidates, weight_of
from gateway_balancers.hash_keys import key_finder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway import Exchange, Instance
    from gateway_balancers.candidates import Take

__all__ = ["ConsistentHash", "ServiceRings"]

COUNT_EVERY = 8
"""All attempts in flight are counted once in so many selections for each eighth of all instances: a constant cost."""


class ConsistentHash:
    """Sends equal keys to the same instance, in O(1), in every worker and gateway.

    When an instance goes, only its keys move, evenly to the others; when it comes back, they come back. A retry, and
    what is too much for an instance, goes on around the ring, so that it is the same one each time.

    With a bound, no instance has more in flight than that many times the average for its weight (consistent hashing
    with bounded loads: Mirrokni, Thorup and Zadimoghaddam 2016; HAProxy's ``hash-balance-factor``). The average is
    counted now and then, and may be some selections old.

    Args:
        keys: What decides, tried in order; see ``hash_keys``.
        bound: How many times the average an instance may have in flight; 0 is no bound.
        rings: What it shares with the balancers of other routes; ``None`` shares nothing.
    """

    def __init__(self, keys: Sequence[str], bound: float, rings: ServiceRings | None = None) -> None:
        self._finders = [key_finder(key) for key in keys]
        self._bound = bound
        self._rings = rings if rings is not None else ServiceRings()
        self._instances: Sequence[Instance] = ()
        self._ring: ServiceRing
        self._in_flight = 0
        self._count_in = 0

    def select(self, instances: Sequence[Instance], exchange: Exchange) -> Instance:
        """Return the instance that the request belongs to."""
        if instances is not self._instances:
            self._adopt(instances)
        key = self._key(exchange)
        excluded = exchange.excluded
        if not self._bound:
            if not excluded:
                return self._ring.owner(key)
            return self._ring.find(key, lambda instance: instance not in excluded)
        return self._find_within_bound(key, excluded)

    def _key(self, exchange: Exchange) -> bytes:
        for find in self._finders:
            key = find(exchange.request)
            if key is not None:
                return key.encode("utf-8", "surrogateescape")
        # Nothing to go by: everybody's request belongs somewhere else.
        return exchange.request.id.encode()

    def _find_within_bound(self, key: bytes, excluded: Sequence[Instance]) -> Instance:
        self._count_in -= 1
        if self._count_in <= 0:
            candidates = self._ring.candidates
            self._count_in = len(candidates) // COUNT_EVERY
            self._in_flight = sum([instance.in_flight for instance in candidates])
        self._in_flight += 1
        each = self._bound * self._in_flight / self._ring.weight

        def has_room(instance: Instance) -> bool:
            return instance.in_flight < ceil(each * weight_of(instance)) and instance not in excluded

        return self._ring.find(key, has_room)

    def _adopt(self, instances: Sequence[Instance]) -> None:
        self._instances = instances
        self._ring = self._rings.ring(instances[0].service)
        self._ring.adopt(instances)
        self._count_in = 0


class ServiceRing(HashRing):
    """The ring of a service.

    Args:
        take: Says who takes traffic.

    Attributes:
        candidates: Those who do.
        weight: The sum of their weights.
    """

    def __init__(self, take: Take) -> None:
        super().__init__()
        self._take = take
        self._instances: Sequence[Instance] = ()
        self.candidates: Sequence[Instance] = ()
        self.weight = 0

    def adopt(self, instances: Sequence[Instance]) -> None:
        """Hold those of ``instances`` that take traffic; does nothing if they are the ones it was given last."""
        if instances is not self._instances:
            self._instances = instances
            self.candidates = self._take(instances)
            self.weight = sum(map(weight_of, self.candidates))
            self.become(self.candidates)


class ServiceRings:
    """The rings of all services, so that all routes to a service share one: it takes memory, and time to make.

    Args:
        take: Says who takes traffic.
    """

    def __init__(self, take: Take = candidates) -> None:
        self._take = take
        self._rings: WeakValueDictionary[str, ServiceRing] = WeakValueDictionary()

    def ring(self, service: str) -> ServiceRing:
        """Return the ring of ``service``; it is forgotten when nobody holds it."""
        ring = self._rings.get(service)
        if ring is None:
            ring = self._rings[service] = ServiceRing(self._take)
        return ring


if TYPE_CHECKING:
    from gateway.interfaces import Balancer

    _: type[Balancer] = ConsistentHash
