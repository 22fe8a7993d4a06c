"""What is in a configuration: its rules in the order they are tried, and their pipelines."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from gateway.config.mask import MASK, looks_secret
from gateway.interfaces import Stage
from gateway.routing import HeaderCondition, QueryCondition, RouteTable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.config import Configuration, Configured, ConfiguredRule
    from gateway.errors import Problem
    from gateway.routing import RouteEntry

__all__ = [
    "Service",
    "Step",
    "by_precedence",
    "condition_text",
    "conditions_text",
    "duration_text",
    "path_text",
    "pipeline_of",
    "problem_data",
    "rule_data",
    "services_of",
]


C = TypeVar("C", bound=HeaderCondition | QueryCondition)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step of a rule's pipeline.

    Attributes:
        stage: Where it stands.
        label: What people call it.
        components: What takes part in it; empty for what the core does by itself.
        note: What else there is to know.
    """

    stage: Stage
    label: str
    components: tuple[Configured, ...] = ()
    note: str = ""


def by_precedence(configuration: Configuration) -> list[ConfiguredRule]:
    """Return the rules in the order in which they are tried."""
    table = RouteTable([rule.entry(rule) for rule in configuration.rules])
    return [entry.target for entry in table.entries]


def pipeline_of(rule: ConfiguredRule) -> list[Step]:
    """Return the steps of a rule, outermost first; within a stage the core's own come first."""
    limits = [
        Step(
            stage=Stage.AUTHENTICATE if limiter.config.before_authentication else Stage.LIMIT,
            label=limiter.name,
            components=(limiter,),
            note=_note(limiter),
        )
        for limiter in rule.limiters
    ]
    # In their stage limits come first: one before authentication is just that.
    steps = [*limits, *_access_steps(rule)]
    steps += [
        Step(
            stage=policy.registration.stage,
            label=policy.name,
            components=(policy,),
            note=_note(policy),
        )
        for policy in rule.policies
    ]
    return sorted(steps, key=lambda step: step.stage)


def _note(configured: Configured) -> str:
    """Return what is not usual about how it is applied."""
    notes = ["left out when it fails"] if configured.on_error == "allow" else []
    return "; ".join([*notes, *(["only watched (mode: shadow)"] if configured.is_shadow else [])])


def _access_steps(rule: ConfiguredRule) -> Iterable[Step]:
    auth = rule.auth
    if rule.authenticators:
        notes = ["required" if auth.required else "optional"]
        notes += [f"not asked for below {', '.join(auth.skip_paths)}"] if auth.skip_paths else []
        label = "|".join(authenticator.name for authenticator in rule.authenticators)
        if not auth.required:
            label += " (optional)"
        yield Step(stage=Stage.AUTHENTICATE, label=label, components=tuple(rule.authenticators), note="; ".join(notes))
    if auth.scopes:
        yield Step(stage=Stage.AUTHORIZE, label=f"scopes({', '.join(sorted(auth.scopes))})")


# Texts.


def path_text(rule: ConfiguredRule) -> str:
    """Return the pattern, and how it is read if that is unusual."""
    pattern = rule.matches.pattern
    return pattern.text if pattern.path_type == "template" else f"{pattern.path_type}: {pattern.text}"


def condition_text(condition: HeaderCondition | QueryCondition) -> str:
    """Return a condition in few words: ``x-version: v1|v2``, ``?debug``, ``no x-beta``."""
    condition = _masked(condition)
    is_query = isinstance(condition, QueryCondition)
    name = f"?{condition.name}" if is_query else condition.name
    if condition.values:
        return f"{name}{'=' if is_query else ': '}{'|'.join(condition.values)}"
    if condition.regex is not None:
        return f"{name} ~ {condition.regex}"
    return name if condition.present else f"no {name}"


def _masked(condition: C) -> C:
    """Return a condition without the values of a field that holds secrets: ``authorization``, ``?token``."""
    if not looks_secret(condition.name) or not (condition.values or condition.regex):
        return condition
    return replace(condition, values=(MASK,), regex=None)


def conditions_text(entry: RouteEntry[int]) -> str:
    """Return all conditions on header fields and query."""
    return ", ".join([*map(condition_text, entry.headers), *map(condition_text, entry.query)])


def duration_text(duration_s: float | None) -> str:
    """Return a duration as the configuration would have it."""
    if duration_s is None:
        return "none"
    return f"{duration_s:g}s" if duration_s >= 1 else f"{duration_s * 1000:g}ms"


# JSON.


def problem_data(problem: Problem) -> dict[str, str]:
    """Return a problem for JSON."""
    return {"where": problem.where, "path": problem.path, "message": problem.message}


def rule_data(rule: ConfiguredRule) -> dict[str, Any]:
    """Return a rule for JSON."""
    entry, auth = rule.matches, rule.auth
    return {
        "id": entry.id,
        "where": rule.where,
        "methods": list(rule.rule.methods) if rule.rule.methods is not None else None,
        "hosts": list(entry.hosts),
        "path": entry.pattern.text,
        "pathType": entry.pattern.path_type,
        "headers": [asdict(_masked(condition)) for condition in entry.headers],
        "queryParams": [asdict(_masked(condition)) for condition in entry.query],
        "priority": entry.priority,
        "service": rule.route.service,
        "protocol": rule.route.protocol,
        "balancer": rule.balancer.name,
        "timeout": rule.route.timeout_s,
        "auth": {
            "required": auth.required,
            "scopes": sorted(auth.scopes),
            "skip": auth.skip,
            "skipPaths": list(auth.skip_paths),
        },
        "policies": [
            {
                "stage": step.stage.name.lower(),
                "kind": component.registration.kind,
                "name": component.name,
                "plugin": component.plugin.name,
                "where": component.where,
            }
            for step in pipeline_of(rule)
            for component in step.components
        ],
    }


# Services.


@dataclass(slots=True)
class Service:
    """A service that a registry lists, or that a rule leads to.

    Attributes:
        name: Its name.
        instances: How many instances its registry lists; ``None`` if that shows only when it runs.
        rules: The ids of the rules that lead to it.
    """

    name: str
    instances: int | None = None
    rules: list[str] = field(default_factory=list)


def services_of(configuration: Configuration) -> list[Service]:
    """Return the services, by name.

    A registry whose configuration has a list ``services``, each with ``name`` and ``instances``, tells beforehand.
    """
    services: dict[str, Service] = {}
    for provider in configuration.discovery:
        listed = getattr(provider.config, "services", None)
        for entry in listed if isinstance(listed, list | tuple) else ():
            if isinstance(name := getattr(entry, "name", None), str):
                instances = getattr(entry, "instances", None)
                count = len(instances) if isinstance(instances, list | tuple) else None
                services[name] = Service(name, count)
    for rule in configuration.rules:
        if name := rule.route.service:
            services.setdefault(name, Service(name)).rules.append(rule.matches.id)
    return sorted(services.values(), key=lambda service: service.name)
