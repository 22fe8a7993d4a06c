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

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from gateway.interfaces import AdminRequest, BuildContext, Stage

if TYPE_CHECKING:
    import argparse
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from gateway.exchange import Response

__all__ = [
    "AdapterRegistration",
    "AdminRouteRegistration",
    "AuthenticatorRegistration",
    "BalancerRegistration",
    "CommandRegistration",
    "Config",
    "ConnectorRegistration",
    "DiscoveryRegistration",
    "HealthCheckerRegistration",
    "LimitConfig",
    "LimiterRegistration",
    "NoConfig",
    "ObserverRegistration",
    "PolicyRegistration",
    "Registration",
]


def _camel_case(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


class Config(BaseModel):
    """The base of every configuration model: camelCase keys in YAML, unknown keys refused, frozen."""

    # The schema is built when something is validated: most of what is installed is not used.
    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=_camel_case, populate_by_name=True, defer_build=True
    )


class NoConfig(Config):
    """The configuration of an offer that has nothing to configure."""


def _limit_key(key: str) -> str:
    if key not in ("client", "principal", "route") and not re.fullmatch(r"header:[A-Za-z0-9!#$%&'*+.^_`|~-]+", key):
        msg = f"{key!r} is not a limit key; write 'client', 'principal', 'route' or 'header:<name>'"
        raise ValueError(msg)
    return key


class LimitConfig(Config):
    """What the core itself reads of every limiter's configuration.

    Attributes:
        key: Whose quota a request counts against: ``client`` (address), ``principal``, ``route`` (one quota for all) or
            ``header:<name>``.
        cost: How much of it a request takes.
        before_authentication: Whether it decides before anybody is asked who they are.
        headers: Which fields tell clients about their quota: ``x-ratelimit`` (``X-RateLimit-*``), ``ratelimit``
            (``RateLimit`` and ``RateLimit-Policy``), ``both`` or ``none``.
    """

    key: Annotated[str, AfterValidator(_limit_key)] = Field(
        default="client",
        description="Whose quota: `client` (address), `principal`, `route` (one for all) or `header:<name>`.",
    )
    cost: int = Field(default=1, ge=1, le=1_000_000, description="How much of the quota a request takes.")
    before_authentication: bool = Field(
        default=False, description="Decide before anybody is asked who they are; not with `key: principal`."
    )
    headers: Literal["both", "x-ratelimit", "ratelimit", "none"] = Field(
        default="both",
        description="How clients are told of their quota: `x-ratelimit` (`X-RateLimit-*`), `ratelimit` (`RateLimit` "
        "and `RateLimit-Policy`), `both` or `none`.",
    )

    @model_validator(mode="after")
    def _knows_whom(self) -> Self:
        if self.before_authentication and self.key == "principal":
            msg = "nobody is known before authentication; take another key than 'principal', or no beforeAuthentication"
            raise ValueError(msg)
        return self


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
    default_on: bool = False
    zero_config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class AdapterRegistration(Registration):
    """Offers an ``Adapter``: the client side of a protocol.

    Attributes:
        over: The name of the adapter that speaks the protocol below, such as ``http`` for one that only wants an
            address of its own. ``build`` then returns a ``CarriedAdapter``; it is off where the other one is.
    """

    kind: ClassVar[str] = "adapter"

    over: str | None = None


@dataclass(frozen=True, kw_only=True)
class ConnectorRegistration(Registration):
    """Offers a ``Connector``: the service side of a protocol.

    Attributes:
        protocol: The routes it serves (``protocol: http``).
        schemes: The instances it can reach; with ``over`` they are those of the protocol below.
        over: The protocol below, such as ``http``, whose connectors do the work, with their pools. ``build`` then
            returns a ``CarriedConnector``.
    """

    kind: ClassVar[str] = "connector"

    protocol: str
    schemes: tuple[str, ...] = ()
    over: str | None = None


@dataclass(frozen=True, kw_only=True)
class AuthenticatorRegistration(Registration):
    """Offers an ``Authenticator``.

    Attributes:
        challenge: The scheme for ``WWW-Authenticate`` when credentials are missing, such as ``Bearer``.
    """

    kind: ClassVar[str] = "authenticator"

    challenge: str


@dataclass(frozen=True, kw_only=True)
class LimiterRegistration(Registration):
    """Offers a ``Limiter``; its configuration model extends ``LimitConfig``.

    Attributes:
        limits_of: Returns the limits that a configuration means, each of which gets a component of its own; usually
            it means one. They are asked in this order, and get back what they gave if a later one refuses.
    """

    kind: ClassVar[str] = "limiter"

    limits_of: Callable[[Any], Sequence[Any]] = lambda config: (config,)


@dataclass(frozen=True, kw_only=True)
class BalancerRegistration(Registration):
    """Offers a ``Balancer``, chosen by ``loadBalance: <name>``.

    Attributes:
        other_names: Further values of ``loadBalance`` that choose it.
    """

    kind: ClassVar[str] = "balancer"

    other_names: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class DiscoveryRegistration(Registration):
    """Offers a ``DiscoveryProvider``. Its block usually stands under ``registry``."""

    kind: ClassVar[str] = "discovery provider"


@dataclass(frozen=True, kw_only=True)
class HealthCheckerRegistration(Registration):
    """Offers a ``HealthChecker``."""

    kind: ClassVar[str] = "health checker"


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


@dataclass(frozen=True, kw_only=True)
class ObserverRegistration(Registration):
    """Offers an ``Observer``."""

    kind: ClassVar[str] = "observer"


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
