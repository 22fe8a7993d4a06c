"""What is installed, what it offers, and what of it is used: for ``gateway plugins`` and ``/_gateway/plugins``."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway.config.pipeline import sorted_policies
from gateway.interfaces import Stage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gateway.config import Configuration, Configured, ConfiguredRule
    from gateway.metrics import FamilySnapshot
    from gateway.pluginhost import Offer, Plugin, PluginHost

__all__ = ["Inventory", "Place", "Use", "uses_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an offer stands in the pipeline.

    Attributes:
        stage: The stage.
        number: Which one it is of those in its stage that are used, from 1; 0 where all stand side by side.
        why: Why it is that one.
    """

    stage: Stage
    number: int = 0
    why: str = ""

    @property
    def text(self) -> str:
        """For people."""
        return f"{self.stage.name.lower()} {self.number or ''}".rstrip()


class Inventory:
    """What there is to say about plugins.

    Args:
        host: The plugins.
        configuration: What says which of their offers are used; ``None`` if that cannot be known.
        measured: What the gateway that runs has measured, for budgets; nothing where none runs.
    """

    def __init__(
        self, host: PluginHost, configuration: Configuration | None, measured: Sequence[FamilySnapshot] = ()
    ) -> None:
        self._host = host
        self._configuration = configuration
        self._measured = measured
        self._uses: Mapping[int, Use] = uses_of(configuration) if configuration is not None else {}
        self._places = dict(_places_of(configuration, self._uses)) if configuration is not None else {}

    def data(self) -> list[dict[str, Any]]:
        """Return all of it for JSON."""
        loaded = [self._plugin_data(plugin, "broken" if plugin.error else "loaded") for plugin in self._host.plugins]
        return [*loaded, *(self._plugin_data(plugin, "disabled") for plugin in self._host.disabled)]

    def use(self, offer: Offer) -> Use | None:
        """Return where an offer is used; ``None`` if it is not, or if that cannot be known."""
        return self._uses.get(id(offer))

    def place(self, offer: Offer) -> Place | None:
        """Return where an offer that is used stands in the pipeline; ``None`` if it stands in none."""
        return self._places.get(id(offer))

    def is_on(self, offer: Offer) -> bool | None:
        """Say whether an offer is used; ``None`` if that cannot be known. A command is there to be used."""
        if offer.kind == "command":
            return True
        return None if self._configuration is None else id(offer) in self._uses

    def _plugin_data(self, plugin: Plugin, state: str) -> dict[str, Any]:
        return {
            "name": plugin.name,
            "distribution": plugin.distribution,
            "version": plugin.version or None,
            "file": str(plugin.file) if plugin.file is not None else None,
            "state": state,
            "error": plugin.error,
            "loadSeconds": plugin.load_s,
            "offers": [self._offer_data(offer) for offer in plugin.registrations],
        }

    def _offer_data(self, offer: Offer) -> dict[str, Any]:
        use, place = self.use(offer), self.place(offer)
        return {
            "kind": offer.kind,
            "name": offer.name,
            "summary": offer.summary,
            "on": self.is_on(offer),
            "where": use.where if use is not None else [],
            "rules": use.rules if use is not None else [],
            "place": _place_data(place) if place is not None else None,
            "budget": self._budget_data(offer) if offer.kind == "policy" else None,
        }

    def _budget_data(self, offer: Offer) -> dict[str, float] | None:
        """Return what became of a policy's budget and quarantine, all workers together; ``None`` if it has none."""
        labels = (offer.name,)
        found = {key: family.series[labels] for key, family in self._families() if labels in family.series}
        return {key: value for key, value in found.items() if isinstance(value, float)} or None

    def _families(self) -> Iterable[tuple[str, FamilySnapshot]]:
        names = {
            "gateway_policy_overruns_total": "overruns",
            "gateway_policy_failures_total": "failures",
            "gateway_policy_quarantined": "quarantinedWorkers",
        }
        return ((names[family.name], family) for family in self._measured if family.name in names)


def _place_data(place: Place) -> dict[str, Any]:
    return {"stage": place.stage.name.lower(), "number": place.number or None, "why": place.why or None}


def _places_of(configuration: Configuration, uses: Mapping[int, Use]) -> Iterable[tuple[int, Place]]:
    order = configuration.gateway.pipeline.order
    numbers: dict[Stage, int] = {}
    for policy in sorted_policies(configuration.host, order):
        if id(policy) in uses:
            number = numbers[policy.stage] = numbers.get(policy.stage, 0) + 1
            is_named = policy.name in order.get(policy.stage.name.lower(), ())
            why = "gateway.pipeline.order" if is_named else "by name"
            yield id(policy), Place(stage=policy.stage, number=number, why=why)
    for rule in configuration.rules:
        for authenticator in rule.authenticators:
            yield id(authenticator.registration), Place(stage=Stage.AUTHENTICATE)
        for limiter in rule.limiters:
            is_early = limiter.config.before_authentication
            yield id(limiter.registration), Place(stage=Stage.AUTHENTICATE if is_early else Stage.LIMIT)


@dataclass(slots=True)
class Use:
    """Where an offer is used.

    Attributes:
        where: Where the configurations stand that it is used with.
        rules: The ids of the rules that use it.
        is_gateway_wide: Whether it is on whatever the rule.
    """

    where: list[str] = field(default_factory=list)
    rules: list[str] = field(default_factory=list)
    is_gateway_wide: bool = False


def uses_of(configuration: Configuration) -> Mapping[int, Use]:
    """Return where offers are used, by ``id`` of the registration; those that are off are missing."""
    uses: defaultdict[int, Use] = defaultdict(Use)
    for configured in _gateway_wide(configuration):
        use = uses[id(configured.registration)]
        use.is_gateway_wide = True
        _add(use.where, configured.where)
    for rule in configuration.rules:
        for configured in _of_rule(rule):
            use = uses[id(configured.registration)]
            _add(use.where, configured.where)
            _add(use.rules, rule.matches.id)
    return uses


def _gateway_wide(configuration: Configuration) -> Iterable[Configured]:
    return (
        *configuration.adapters,
        *configuration.connectors,
        *configuration.discovery,
        *configuration.route_sources,
        *configuration.health_checkers,
        *configuration.observers,
        *configuration.admin_routes,
        *configuration.edge_policies,
    )


def _of_rule(rule: ConfiguredRule) -> Sequence[Configured]:
    return (*rule.policies, *rule.authenticators, *rule.limiters, rule.balancer)


def _add(found: list[str], text: str) -> None:
    if text not in found[-1:] and text not in found:
        found.append(text)
