"""Services: their instances, what finds these, and what says which of them work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gateway.deprecation import since

__all__ = ["Directory", "DiscoveryProvider", "Endpoint", "HealthChecker", "Instance", "Mark", "Publish"]


@since("0.1")
@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An instance as discovery publishes it.

    Attributes:
        address: Host name or IP address, IPv6 without brackets.
        port: TCP port.
        scheme: ``http``, ``https``, or one that a connector registered.
        id: A name for people; empty becomes ``address:port``.
        weight: Its share of the traffic; at least 0, where 0 takes none.
        is_healthy: Whether the source says it works.
        metadata: Anything else the source knows.
    """

    address: str
    port: int
    scheme: str = "http"
    id: str = ""
    weight: int = 1
    is_healthy: bool = True
    metadata: Mapping[str, object] = field(default_factory=dict)


@since("0.1")
class Instance:
    """An instance of a service while it is known: its endpoint and what the gateway measures about it.

    Its identity is service, scheme, address and port: it survives refreshes of discovery and reloads, and with it
    its counters and pooled connections.

    Attributes:
        service: The name of the service.
        endpoint: What discovery last said of it.
        scheme: That of the endpoint: which protocol it speaks.
        authority: ``address:port`` as it stands in a ``Host`` field.
        in_flight: How many attempts are under way, bodies included.
        latency_s: The time to the first byte of the last answer, 0.0 before the first; another object with each answer.
        is_healthy: Whether it is offered to balancers.
        weight: Its share of the traffic at the moment, relative to the other instances of the service: that of the
            endpoint, unless a health checker grants some of them less than all of it (see ``Directory.mark``).
        share_percent: How much of the endpoint's weight it is granted: 100, or less in slow start.
        release_listeners: Called with the instance whenever ``in_flight`` went down; for balancers.
        free_connection: A connection that waits for the next request, or ``None``; for its connector, which finds it
            here sooner than in a table of its own. Connectors come and go with reloads: each takes only its own.
    """

    __slots__ = (
        "__weakref__",
        "authority",
        "endpoint",
        "free_connection",
        "in_flight",
        "is_healthy",
        "latency_s",
        "release_listeners",
        "scheme",
        "service",
        "share_percent",
        "weight",
    )

    def __init__(self, service: str, endpoint: Endpoint) -> None:
        self.service = service
        self.endpoint = endpoint
        self.scheme = endpoint.scheme
        host = f"[{endpoint.address}]" if ":" in endpoint.address else endpoint.address
        self.authority = f"{host}:{endpoint.port}"
        self.in_flight = 0
        self.latency_s = 0.0
        self.is_healthy = endpoint.is_healthy
        self.weight = endpoint.weight
        self.share_percent = 100
        self.release_listeners: tuple[Callable[[Instance], None], ...] = ()
        self.free_connection: object | None = None

    @property
    def id(self) -> str:
        """The name for people: as configured, else the authority."""
        return self.endpoint.id or self.authority

    @property
    def label(self) -> str:
        """How logs call it."""
        return f"instance {self.id} of service {self.service}"

    def __repr__(self) -> str:
        health = "" if self.is_healthy else " unhealthy"
        return f"<Instance {self.service}/{self.id} in_flight={self.in_flight}{health}>"


Publish = Callable[[Mapping[str, Sequence[Endpoint]]], None]
"""Hands a whole snapshot, service name to endpoints, to the directory; the provider's earlier one is replaced."""


@since("0.1")
class DiscoveryProvider(Protocol):
    """Finds out which instances exist. Runs in the control plane, as one supervised task."""

    async def watch(self, publish: Publish, /) -> None:
        """Publish a whole snapshot now and whenever something changed; return when nothing can change any more.

        An exception restarts it after a growing delay; the last snapshot stays in force meanwhile.
        """


@since("0.1")
@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What a component has to say against an instance.

    Attributes:
        share_percent: How much of its weight the instance is granted; 0 takes it out.
        reason: Why, for people.
    """

    share_percent: int
    reason: str


@since("0.1")
class Directory(Protocol):
    """All services and their instances; for health checkers and admin routes."""

    def services(self) -> Sequence[str]:
        """Return the names of all known services."""

    def instances(self, service: str) -> Sequence[Instance]:
        """Return the instances of ``service``, unhealthy ones too; empty if the service is unknown."""

    def mark(self, instance: Instance, *, is_healthy: bool, reason: str, share_percent: int = 100) -> None:
        """Say whether ``instance`` works; balancers see it at once, in every worker.

        It is one component's word: an instance takes traffic when nobody says that it does not work, and what one
        component says, another one cannot take back. It is forgotten when the component is not used any more, or its
        worker is gone. Components of one registration speak with one voice, so that a reload changes nothing.

        Args:
            instance: The instance.
            is_healthy: Whether it works.
            reason: Why, for people.
            share_percent: How much of its weight it is granted, from 1 to 100, while it works: less than 100 is a slow
                start. Of several words the least counts.
        """

    def marks(self, instance: Instance) -> Mapping[str, Mark]:
        """Return what is said against ``instance``, by who says it."""


@since("0.1")
class HealthChecker(Protocol):
    """Finds out which instances work. Runs in the control plane, as one supervised task."""

    async def monitor(self, directory: Directory, /) -> None:
        """Watch the instances of ``directory`` and mark them, until cancelled."""
