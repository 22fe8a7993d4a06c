"""Routes, and the rules that somebody else than the operator writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from gateway.deprecation import since

if TYPE_CHECKING:
    from gateway.interfaces.services import DiscoveryProvider

__all__ = ["CarriedRouteSource", "PublishRules", "Route", "RouteSource", "RuleOutcome", "SourcedRule"]


@since("0.1")
@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A rule of the configuration, as policies see it.

    Attributes:
        id: Unique in the configuration.
        path: The pattern.
        service: The name of the service; empty for routes that a plugin answers itself.
        protocol: ``http``, ``websocket``, ``sse``, ``grpc``: which connector serves it.
        timeout_s: How long an instance may take to answer, and to stay silent in mid-body; ``None`` has no limit.
        preserve_host: Whether the client's ``Host`` reaches the service.
        allow_upgrade: Protocols (``websocket``) the client may change to, lower-case.
        metadata: Free-form values from the rule, for plugins.
    """

    id: str
    path: str
    service: str = ""
    protocol: str = "http"
    timeout_s: float | None = None
    preserve_host: bool = True
    allow_upgrade: frozenset[str] = frozenset()
    metadata: Mapping[str, object] = field(default_factory=dict)


@since("0.1")
@dataclass(frozen=True, slots=True, kw_only=True)
class SourcedRule:
    """A rule that somebody else than the operator wrote: a container's labels, an object of a cluster, a row.

    Attributes:
        rule: Its keys and values as they would stand in the configuration file: text, numbers, truth values, ``None``,
            lists, and mappings with text as keys. Not changed any more once it is published.
        where: Where it comes from, for people: ``container web-1``.
        problem: Why no rule could be made of it, so that it is reported like one that cannot be served; empty is none.
    """

    rule: Mapping[str, object]
    where: str
    problem: str = ""


@since("0.1")
@dataclass(frozen=True, slots=True, kw_only=True)
class RuleOutcome:
    """What became of a rule that a source published.

    Attributes:
        rule: The very object that was published.
        is_accepted: Whether it is a rule that can be served; others are left out.
        is_served: Whether it is in force.
        problems: Why it is not; one line each.
    """

    rule: SourcedRule
    is_accepted: bool
    is_served: bool
    problems: tuple[str, ...] = ()


PublishRules = Callable[[Sequence[SourcedRule]], None]
"""Hands all rules of a source over; those it published before are replaced.

Of two that conflict the first is served, so their order is to be the same every time: by age, or by name.
"""


@since("0.1")
class RouteSource(Protocol):
    """Finds rules beside those of the file. Runs in the control plane, as one supervised task.

    It may define ``settled(outcomes)`` too, a function that is told what became of its rules, a ``RuleOutcome`` for
    each, whenever the gateway has taken them over or could not; synchronous, returns at once.
    """

    async def watch(self, publish: PublishRules, /) -> None:
        """Publish all rules now and whenever some changed; return when nothing can change any more.

        An exception restarts it after a growing delay; the rules it published last stay in force meanwhile.
        """


@since("0.1")
class CarriedRouteSource(Protocol):
    """What a route source ``over`` a discovery provider builds."""

    def over(self, provider: DiscoveryProvider) -> RouteSource:
        """Return the source whose rules ``provider`` comes across; called once for each provider it is to work with."""
