"""Where a rule leads: its service, what that speaks, and how long it may take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.config.catalogue import OFFERS
from gateway.config.suggest import did_you_mean
from gateway.pluginhost import PSEUDO_METHOD
from gateway.registrations import ConnectorRegistration, DiscoveryRegistration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.config.draft import Context, Draft
    from gateway.config.result import Configured

__all__ = ["DEFAULT_TIMEOUT_S", "Destinations", "known_services"]

DEFAULT_TIMEOUT_S = 30.0
"""How long an instance may take where neither the rule nor the connector's ``responseHeaderTimeout`` says."""


class Destinations:
    """Checks where each rule leads.

    Args:
        context: What it is worked out in; discovery providers and connectors are turned on or off already.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._connectors: dict[str, list[Configured | None]] = {}
        self._upgrades: dict[str, frozenset[str]] = {}
        for offer in context.host.of_kind("connector"):
            if isinstance(offer, ConnectorRegistration) and context.offers.is_on(offer):
                for protocol in (offer.protocol, *offer.also):
                    self._connectors.setdefault(protocol, []).append(context.offers.gateway_wide(offer))
                    self._upgrades[protocol] = self._upgrades.get(protocol, frozenset()).union(offer.upgrades)
        self._discovery = [
            context.offers.gateway_wide(offer)
            for offer in context.host.of_kind("discovery provider")
            if isinstance(offer, DiscoveryRegistration) and context.offers.is_on(offer)
        ]
        self._services = known_services(self._discovery)

    def check_service(self, draft: Draft) -> None:
        """Report a service that no registry knows, or that is missing where nothing else answers."""
        name, report = draft.rule.service_name, self._context.report
        if not name:
            if not draft.overrides:
                place = draft.block.place
                path = place.below("serviceName").path
                report.error("the key is missing; write 'serviceName: ...' here", key=place, path=path)
        elif not self._discovery:
            if not report.has_error_below("gateway.registry"):
                message = "no registry is on that could know the service; add a block gateway.registry.static"
                report.error_once(message, value=draft.place("serviceName"))
        elif self._services is not None and name not in self._services:
            remedy = did_you_mean(name, self._services)
            report.error(f"no registry knows the service {name!r}; {remedy}", value=draft.place("serviceName"))

    def check_protocol(self, draft: Draft) -> None:
        """Report a protocol that no connector which is on speaks."""
        protocol, context = draft.rule.protocol, self._context
        if protocol in self._connectors or not draft.rule.service_name:
            return
        for offer in context.host.of_kind("connector"):
            if isinstance(offer, ConnectorRegistration) and protocol in (offer.protocol, *offer.also):
                message = f"the connector {offer.name!r} for the protocol {protocol!r} is off; turn it on"
                break
        else:
            message = context.missing.offer("protocol", protocol, self._connectors)
        if "protocol" in draft.block:
            context.report.error(message, value=draft.place("protocol"))
        else:
            context.report.error_once(message, value=draft.block.place)

    def check_methods(self, draft: Draft) -> None:
        """Report pseudo methods whose plugin is not there: no request would ever have them."""
        context = self._context
        for method in draft.rule.methods or ():
            if (PSEUDO_METHOD, method) in OFFERS and context.host.find(PSEUDO_METHOD, method) is None:
                context.report.error(context.missing.offer(PSEUDO_METHOD, method, ()), value=draft.place("methods"))

    def upgrades(self, draft: Draft) -> frozenset[str]:
        """Return the protocols that clients may change to."""
        allowed = draft.rule.allow_upgrade
        if isinstance(allowed, bool):
            return frozenset({"websocket"}) if allowed else frozenset()
        if allowed is not None:
            return frozenset(allowed)
        implied = self._upgrades.get(draft.rule.protocol, frozenset())
        for method in draft.rule.methods or ():
            named = self._context.host.find(PSEUDO_METHOD, method)
            if isinstance(named, ConnectorRegistration):
                implied |= set(named.upgrades)
        return implied

    def timeout_s(self, draft: Draft) -> float | None:
        """Return how long an instance may take; ``None`` has no limit."""
        timeout_s = draft.rule.timeout
        if timeout_s is None:
            configs = [connector.config for connector in self._connectors.get(draft.rule.protocol, ()) if connector]
            defaults = [getattr(config, "response_header_timeout", None) for config in configs]
            timeout_s = next((each for each in defaults if isinstance(each, int | float)), DEFAULT_TIMEOUT_S)
        return timeout_s or None


def known_services(discovery: Sequence[Configured | None]) -> frozenset[str] | None:
    """Return the names of all services there will ever be, or ``None`` if that cannot be known.

    It can if every provider has services in a list ``services`` of its configuration, each with a ``name``. ``None``
    stands for a provider whose configuration is wrong.
    """
    names: set[str] = set()
    for configured in discovery:
        services = getattr(configured.config, "services", ()) if configured is not None else ()
        if not isinstance(services, list | tuple) or not services:
            return None
        if not all(hasattr(service, "name") for service in services):
            return None
        names.update(service.name for service in services)
    return frozenset(names)
