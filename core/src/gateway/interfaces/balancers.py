"""Balancers: which instance is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from gateway.deprecation import since

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.exchange import Exchange
    from gateway.interfaces.services import Instance

__all__ = ["Balancer"]


@since("0.1")
class Balancer(Protocol):
    """Chooses the instance for an attempt. One balancer per service and route.

    It may define ``wrap(next, route)`` too, as a policy does, and then stands around every attempt, innermost: to tell
    the client where it belongs, say. What it makes awaits nothing but ``next``.
    """

    def select(self, instances: Sequence[Instance], exchange: Exchange, /) -> Instance:
        """Return one of ``instances``.

        Synchronous and on the hot path: O(1) or O(log n). ``instances`` holds healthy ones only, is never empty, is
        never changed in place, and stays the same object until the set of instances, their weights or their health
        change: a balancer keeps what it derives from the list and compares by ``is``.
        """
