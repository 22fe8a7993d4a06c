"""What loading a configuration results in."""

from __future__ import annotations

import dataclasses
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from gateway.config.budgets import BudgetConfig
from gateway.config.mask import mask
from gateway.interfaces import SourcedRule
from gateway.routing import RouteEntry

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config.access import RouteAuth
    from gateway.config.model import GatewayConfig, RuleConfig
    from gateway.config.places import Block
    from gateway.config.shape import Shape
    from gateway.errors import Problem
    from gateway.interfaces import Route
    from gateway.pluginhost import Plugin, PluginHost

__all__ = ["Configuration", "Configured", "ConfiguredRule", "OnError", "SourcedRules", "Verdict"]

OnError = Literal["deny", "allow"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Configured:
    """An offer that is on, with its effective configuration.

    Within one ``Configuration`` equal ones are identical, so that components can be shared by identity.

    Attributes:
        plugin: Whose it is.
        registration: The offer.
        config: Its effective configuration, an instance of ``registration.config``.
        where: Where its block stands; of several equal ones the first.
        on_error: What happens to an exchange in which it fails.
        is_shadow: Whether it is only watched (``mode: shadow``).
        budget: What a policy may take, and when it is put aside.
    """

    plugin: Plugin
    registration: Any  # of the class that goes with the tuple it is in: policies have a stage, limiters have none
    config: Any  # an instance of registration.config, which only the plugin knows
    where: str
    on_error: OnError = "deny"
    is_shadow: bool = False
    budget: BudgetConfig = dataclasses.field(default_factory=BudgetConfig)

    @property
    def name(self) -> str:
        """The name of the offer."""
        return str(self.registration.name)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ConfiguredRule:
    """A rule and everything that is on for it.

    Attributes:
        rule: As configured, with its id.
        route: As policies see it.
        matches: Which requests it is for; the target is the rule's position in the configuration.
        rewrite: Maps the matched path to the forwarded one; ``None`` leaves it.
        policies: In pipeline order, outermost first.
        authenticators: In the order they are tried; empty if ``auth.skip``.
        limiters: By name.
        balancer: Chooses the instance.
        auth: Who may use the route.
        where: Where the rule stands.
        source: The route source that found it; empty if it stands in the file.
    """

    rule: RuleConfig
    route: Route
    matches: RouteEntry[int]
    rewrite: Callable[[str], str] | None
    policies: tuple[Configured, ...]
    authenticators: tuple[Configured, ...]
    limiters: tuple[Configured, ...]
    balancer: Configured
    auth: RouteAuth
    where: str
    source: str = ""

    def entry(self, target: T) -> RouteEntry[T]:
        """Return which requests the rule is for, leading to ``target``."""
        entry = self.matches
        return RouteEntry(
            id=entry.id,
            pattern=entry.pattern,
            target=target,
            hosts=entry.hosts,
            methods=entry.methods,
            headers=entry.headers,
            query=entry.query,
            priority=entry.priority,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcedRules:
    """All rules of one route source.

    Attributes:
        source: Its name.
        rules: What it published, in the order that decides between them.
    """

    source: str
    rules: tuple[SourcedRule, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Verdict:
    """What loading made of a rule that a route source published.

    Attributes:
        source: The name of the source.
        rule: As it was published.
        block: As it is served, with the operator's defaults; ``None`` if it is left out.
        problems: Why it is left out, in one line each.
    """

    source: str
    rule: SourcedRule
    block: Block | None = None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Configuration:
    """A whole configuration, valid and ready to be built.

    Attributes:
        path: The file; ``None`` if there is none.
        text: What the file held when it was read; empty if there is none.
        gateway: The core's own part.
        host: The plugins.
        adapters: The adapters that are on.
        connectors: The connectors that are on.
        discovery: The discovery providers that are on.
        health_checkers: The health checkers that are on.
        observers: The observers that are on.
        admin_routes: The endpoints that are on.
        route_sources: The route sources that are on, by name.
        edge_policies: The gateway-wide policies of the EDGE stage, for requests that no route matches, in pipeline
            order.
        rules: In the order of the file, then those of route sources.
        warnings: What is odd but does no harm.
        data: Everything under ``gateway``, after all layers.
        shape: What the models say of ``data``.
        verdicts: What became of the rules of route sources, in their order.
        id: Tells what was read apart from what is read another time; rules of route sources do not change it.
    """

    path: Path | None
    text: str = dataclasses.field(repr=False)
    gateway: GatewayConfig
    host: PluginHost
    adapters: tuple[Configured, ...]
    connectors: tuple[Configured, ...]
    discovery: tuple[Configured, ...]
    health_checkers: tuple[Configured, ...]
    observers: tuple[Configured, ...]
    admin_routes: tuple[Configured, ...]
    route_sources: tuple[Configured, ...]
    edge_policies: tuple[Configured, ...]
    rules: tuple[ConfiguredRule, ...]
    warnings: tuple[Problem, ...]
    data: Block = dataclasses.field(repr=False)
    shape: Shape = dataclasses.field(repr=False)
    verdicts: tuple[Verdict, ...] = ()
    id: str = dataclasses.field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def folder(self) -> Path:
        """What relative paths in the configuration are relative to."""
        return self.path.absolute().parent if self.path is not None else Path.cwd()

    @property
    def sourced(self) -> tuple[SourcedRules, ...]:
        """The rules of route sources that are served, as they were published."""
        accepted: dict[str, list[SourcedRule]] = {}
        for verdict in self.verdicts:
            if verdict.block is not None:
                plain = SourcedRule(rule=dict(verdict.rule.rule), where=verdict.rule.where)
                accepted.setdefault(verdict.source, []).append(plain)
        return tuple(SourcedRules(source=source, rules=tuple(rules)) for source, rules in accepted.items())

    @property
    def raw_sourced(self) -> dict[str, list[dict[str, Any]]]:
        """The rules that are served for each route source, like ``raw``."""
        shape = self.shape.at(("router", "rules", 0))
        found: dict[str, list[dict[str, Any]]] = {}
        for verdict in self.verdicts:
            if (block := verdict.block) is not None:
                entry = {"where": block.place.source, "rule": mask(block, shape, block.place)}
                found.setdefault(verdict.source, []).append(entry)
        return found

    @property
    def raw(self) -> dict[str, Any]:
        """The configuration in ordinary dictionaries and lists, after all layers, with secrets masked."""
        masked: dict[str, Any] = mask(self.data, self.shape, self.data.place)
        return masked
