"""Gateway: an API gateway whose whole behaviour is made of plugins. This module is the plugin author's API."""

from __future__ import annotations

from gateway.authoring import authenticator, policy
from gateway.body import Body
from gateway.errors import ErrorType, GatewayError, Outage, RateLimited, Unauthorized
from gateway.exchange import Exchange, Handler
from gateway.headers import Headers, Section
from gateway.hookspecs import hookimpl
from gateway.interfaces import AdminRequest, BuildContext, Decision, Endpoint, Instance, Route, SourcedRule, Stage
from gateway.messages import Forwarding, Origin, Request, Response
from gateway.plugin_config import Config, LimitConfig, NoConfig, RouteSourceConfig
from gateway.principal import Principal
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
from gateway.units import Duration, FilePath, Milliseconds, Size, Statuses
from gateway.waiter import Waiter

__version__ = "0.1.0"

__all__ = [
    # One function is a plugin.
    "authenticator",
    "policy",
    # A module with hooks is a plugin.
    "hookimpl",
    "AdapterRegistration",
    "AdminRouteRegistration",
    "AuthenticatorRegistration",
    "BalancerRegistration",
    "CommandRegistration",
    "ConnectorRegistration",
    "DiscoveryRegistration",
    "HealthCheckerRegistration",
    "LimiterRegistration",
    "ObserverRegistration",
    "PolicyRegistration",
    "RouteSourceRegistration",
    # Its configuration.
    "Config",
    "Duration",
    "FilePath",
    "LimitConfig",
    "Milliseconds",
    "NoConfig",
    "RouteSourceConfig",
    "Size",
    "Statuses",
    # What components get and give; the interfaces themselves are in gateway.interfaces.
    "AdminRequest",
    "Body",
    "BuildContext",
    "Decision",
    "Endpoint",
    "Exchange",
    "Forwarding",
    "Handler",
    "Headers",
    "Instance",
    "Origin",
    "Principal",
    "Request",
    "Response",
    "Route",
    "Section",
    "SourcedRule",
    "Stage",
    "Waiter",
    # What goes wrong.
    "ErrorType",
    "GatewayError",
    "Outage",
    "RateLimited",
    "Unauthorized",
]  # fmt: skip
