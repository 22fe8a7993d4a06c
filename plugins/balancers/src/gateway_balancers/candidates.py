"""Who takes traffic, and how much of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway import Instance

__all__ = ["candidates", "weight_of"]


def candidates(instances: Sequence[Instance]) -> Sequence[Instance]:
    """Return the instances that take traffic: those with a weight, or all of them if none has one.

    Every balancer leaves instances of weight 0 alone, also those that do not look at weights otherwise: an operator
    who writes 0 wants an instance to run dry. The exception keeps a service up of which everything was set to 0.
    """
    taking = tuple(instance for instance in instances if instance.weight > 0)
    return taking or instances


def weight_of(candidate: Instance) -> int:
    """Return the weight of a candidate, at least 1: candidates of weight 0 are all alike."""
    return candidate.weight or 1
