"""Who takes traffic, and how much of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from gateway import Instance

    Take = Callable[[Sequence[Instance]], Sequence[Instance]]
    """Returns those of the healthy instances that take traffic."""

__all__ = ["Locality", "candidates", "weight_of"]

MIN_NEAR_PERCENT = 30
"""How much of the weight of a group must be near for the rest of it to be left alone. Fewer would be overrun: if zones
are alike, a third of three of them is what one has."""


def candidates(instances: Sequence[Instance]) -> Sequence[Instance]:
    """Return the instances that take traffic: those with a weight, or all of them if none has one.

    Every balancer leaves instances of weight 0 alone, also those that do not look at weights otherwise: an operator
    who writes 0 wants an instance to run dry. The exception keeps a service up of which everything was set to 0.

    Of those only the group with the lowest ``metadata.priority`` takes traffic (0 where there is none); the next one
    takes it when nobody of the first is left, as backup servers do in nginx and HAProxy.
    """
    taking = tuple(instance for instance in instances if instance.weight > 0) or instances
    if not any("priority" in instance.endpoint.metadata for instance in taking):
        return taking
    first = min(map(_priority, taking))
    return tuple(instance for instance in taking if _priority(instance) == first)


class Locality:
    """Prefers instances near the gateway: those of its zone, else of its region, else all.

    Args:
        zone: The gateway's zone, compared with ``metadata.zone``; empty if it is not known.
        region: The gateway's region, compared with ``metadata.region``; empty if it is not known.
    """

    def __init__(self, zone: str, region: str) -> None:
        self._places = [(key, value) for key, value in (("zone", zone), ("region", region)) if value]

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Locality:
        """Return where the environment variables ``GATEWAY_ZONE`` and ``GATEWAY_REGION`` say the gateway is."""
        return cls(environment.get("GATEWAY_ZONE", ""), environment.get("GATEWAY_REGION", ""))

    def candidates(self, instances: Sequence[Instance]) -> Sequence[Instance]:
        """Return the instances that take traffic, near ones alone where there are enough of them."""
        taking = candidates(instances)
        for key, value in self._places:
            near = tuple(each for each in taking if str(each.endpoint.metadata.get(key, "")) == value)
            if near and _weight(near) * 100 >= MIN_NEAR_PERCENT * _weight(taking):
                return near
        return taking


def weight_of(candidate: Instance) -> int:
    """Return the weight of a candidate, at least 1: candidates of weight 0 are all alike."""
    return candidate.weight or 1


def _weight(instances: Iterable[Instance]) -> int:
    return sum(map(weight_of, instances))


def _priority(instance: Instance) -> int:
    value = instance.endpoint.metadata.get("priority", 0)
    try:
        return int(value)  # type: ignore[call-overload, no-any-return]  # a label may be anything; then it says nothing
    except (TypeError, ValueError):
        return 0
