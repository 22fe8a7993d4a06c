"""Every hook. A plugin is a module (or object) with some of these functions, marked ``@gateway.hookimpl``.

All hooks are synchronous, are called once per configuration load, do no I/O and return registrations. None is called
while requests are served. The comments between them are headings of the reference, their docstrings what it says.
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
    """Offer adapters (the client side of the wire), connectors (the service side), or both.

    An adapter listens; a connector sends requests to instances of its ``schemes``, on rules of its ``protocol``.

    A connector may also bring uses of GET that rules name in ``methods`` as if they were methods, and say what clients
    may change to on its rules: ``gateway-websocket`` says ``upgrades=("websocket",)``, and has a function for
    ``WEBSOCKET`` among its ``pseudo_methods``. With ``methods: [WEBSOCKET]`` a rule gets such requests before others
    get them as a GET, and its clients may change to ``websocket``, as they may with ``protocol: websocket``. Where no
    rule names it, the function is never asked. One that raises answers 500: which rule is the right one cannot be known
    then.
    """


# What is decided about it.


@since("0.1")
@hookspec
def gateway_register_authenticators() -> Sequence[AuthenticatorRegistration]:
    """Offer ways to find out who is calling.

    The core tries them in the order of ``auth.providers``.
    """


@since("0.1")
@hookspec
def gateway_register_limiters() -> Sequence[LimiterRegistration]:
    """Offer ways to decide whether this much more may be served now.

    The core works out the key, answers 429 and adds the ``X-RateLimit-*`` fields. The configuration extends
    ``LimitConfig``, of which the core reads ``key``: ``client``, ``principal``, ``route`` or ``header:<name>``.
    ``rule_keys`` lets a single key of a rule turn the limiter on for that rule: here ``burstRate: 5``, at five requests
    a second.
    """


@since("0.1")
@hookspec
def gateway_register_policies() -> Sequence[PolicyRegistration]:
    """Offer anything that wraps an exchange: CORS, retry, circuit breaker, transforms.

    The registration's ``stage`` says where it stands. With ``answers_preflights=True`` an ``EDGE`` policy also gets
    CORS preflights for routes that do not take OPTIONS.
    """


@since("0.1")
@hookspec
def gateway_register_balancers() -> Sequence[BalancerRegistration]:
    """Offer ways to choose the instance.

    A rule chooses one by name, with ``loadBalance``.
    """


@since("0.1")
@hookspec
def gateway_register_observers() -> Sequence[ObserverRegistration]:
    """Offer something that is told what happened: tracing, metrics, an access log.

    It cannot change anything, and its errors never reach the exchange.
    """


# The control plane.


@since("0.1")
@hookspec
def gateway_register_discovery_providers() -> Sequence[DiscoveryRegistration]:
    """Offer ways to find out which instances exist.

    Its block usually stands under ``registry``.
    """


@since("0.1")
@hookspec
def gateway_register_route_sources() -> Sequence[RouteSourceRegistration]:
    """Offer ways to find rules beside those of the configuration file.

    Its block usually stands under ``router.sources``, and its configuration extends ``RouteSourceConfig``. ``over``
    names the discovery provider of the same plugin that comes across the rules.
    """


@since("0.1")
@hookspec
def gateway_register_health_checkers() -> Sequence[HealthCheckerRegistration]:
    """Offer ways to find out which instances work.

    A checker marks instances in the directory; what it marks as unhealthy is offered to no balancer until it is marked
    as healthy again.
    """


@since("0.1")
@hookspec
def gateway_register_admin_routes() -> Sequence[AdminRouteRegistration]:
    """Offer endpoints under ``/_gateway/``.

    They are on unless their block says ``enabled: false``, need the admin token unless they are public, and run in the
    control plane. See also the `core's own <admin-endpoints.md>`_.
    """


@since("0.1")
@hookspec
def gateway_register_commands() -> Sequence[CommandRegistration]:
    """Offer sub-commands of ``gateway``.

    This hook is also called for ``gateway --help``. A command has ``-c`` and ``--plugin`` beside its own arguments, and
    nothing else of the gateway: it runs instead of it.
    """
