"""Every hook. A plugin is a module (or object) with some of these functions, marked ``@gateway.hookimpl``.

All hooks are synchronous, are called once per configuration load, do no I/O and return registrations. None is called
while requests are served.
"""

# A hookspec has no body: pluggy reads its signature and never calls it.
# mypy: disable-error-code="empty-body"

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

from gateway.deprecation import since

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
        RouteSourceRegistration,
    )

__all__ = ["hookimpl", "hookspec"]

hookspec = pluggy.HookspecMarker("gateway")
hookimpl = pluggy.HookimplMarker("gateway")


# The two ends of an exchange.


@since("0.1")
@hookspec
def gateway_register_protocols() -> Sequence[AdapterRegistration | ConnectorRegistration]:
    """Offer adapters (the client side of the wire), connectors (the service side), or both."""


# What is decided about it.


@since("0.1")
@hookspec
def gateway_register_authenticators() -> Sequence[AuthenticatorRegistration]:
    """Offer ways to find out who is calling."""


@since("0.1")
@hookspec
def gateway_register_limiters() -> Sequence[LimiterRegistration]:
    """Offer ways to decide whether this much more may be served now."""


@since("0.1")
@hookspec
def gateway_register_policies() -> Sequence[PolicyRegistration]:
    """Offer anything that wraps an exchange: CORS, retry, circuit breaker, transforms."""


@since("0.1")
@hookspec
def gateway_register_balancers() -> Sequence[BalancerRegistration]:
    """Offer ways to choose the instance."""


@since("0.1")
@hookspec
def gateway_register_observers() -> Sequence[ObserverRegistration]:
    """Offer something that is told what happened: tracing, metrics, access log."""


# The control plane.


@since("0.1")
@hookspec
def gateway_register_discovery_providers() -> Sequence[DiscoveryRegistration]:
    """Offer ways to find out which instances exist."""


@since("0.1")
@hookspec
def gateway_register_route_sources() -> Sequence[RouteSourceRegistration]:
    """Offer ways to find rules beside those of the configuration file."""


@since("0.1")
@hookspec
def gateway_register_health_checkers() -> Sequence[HealthCheckerRegistration]:
    """Offer ways to find out which of them work."""


@since("0.1")
@hookspec
def gateway_register_admin_routes() -> Sequence[AdminRouteRegistration]:
    """Offer endpoints under ``/_gateway/``."""


@since("0.1")
@hookspec
def gateway_register_commands() -> Sequence[CommandRegistration]:
    """Offer sub-commands of ``gateway``."""
