"""What the configuration of an offer extends: the base of all models, and what the core itself reads of some."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

__all__ = ["SOURCED_KEYS", "Config", "LimitConfig", "NoConfig", "RouteSourceConfig"]


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


def _policy_name(name: str | None) -> str | None:
    if name is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        msg = f"{name!r} is no name of a limit; write up to 64 letters, digits, '.', '_' and '-'"
        raise ValueError(msg)
    return name


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
        name: What clients and metrics call it; ``None`` is the name of the limiter.
        scope: Where it counts: ``route`` has a quota on each route, ``gateway`` one over all routes that have the
            limit.
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
    name: Annotated[str | None, AfterValidator(_policy_name)] = Field(
        default=None, description="What clients and metrics call it; the name of the limiter by default."
    )
    scope: Literal["route", "gateway"] = Field(
        default="route", description="Where it counts: on each `route` by itself, or over all of the `gateway`."
    )

    @model_validator(mode="after")
    def _knows_whom(self) -> Self:
        if self.before_authentication and self.key == "principal":
            msg = "nobody is known before authentication; take another key than 'principal', or no beforeAuthentication"
            raise ValueError(msg)
        return self


SOURCED_KEYS = (
    *("id", "path", "pathType", "serviceName", "host", "hosts", "methods", "priority", "loadBalance", "timeout"),
    *("protocol", "stripPrefix", "addPrefix", "preserveHost", "auth.scopes"),
)
"""What rules of route sources may set unless the operator says otherwise: which requests they are for and where these
go. Nothing that turns a check off, and nothing that costs more than a route."""


def _as_names(value: Any) -> Any:  # noqa: ANN401 - what pydantic hands to a validator
    return [value] if isinstance(value, str) else value


_Names = Annotated[
    tuple[str, ...],
    BeforeValidator(_as_names),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]


class RouteSourceConfig(Config):
    """What the core itself reads of every route source's configuration: which of its rules are let in.

    Attributes:
        allow: The keys that its rules may set, dotted; a key allows everything below it. ``authRequired: true`` may
            always be set.
        also_allow: The same, beside the default of ``allow``.
        allow_regex: Whether they may have ``pathType: regex``.
        defaults: What they say where they say nothing.
        force: What they say, whatever they say.
        hosts: The hosts they may be for; each must then name some. Empty allows all.
        path_prefixes: The paths they must lie below; empty allows all.
        max_priority: The highest ``priority`` they may have.
        max_rules: How many there may be; the others are left out.
    """

    allow: _Names = Field(
        default=SOURCED_KEYS,
        description="The keys that its rules may set, such as `path` or `auth.scopes`; `authRequired: true` always.",
    )
    also_allow: _Names = Field(default=(), description="Further keys that they may set, beside those of `allow`.")
    allow_regex: bool = Field(
        default=False, description="Whether they may have `pathType: regex`; some expressions keep a worker busy."
    )
    defaults: dict[str, Any] = Field(default_factory=dict, description="Keys of rules that do not set them.")
    force: dict[str, Any] = Field(default_factory=dict, description="Keys of all its rules, whatever they set.")
    hosts: _Names = Field(
        default=(), description="The hosts they may be for, such as `*.example.com`; without any, all hosts."
    )
    path_prefixes: _Names = Field(
        default=(), description="The paths that their paths must lie below; without any, all paths."
    )
    max_priority: int = Field(
        default=0, description="The highest `priority` they may have, so that none takes the requests of others."
    )
    max_rules: int = Field(default=10_000, ge=1, le=100_000, description="How many rules it may have.")
