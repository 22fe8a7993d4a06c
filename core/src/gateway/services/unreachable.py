"""Instances to which no connection comes about: others are asked first, for a while.

One that refuses connections says so at once, and another is asked. One behind a firewall that drops packets, or on a
host that is down, says nothing, and each request that goes there waits for as long as a connection may take.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.exchange import Exchange
    from gateway.interfaces import Balancer, Instance

__all__ = ["Unreachable"]

LEFT_ALONE_S = 10.0
"""How long nobody is sent there; nginx's fail_timeout."""
SLOW_S = 1.0
"""How long a request must have waited for a connection in vain; below, it costs less to find out again."""
NEARLY_ALL = 0.9
"""Or this share of what its route allows, where that is less."""
MARGIN_S = 0.1
"""What else a request may have spent there, if it was still waiting for the connection when it ended."""
MOST = 64
"""Of so many at most it is known: more are no exception any more, and each costs the choice among the others."""


class Unreachable(dict["Instance", float]):
    """Instances of a service that could not be reached, each with the monotonic time until which it is left alone.

    After that time it is offered again, but to one exchange in ``LEFT_ALONE_S``: whoever is sent there may wait for
    nothing. Once that one has come through it is like any other.
    """

    def note(
        self, instance: Instance, connect_s: float, duration_s: float, now_s: float, timeout_s: float | None
    ) -> None:
        """Leave an instance alone, if an attempt waited long for a connection to it, and for nothing else.

        How it ended does not matter: most clients go away before a connection has had all the time it may take.

        Args:
            instance: Where the attempt failed.
            connect_s: How long it waited for a connection.
            duration_s: How long it took. One that got its connection, or waited for its turn, took longer than that.
            now_s: Monotonic time.
            timeout_s: How long its route lets it wait for an answer; ``None`` for ever.
        """
        slow_s = SLOW_S if timeout_s is None else min(SLOW_S, NEARLY_ALL * timeout_s)
        if connect_s < slow_s or duration_s - connect_s > MARGIN_S:
            return
        if len(self) >= MOST and instance not in self:
            del self[next(iter(self))]
        self[instance] = now_s + LEFT_ALONE_S

    def select(self, balancer: Balancer, instances: Sequence[Instance], exchange: Exchange, now_s: float) -> Instance:
        """Return what ``balancer`` chooses among the others; any that was not tried yet, if there are no others."""
        before = exchange.excluded
        exchange.excluded = (*before, *self._left_alone(now_s))
        try:
            instance = balancer.select(instances, exchange)
        finally:
            exchange.excluded = before
        if instance in before:
            # All the others are left alone: rather one of these than the same again.
            instance = balancer.select(instances, exchange)
        if instance in self:
            self[instance] = now_s + LEFT_ALONE_S
        return instance

    def _left_alone(self, now_s: float) -> list[Instance]:
        # Whom nobody chose for as long again is gone, or was chosen before it was noted and came through.
        for instance in [each for each, until_s in self.items() if until_s + LEFT_ALONE_S <= now_s]:
            del self[instance]
        return [instance for instance, until_s in self.items() if now_s < until_s]
