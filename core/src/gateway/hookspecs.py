"""Every hook. A plugin is a module (or object) with some of these functions, marked ``@gateway.hookimpl``.

All hooks are synchronous, are called once per configuration load, do no I/O and return registrations. None is called
while requests are served.
"""

# A hookspec has no body: pluggy reads its signature and never calls it.
# mypy: disable-error-code="empty-body"

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.registrations import (
        AdapterRegistration,
        AdminRouteRegistration,
        AuthenticatorRegistration,
        BalancerRegistration,
        CommandRegistration,
        ConnectorRegistration,
        DiscoveryRegistration,
        HealthCheckerRegistration,
        LimiterRegistration,
        ObserverRegistration,
        PolicyRegistration,
    )

__all__ = ["hookimpl", "hookspec"]

hookspec = pluggy.HookspecMarker("gateway")
hookimpl = pluggy.HookimplMarker("gateway")


# The two ends of an exchange.


@hookspec
def gateway_register_protocols() -> Sequence[AdapterRegistration | ConnectorRegistration]:
    """Offer adapters (the client side of the wire), connectors (the service side), or both."""


# What is decided about it.


@hookspec
def gateway_register_authenticators() -> Sequence[AuthenticatorRegistration]:
    """Offer ways to find out who is calling."""


@hookspec
def gateway_register_limiters() -> Sequence[LimiterRegistration]:
    """Offer ways to decide whether this much more may be served now."""


@hookspec
def gateway_register_policies() -> Sequence[PolicyRegistration]:
    """Offer anything that wraps an exchange: CORS, retry, circuit breaker, transforms."""


@hookspec
def gateway_register_balancers() -> Sequence[BalancerRegistration]:
    """Offer ways to choose the instance."""


@hookspec
def gateway_register_observers() -> Sequence[ObserverRegistration]:
    """Offer something that is told what happened: tracing, metrics, access log."""


# The control plane.


@hookspec
def gateway_register_discovery_providers() -> Sequence[DiscoveryRegistration]:
    """Offer ways to find out which instances exist."""


@hookspec
def gateway_register_health_checkers() -> Sequence[HealthCheckerRegistration]:
    """Offer ways to find out which of them work."""


@hookspec
def gateway_register_admin_routes() -> Sequence[AdminRouteRegistration]:
    """Offer endpoints under ``/_gateway/``."""


@hookspec
def gateway_register_commands() -> Sequence[CommandRegistration]:
    """Offer sub-commands of ``gateway``."""
