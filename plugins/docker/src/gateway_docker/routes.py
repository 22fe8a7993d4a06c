"""Routes from labels: ``<prefix>.route.path``, or ``<prefix>.routes.<name>.path`` for several.

What stands after ``route.`` is a key of a rule as the configuration file has it, dotted where it is inside of a block.
Which of them may be set is the core's affair (``router.sources``); here, a rule leads to the service of its container
and to no other.
"""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from gateway import SourcedRule
from gateway_docker.problems import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from gateway.interfaces import DiscoveryProvider, PublishRules, RouteSource

__all__ = ["LabelledRoutes", "RouteLabels", "RuleBoard", "is_route_label", "rules_of", "unread"]

MAX_RULES = 100
"""Of one container."""
MAX_LABEL_LENGTH = 16384
MAX_DEPTH = 20
_MAX_KEYS = 200

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,62}")
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_LISTS = frozenset({"methods", "host", "hosts", "scopes", "type", "allowUpgrade"})
"""Keys whose values are lists, which commas separate in a label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteLabels:
    """The route labels of one container, or of one service in a file.

    Attributes:
        owner: Who has them, for people: ``container web-1``.
        service: Where its rules lead.
        labels: The labels, without the prefix.
    """

    owner: str
    service: str
    labels: Mapping[str, str]


def is_route_label(key: str) -> bool:
    """Say whether a label, without its prefix, is about routes."""
    return key == "route" or key.startswith(("route.", "routes."))


def rules_of(found: Sequence[RouteLabels], prefix: str) -> tuple[list[SourcedRule], list[str]]:
    """Return the rules of all services, and what is odd about them.

    The instances of a service carry the same labels. Where they do not, because a newer version is just being rolled
    out, the one that was made last is right; that is said, and so is it if nothing is rolled out.

    Args:
        found: Whose labels there are, oldest first.
        prefix: What they begin with, for messages.
    """
    latest: dict[str, RouteLabels] = {}
    oddities: dict[str, str] = {}
    for each in found:
        if not each.labels:
            continue
        before = latest.get(each.service)
        if before is not None and before.labels != each.labels:
            oddities[each.service] = (
                f"{each.owner} of service {each.service} has other route labels than {before.owner}; "
                f"those of {each.owner}, which is newer, count"
            )
        latest[each.service] = each
    rules = [rule for _, each in sorted(latest.items()) for rule in _rules(each, prefix)]
    return rules, [oddities[service] for service in sorted(oddities)]


def unread(found: Sequence[RouteLabels], source: str) -> list[str]:
    """Return what is said of route labels when the route source that would read them is off."""
    if not found:
        return []
    return [f"{found[0].owner} has route labels, which nobody reads; turn on {source!r} below gateway.router.sources"]


class RuleBoard:
    """Holds the rules that a provider found last, for whoever watches them. Implements ``gateway.RouteSource``."""

    def __init__(self) -> None:
        self._rules: Sequence[SourcedRule] | None = None
        self._readers: set[PublishRules] = set()

    @property
    def has_readers(self) -> bool:
        """Whether anybody watches."""
        return bool(self._readers)

    def put(self, rules: Sequence[SourcedRule]) -> None:
        """Take the rules of a new look; on the event loop."""
        self._rules = rules
        for publish in self._readers:
            publish(rules)

    async def watch(self, publish: PublishRules) -> None:
        """Publish what was found and whatever is found from now on, until cancelled."""
        if self._rules is not None:
            publish(self._rules)
        self._readers.add(publish)
        try:
            await asyncio.Event().wait()
        finally:
            self._readers.discard(publish)


class LabelledRoutes:
    """The route source over a provider of this plugin, which comes across route labels anyway."""

    def over(self, provider: DiscoveryProvider) -> RouteSource:
        """Return what publishes the rules that ``provider`` finds."""
        rules: RuleBoard = provider.rules  # type: ignore[attr-defined]  # every provider of this plugin has it
        return rules


def _rules(found: RouteLabels, prefix: str) -> Iterator[SourcedRule]:
    where = f"service {found.service}"
    by_name: dict[str, dict[str, str]] = {}
    for key, text in sorted(found.labels.items()):
        kind, _, rest = key.partition(".")
        name, _, rest = rest.partition(".") if kind == "routes" else ("", "", rest)
        by_name.setdefault(name, {})[rest] = text
    for name in sorted(by_name)[:MAX_RULES]:
        yield _rule(found, name, by_name[name], f"{where}, route {name}" if name else where, prefix)
    if len(by_name) > MAX_RULES:
        yield SourcedRule(rule={}, where=where, problem=f"{found.owner} has more than {MAX_RULES} routes")


def _rule(found: RouteLabels, name: str, labels: Mapping[str, str], where: str, prefix: str) -> SourcedRule:
    try:
        rule = _assembled(labels, f"{prefix}.routes.{name}" if name else f"{prefix}.route")
        _check(rule, name, found.service)
    except _LabelError as error:
        return SourcedRule(rule={}, where=where, problem=f"{error} ({found.owner})")
    own = {"id": f"{found.service}-{name}" if name else found.service, "serviceName": found.service}
    return SourcedRule(rule={**own, **rule}, where=where)


def _check(rule: Mapping[str, object], name: str, service: str) -> None:
    if name and not _NAME.fullmatch(name):
        raise _LabelError(f"a route is called {quoted(name)}; use letters, digits, '_' and '-'")
    if rule.get("serviceName", service) != service:
        raise _LabelError(
            f"serviceName is {quoted(rule['serviceName'])}; a route leads to its own service, leave the label out"
        )


class _LabelError(Exception):
    """A route label that cannot be used."""


def _assembled(labels: Mapping[str, str], label: str) -> dict[str, Any]:
    """Return the rule that labels make, each of which is about a key of it, and the one without a key about all."""
    if len(labels) > _MAX_KEYS:
        raise _LabelError(f"there are more than {_MAX_KEYS} labels {label}.*")
    whole = _value("", labels[""], label) if "" in labels else {}
    if not isinstance(whole, dict):
        raise _LabelError(
            f"{label} is {quoted(labels[''])}; write '{{path: /orders/*}}', or labels {label}.path and so on"
        )
    rule: dict[str, Any] = whole
    for path, text in labels.items():
        if not path:
            continue
        *above, key = path.split(".")
        block = rule
        for each in above:
            block = block.setdefault(each, {})
            if not isinstance(block, dict):
                raise _LabelError(f"{label}.{path[:80]} lies below a label that has a value already")
        if key in block:
            raise _LabelError(f"{label}.{path[:80]} is said twice")
        block[key] = _value(key, text, f"{label}.{path[:80]}")
    return rule


def _value(key: str, text: str, label: str) -> Any:  # noqa: ANN401 - whatever a rule holds
    """Return what a label means: text, a number, a truth value, or JSON or YAML in brackets."""
    text = text.strip()
    if len(text) > MAX_LABEL_LENGTH:
        raise _LabelError(f"{label} is longer than {MAX_LABEL_LENGTH}")
    if text[:1] in ("{", "["):
        return _document(text, label)
    if not key and "\n" in text:
        return _document(text, label)
    if key in _LISTS and "," in text:
        return [each.strip() for each in text.split(",")]
    return _scalar(text)


def _scalar(text: str) -> str | int | bool:
    if text in ("true", "false"):
        return text == "true"
    return int(text) if _INTEGER.fullmatch(text) and not (text[0] == "0" and text != "0") else text


def _document(text: str, label: str) -> Any:  # noqa: ANN401 - as above
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return _typed(yaml.load(text, Loader=_TextLoader), 0)  # noqa: S506 - a safe loader that knows fewer types
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _LabelError(f"{label} is no YAML: {quoted(text)}") from error


def _typed(value: object, depth: int) -> object:
    """Return a document whose scalars, all of them text, are what they look like."""
    if depth > MAX_DEPTH:
        raise ValueError("too deep")
    if isinstance(value, dict):
        return {str(key): _typed(entry, depth + 1) for key, entry in value.items()}
    if isinstance(value, list):
        return [_typed(entry, depth + 1) for entry in value]
    return _scalar(value) if isinstance(value, str) else value


class _TextLoader(yaml.SafeLoader):
    """Reads every scalar as text, as it is written: in YAML 1.1, which PyYAML reads, ``12:30`` is a number."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - PyYAML declares it so

    def compose_node(self, parent: Any, index: Any) -> Any:  # noqa: ANN401 - PyYAML has no types there
        """Refuse aliases: a few of them stand for millions of values."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases cannot be used in a label")
        return super().compose_node(parent, index)
