"""Who reads which key: the core and the offers of all plugins, as one tree for ``gateway`` and one for a rule."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import BaseModel

from gateway.config.budgets import BUDGET_KEYS, BudgetConfig
from gateway.config.model import GatewayConfig, RuleConfig
from gateway.config.places import Block
from gateway.config.shape import Shape
from gateway.pluginhost.check import PER_RULE_KINDS, model_keys
from gateway.registrations import Registration

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from gateway.config.places import Place, Value
    from gateway.config.report import Report
    from gateway.pluginhost import Plugin, PluginHost

__all__ = ["Claim", "Claimed", "Node", "gateway_tree", "place_of", "registrations_of", "rule_tree", "split", "walk"]

_CONTAINERS = ("frontend", "backend", "middleware", "plugins")
"""Blocks that hold the blocks of plugins, beside those of which the core reads something itself."""


@dataclass(frozen=True, slots=True, eq=False)
class Claim:
    """An offer reads a key.

    Attributes:
        registration: The offer.
        plugin: Whose it is.
        config_key: The key of its configuration that the value is for; ``None`` if the value is its block.
    """

    registration: Registration
    plugin: Plugin
    config_key: str | None = None

    @property
    def shape(self) -> Shape:
        """What may stand there."""
        model = Shape(self.registration.config)
        return model.at(self.config_key.split(".")) if self.config_key is not None else model


@dataclass(slots=True, eq=False)
class Node:
    """A block, or a key that a claim is about.

    Attributes:
        core: The model of the keys that the core reads here; ``None`` if it reads none.
        is_container: Whether it is a block of the core's, which no offer may have for itself.
        children: What is known to stand in it, apart from the keys of the core.
        claims: The offers that read it.
        lists: Keys of the core under which a list stands, with what is known to stand in each of its entries.
    """

    core: type[BaseModel] | None = None
    is_container: bool = False
    children: dict[str, Node] = field(default_factory=dict)
    claims: list[Claim] = field(default_factory=list)
    lists: dict[str, Node] = field(default_factory=dict)
    core_keys: frozenset[str] = frozenset()

    @property
    def known(self) -> set[str]:
        """The keys that somebody reads in it."""
        return {*self.core_keys, *self.lists, *self.children}

    @property
    def shape(self) -> Shape:
        """What may stand here."""
        return Shape.of_all([claim.shape for claim in self.claims], blocks=self._blocks)

    def _blocks(self) -> dict[str, Shape]:
        blocks = {key: child.shape for key, child in self.children.items()}
        if any(claim.config_key is None for claim in self.claims):
            blocks |= {"enabled": Shape(bool), "onError": Shape(str), "mode": Shape(str)}
            blocks |= {key: Shape(BudgetConfig).below(key) for key in BUDGET_KEYS}
        core = Shape(self.core) if self.core is not None else Shape()
        blocks |= {key: core.below(key) for key in self.core_keys}
        blocks |= {key: Shape(entries=entry.shape) for key, entry in self.lists.items()}
        return blocks


def registrations_of(host: PluginHost) -> list[tuple[Registration, Plugin]]:
    """Return every offer that has a configuration, with the plugin that makes it."""
    return [
        (offer, plugin) for plugin in host.plugins for offer in plugin.registrations if isinstance(offer, Registration)
    ]


def place_of(registration: Registration) -> tuple[str, ...]:
    """Return the keys that lead from ``gateway`` to the offer's block."""
    return tuple((registration.path or f"plugins.{registration.name}").split("."))


def gateway_tree(host: PluginHost, report: Report) -> Node:
    """Return who reads what under ``gateway``; keys that two plugins claim are reported."""
    root = _core_node(GatewayConfig)
    root.children["router"].lists["rules"] = _rule_tree(host, report)
    for name in _CONTAINERS:
        root.children.setdefault(name, Node(is_container=True))
    root.children["router"].children["sources"] = Node(is_container=True)
    for registration, plugin in registrations_of(host):
        _claim(root, place_of(registration), Claim(registration, plugin), report)
    return root


def rule_tree(gateway: Node) -> Node:
    """Return who reads what in a rule, from who reads what under ``gateway``."""
    return gateway.children["router"].lists["rules"]


def _rule_tree(host: PluginHost, report: Report) -> Node:
    root = _core_node(RuleConfig)
    root.children["plugins"] = Node(is_container=True)
    for registration, plugin in registrations_of(host):
        if registration.kind in PER_RULE_KINDS:
            block = registration.rule_key or f"plugins.{registration.name}"
            _claim(root, block.split("."), Claim(registration, plugin), report)
            for key, config_key in registration.rule_keys.items():
                _claim(root, key.split("."), Claim(registration, plugin, config_key), report)
    return root


def _core_node(model: type[BaseModel]) -> Node:
    node = Node(core=model, is_container=True)
    keys = set()
    for key, name in model_keys(model).items():
        inner = model.model_fields[name].annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            node.children[key] = _core_node(inner)
        else:
            keys.add(key)
    node.core_keys = frozenset(keys)
    return node


def _claim(root: Node, keys: Sequence[str], claim: Claim, report: Report) -> None:
    node = root
    for key in keys:
        if key in node.core_keys or key in node.lists:
            _refuse(claim, keys, "the core", report)
            return
        node = node.children.setdefault(key, Node())
    others = [other.plugin for other in node.claims if other.plugin is not claim.plugin]
    if node.is_container:
        _refuse(claim, keys, "the core", report)
    elif others:
        _refuse(claim, keys, f"{others[0]} too", report)
    else:
        node.claims.append(claim)


def _refuse(claim: Claim, keys: Sequence[str], other: str, report: Report) -> None:
    offer = f"{claim.registration.kind} {claim.registration.name!r} of {claim.plugin}"
    remedy = f"name {claim.plugin.name!r} or the other in gateway.disabledPlugins"
    report.error(f"the key {'.'.join(keys)!r} is read by {offer}, and by {other}; {remedy}")


# Taking a block apart.


@dataclass(frozen=True, slots=True, eq=False)
class Claimed:
    """A value that offers read.

    Attributes:
        claims: The offers.
        value: The value; a block without the keys that others claim in it.
        place: Where it stands.
    """

    claims: Sequence[Claim]
    value: Value
    place: Place


def split(
    node: Node, block: Block, report: Report, explain: Callable[[Sequence[str], Collection[str]], str]
) -> tuple[Block, list[Claimed]]:
    """Take a block apart into what the core reads and what offers read; keys that nobody reads are reported.

    Args:
        node: Who reads what in it.
        block: The block.
        report: Takes the problems.
        explain: Makes the message for an unknown key, of the keys that lead to it and those that are known beside it.
    """
    return _Splitter(report, explain).split(node, block, ())


class _Splitter:
    def __init__(self, report: Report, explain: Callable[[Sequence[str], Collection[str]], str]) -> None:
        self._report = report
        self._explain = explain

    def split(self, node: Node, block: Block, above: tuple[str, ...]) -> tuple[Block, list[Claimed]]:
        core, claimed = Block(block.place), list[Claimed]()
        for key, value in block.items():
            place = block.places[key]
            child = node.children.get(key)
            if child is not None:
                inner, found = self._child(child, value, place, (*above, key))
                claimed += found
                if child.core is not None and inner is not None:
                    core.put(key, inner, place)
            elif key in node.core_keys or key in node.lists:
                core.put(key, value, place)
            else:
                self._report.error(self._explain((*above, key), node.known), key=place)
        return core, claimed

    def _child(
        self, child: Node, value: Value, place: Place, keys: tuple[str, ...]
    ) -> tuple[Block | None, list[Claimed]]:
        if not child.children and not child.is_container:
            return None, [Claimed(child.claims, value, place)]
        block = Block(place) if value is None else value
        if not isinstance(block, Block):
            self._report.error(f"{value!r} is not a block; write its keys below it, indented", value=place)
            return None, []
        if not child.claims:
            return self.split(child, block, keys)
        own, inner = Block(block.place), Block(block.place)
        for key in block:
            (inner if key in child.children else own).put(key, block[key], block.places[key])
        return None, [Claimed(child.claims, own, place), *self.split(child, inner, keys)[1]]


def walk(claimed: Iterable[Claimed]) -> Iterator[tuple[Claim, Value, Place]]:
    """Yield each claim with what it is about."""
    for each in claimed:
        for claim in each.claims:
            yield claim, each.value, each.place
