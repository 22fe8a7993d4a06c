"""What hooks return: frozen descriptions of what a plugin offers.

A registration names the offer, the pydantic model of its configuration and how to build the component from it. It costs
nothing until the configuration uses it: ``build`` is where heavy imports belong.

Where the configuration of an offer stands:

- ``path`` says which block under ``gateway:`` is its own (``auth.jwt``); ``None`` means ``plugins.<name>``.
- A block that is present is on, unless it says ``enabled: false``; ``default_on`` is on without a block.
- ``rule_key`` says under which key a rule overrides the block (``cors: {...}``), merged over it and then validated;
  ``None`` means ``plugins.<name>`` in the rule.
- ``rule_keys`` maps single keys of a rule to keys of the configuration (``rateLimit`` to ``rate``). A rule that has
  one of them turns the offer on for that rule.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from gateway.deprecation import since
from gateway.interfaces import AdminRequest, BuildContext, Stage
from gateway.plugin_config import NoConfig, RouteSourceConfig

if TYPE_CHECKING:
    import argparse
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from pydantic import BaseModel

    from gateway.messages import Request, Response

__all__ = [
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
    "Registration",
    "RouteSourceRegistration",
]


@since("0.1")
@dataclass(frozen=True, kw_only=True)
class Registration:
    """What every offer has in common.

    Attributes:
        name: Unique among offers of its kind; what the configuration calls it.
        summary: One line for ``gateway plugins``.
        build: Makes the component: ``build(config, context)``. Synchronous, no I/O, may import heavy dependencies; runs
            in a thread, without an event loop. It stands for the code: a reload keeps a component whose configuration
            is equal if ``build`` is the same object, so make it a function of the module, not one that the hook makes.
        config: The model of its configuration.
        path: Its block under ``gateway:``, dotted; ``None`` is ``plugins.<name>``.
        rule_key: The rule's key that overrides the block; ``None`` is ``plugins.<name>`` in the rule.
        rule_keys: Single keys of a rule, each with the configuration key it sets.
        aliases: Other spellings of keys that are accepted, old to new, both as the YAML writes them.
        refused: Keys that operators know from elsewhere and that mean nothing here, each with why, and what to write
            instead; named like those of ``aliases``. ``gateway.router.rules[].websocket.port`` is refused in rules
            alone.
        default_on: Whether it is on when nothing in the configuration mentions it.
        zero_config: What to merge into the configuration when the operator gave no file at all.
    """

    kind: ClassVar[str]

    name: str
    build: Callable[[Any, BuildContext], Any]
    summary: str = ""
    config: type[BaseModel] = NoConfig
    path: str | None = None
    rule_key: str | None = None
    rule_keys: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    default_on: bool = False
    zero_config: Mapping[str, Any] = field(default_factory=dict)


@since("0.1")
@dataclass(frozen=True, kw_only=True)
class AdapterRegistration(Registration):
    """Offers an ``Adapter``: the client side of a protocol.

    Attributes:
        over: The name of the adapter that speaks the protocol below, such as ``http`` for one that only wants an
            address of its own. ``build`` then returns a ``CarriedAdapter``; it is off where the other one is.
        alpn: With ``over``: what clients may choose in their TLS handshake (RFC 7301), such as ``h2``, to have their
            connection handed over to this adapter. It makes a ``gateway.handover.Taker`` then.
        opening: With ``over``: the bytes with which a connection begins that is handed over to it without a choice.
    """

    kind: ClassVar[str] = "adapter"

    over: str | None = None
    alpn: tuple[str, ...] = ()
    opening: bytes = b""


@since("0.1")
@dataclass(frozen=True, kw_only=True)
class ConnectorRegistration(Registration):
    """Offers a ``Connector``: the service side of a protocol.

    Attributes:
        protocol: The routes it serves (``protocol: http``).
        schemes: The instances it can reach; with ``over`` they are those of the protocol below.
        also: Further protocols of routes that it serves, each with the instances it reaches for them.
        over: The protocol below, such as ``http``, whose connectors do the work, with their pools. ``build`` then
            returns a ``CarriedConnector``.
        upgrades: What clients may change to (RFC 9110 section 7.8), lower-case, such as ``websocket``, on rules of its
            ``protocol``, and on those whose ``methods`` name one of its ``pseudo_methods``; a rule's ``allowUpgrade``
            says otherwise.
        pseudo_methods: Uses of GET that rules may name in ``methods`` beside real ones, such as ``WEBSOCKET``, each
            with a function that tells whether a GET is one. It is asked only where a rule names it, for every GET, and
            sees the request before a route is found: it looks at ``upgrade`` and ``headers``, and waits for nothing.
    """

    kind: ClassVar[str] = "connector"

    protocol: str
    schemes: tuple[str, ...] = ()
    also: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    over: str | None = None
    upgrades: tuple[str, ...] = ()
    pseudo_methods: Mapping[str, Callable[[Request], bool]] = field(default_factory=dict)


@since("0.1")
@dataclass(frozen=True, kw_only=True)
class AuthenticatorRegistration(Registration):
    """Offers an ``Authenticator``.

    Attributes:
        challenge: The scheme for ``WWW-Authenticate`` when credentials are missing, such as ``Bearer``.
    """

    kind: ClassVar[str] = "authenticator"

    challenge: str


@since("0.1")
@dataclass(frozen=True, kw_only=True)
class LimiterRegistration(Registration):
    """Offers a ``Limiter``; its configuration model extends ``LimitConfig``.

    Attributes:
        limits_of: Returns the limits that a configuration means, each of which gets a component of its own; usually
            it means one. They are asked in this order, and get back what they gave if a later one refuses.
        sufficient_keys: Keys of the gateway-wide block any of which makes a limit, where it says nothing of those
            required ones that rules set, such as ``global`` beside ``limits``.
    """

    kind: ClassVar[str] = "limiter"

    limits_of: Callable[[Any], Sequence[Any]] = lambda config: (config,)
    sufficient_keys: tuple[str, ...] = ()


@since("0.1")
@dataclass(frozen=True, kw_only=True)
class BalancerRegistration(Registration):
    """Offers a ``Balancer``, chosen by ``loadBalance: <name>``.

    Attributes:
        other_names: Further values of ``loadBalance`` that choose it.
    """

    kind: ClassVar[str] = "balancer"

    other_names: tuple[str, ...] = ()


@since("0.1")
@dataclass(frozen=True, kw_only=True)
class DiscoveryRegistration(Registration):
    """Offers a ``DiscoveryProvider``. Its block usually stands under ``registry``."""

    kind: ClassVar[str] = "discovery provider"


@since("0.1")
@dataclass(frozen=True, kw_only=True)
class RouteSourceRegistration(Registration):
    """Offers a ``RouteSource``; its configuration model extends ``RouteSourceConfig``.

    Its block usually stands under ``router.sources``.

    Attributes:
        over: The name of the discovery provider of the same plugin that comes across its rules, such as ``docker`` for
            one that reads labels. ``build`` then returns a ``CarriedRouteSource``; the provider must be on.
    """

    kind: ClassVar[str] = "route source"

    config: type[BaseModel] = RouteSourceConfig
    over: str | None = None


@since("0.1")
@dataclass(frozen=True, kw_only=True)
class HealthCheckerRegistration(Registration):
    """Offers a ``HealthChecker``."""

    kind: ClassVar[str] = "health checker"


@since("0.1")
@dataclass(frozen=True, kw_only=True)
class PolicyRegistration(Registration):
    """Offers a ``Policy``.

    Attributes:
        stage: Where it stands in the pipeline.
        answers_preflights: Whether it answers CORS preflights, at the EDGE: then it gets those for a route that does
            not take OPTIONS, too.
    """

    kind: ClassVar[str] = "policy"

    stage: Stage = Stage.TRANSFORM
    answers_preflights: bool = False


@since("0.1")
@dataclass(frozen=True, kw_only=True)
class ObserverRegistration(Registration):
    """Offers an ``Observer``."""

    kind: ClassVar[str] = "observer"


@since("0.1")
@dataclass(frozen=True, kw_only=True)
class AdminRouteRegistration(Registration):
    """Offers an endpoint under ``/_gateway/``.

    The component is a coroutine function ``async def (request: AdminRequest) -> Response`` and runs in the control
    plane.

    Attributes:
        method: The HTTP method.
        admin_path: The pattern below ``/_gateway``, such as ``/breakers/{name}``.
        is_public: Whether it answers without the admin token; a function says so of its configuration.
        paths: Returns, for its configuration, paths outside ``/_gateway`` where the gateway answers it too, before any
            rule; none by default.
    """

    kind: ClassVar[str] = "admin route"

    method: str = "GET"
    admin_path: str
    is_public: bool | Callable[[Any], bool] = False
    paths: Callable[[Any], Sequence[str]] = lambda config: ()
    build: Callable[[Any, BuildContext], Callable[[AdminRequest], Awaitable[Response]]]
    default_on: bool = True


@since("0.1")
@dataclass(frozen=True, kw_only=True)
class CommandRegistration:
    """Offers a sub-command of ``gateway``.

    Attributes:
        name: What is typed after ``gateway``.
        summary: One line for ``gateway --help``.
        add_arguments: Declares its arguments on an ``argparse`` parser.
        run: Runs it and returns the exit code.
    """

    kind: ClassVar[str] = "command"

    name: str
    run: Callable[[argparse.Namespace], int]
    summary: str = ""
    add_arguments: Callable[[argparse.ArgumentParser], None] = lambda parser: None
