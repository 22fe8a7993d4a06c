"""What a request of a route goes through, in order, each link with who put it there, and why it stands there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.cli.describe import pipeline_of
from gateway.cli.settings import block_place
from gateway.interfaces import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.cli.describe import Step
    from gateway.config import Configuration, Configured, ConfiguredRule

__all__ = ["Link", "chain_of"]

_LINE = re.compile(r":\d+$")
MANY = 10
"""More instances than this are counted, and not listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Something a request goes through.

    Attributes:
        name: What it is called.
        kind: What it is: ``policy``, ``authenticator``, ``service``, ``instance``.
        stage: Its stage; empty before and behind the pipeline.
        plugin: Whose it is; empty for what is the core's own.
        where: The line of the configuration that put it there.
        why: Why it is there, and at that place.
    """

    name: str
    kind: str
    stage: str = ""
    plugin: str = ""
    where: str = ""
    why: str = ""


def chain_of(rule: ConfiguredRule, configuration: Configuration) -> list[Link]:
    """Return the links of a rule, the one that sees a request first before all others."""
    return [*_before(configuration), *_pipeline(rule, configuration), *_behind(rule, configuration)]


def _before(configuration: Configuration) -> Iterator[Link]:
    for adapter in configuration.adapters:
        yield _link(adapter, configuration, "accepts connections")
    for observer in configuration.observers:
        yield _link(observer, configuration, "is told of every exchange")


def _link(configured: Configured, configuration: Configuration, why: str) -> Link:
    where = block_place(configured.registration, configuration)
    return Link(
        name=configured.name,
        kind=configured.registration.kind,
        plugin=configured.plugin.distribution,
        where=where,
        why=why if where else f"{why}; on by default",
    )


# The pipeline.


def _pipeline(rule: ConfiguredRule, configuration: Configuration) -> Iterator[Link]:
    steps = pipeline_of(rule)
    edge = [step for step in steps if step.stage is Stage.EDGE]
    for step in edge:
        yield from _step(step, rule, configuration)
    if rule.rewrite is not None:
        why = "stripPrefix and addPrefix: before the policies further in, one of which may have the last word"
        yield Link(name="rewrite", kind="core", where=rule.where, why=why)
    for step in steps[len(edge) :]:
        yield from _step(step, rule, configuration)


def _step(step: Step, rule: ConfiguredRule, configuration: Configuration) -> Iterator[Link]:
    stage = step.stage.name.lower()
    if not step.components:
        yield Link(name=step.label, kind="core", stage=stage, where=rule.where, why="auth.scopes or requiredScopes")
    for number, configured in enumerate(step.components):
        reasons = [_reason(configured, number, step, configuration), step.note]
        if configured.registration.default_on and not _LINE.search(configured.where):
            reasons.append("on by default")
        yield Link(
            name=configured.name,
            kind=configured.registration.kind,
            stage=stage,
            plugin=configured.plugin.distribution,
            where=configured.where,
            why="; ".join(filter(None, reasons)),
        )


def _reason(configured: Configured, number: int, step: Step, configuration: Configuration) -> str:
    kind, stage = configured.registration.kind, step.stage.name.lower()
    if kind == "authenticator":
        return f"stage {stage}; tried as number {number + 1}"
    if kind == "limiter":
        early = "beforeAuthentication: it decides first" if step.stage is Stage.AUTHENTICATE else "limits come first"
        return f"stage {stage}; {early}"
    order = configuration.gateway.pipeline.order.get(stage, ())
    if configured.name in order:
        return f"stage {stage}; number {list(order).index(configured.name) + 1} of gateway.pipeline.order.{stage}"
    return f"stage {stage}; by name within it" + (", behind what gateway.pipeline.order names" if order else "")


# Behind the pipeline.


def _behind(rule: ConfiguredRule, configuration: Configuration) -> Iterator[Link]:
    service = rule.route.service
    if not service:
        yield Link(name="(none)", kind="service", where=rule.where, why="a policy answers by itself")
        return
    yield Link(name=service, kind="service", where=rule.where, why="the rule's serviceName")
    balancer = rule.balancer
    why = "the rule's loadBalance" if rule.rule.load_balance else "gateway.router.defaultLoadBalance"
    yield Link(
        name=balancer.name,
        kind="balancer",
        plugin=balancer.plugin.distribution,
        where=balancer.where if rule.rule.load_balance else "",
        why=f"{why}: chooses the instance of each attempt",
    )
    for connector in configuration.connectors:
        registration = connector.registration
        if registration.protocol == rule.route.protocol:
            over = f", over {registration.over}" if registration.over else f" ({', '.join(registration.schemes)})"
            yield _link(connector, configuration, f"protocol {registration.protocol}{over}")
    yield from _instances(service, configuration)


def _instances(service: str, configuration: Configuration) -> Iterator[Link]:
    """Yield the instances that a registry lists; what others find shows only when they run."""
    finding = []
    for provider in configuration.discovery:
        listed = getattr(provider.config, "services", None)
        if not isinstance(listed, list | tuple):
            finding.append(provider)
            continue
        for entry in listed:
            instances = getattr(entry, "instances", None)
            if getattr(entry, "name", None) != service:
                continue
            if isinstance(instances, list | tuple):
                yield from _listed(instances, provider, configuration)
            else:
                finding.append(provider)
    for provider in finding:
        yield _link(provider, configuration, "finds instances when it runs: see /_gateway/services")


def _listed(instances: Sequence[object], provider: Configured, configuration: Configuration) -> Iterator[Link]:
    where = block_place(provider.registration, configuration)
    plugin, why = provider.plugin.distribution, f"listed by {provider.name}"
    if len(instances) > MANY:
        yield Link(name=f"{len(instances)} instances", kind="instance", plugin=plugin, where=where, why=why)
        return
    for instance in instances:
        yield Link(name=_address(instance), kind="instance", plugin=plugin, where=where, why=why)


def _address(instance: object) -> str:
    address, port = getattr(instance, "address", None), getattr(instance, "port", None)
    if address is None:
        return str(instance)
    address = f"[{address}]" if ":" in str(address) else address
    scheme = getattr(instance, "scheme", None)
    return f"{f'{scheme}://' if scheme else ''}{address}{f':{port}' if port else ''}"
