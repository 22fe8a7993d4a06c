"""The core's own configuration: everything under ``gateway:`` that no plugin brings.

Blocks of plugins stand between these keys, in ``frontend``, ``backend``, ``registry``, ``auth``, ``middleware``,
``plugins`` and beside them; ``gateway.config.claims`` takes them out before these models see the rest.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, WithJsonSchema, model_validator

from gateway.interfaces import Stage
from gateway.plugin_config import Config
from gateway.units import Duration

__all__ = [
    "AdminConfig",
    "AuthConfig",
    "ErrorsConfig",
    "GatewayConfig",
    "IdentityHeadersConfig",
    "LoggingConfig",
    "PipelineConfig",
    "PluginsConfig",
    "RegistryConfig",
    "RouterConfig",
    "RuleAuthConfig",
    "RuleConfig",
]

DEFAULT_BALANCER = "round_robin"


def _as_list(value: Any) -> Any:  # noqa: ANN401 - what pydantic hands to a validator
    return [value] if isinstance(value, str | int) and not isinstance(value, bool) else value


def _lower(value: Any) -> Any:  # noqa: ANN401 - see _as_list
    return value.lower() if isinstance(value, str) else value


Names = Annotated[
    tuple[str, ...],
    BeforeValidator(_as_list),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
"""A list of names; a single one may be written without brackets."""


def _methods(values: tuple[str, ...]) -> tuple[str, ...]:
    methods = tuple(value.upper() for value in values)
    for method in methods:
        if not re.fullmatch(r"[A-Z0-9!#$%&'*+.^_`|~-]+", method):
            msg = f"{method!r} is not a method; write one such as GET"
            raise ValueError(msg)
    if not methods:
        msg = "the list of methods is empty; leave it out to allow them all"
        raise ValueError(msg)
    return methods


def _absolute(value: bool | str) -> bool | str:  # noqa: FBT001 - the value of a key, not a switch
    if isinstance(value, str) and not value.startswith("/"):
        msg = f"{value!r} is not a path; begin it with '/'"
        raise ValueError(msg)
    return value


def _stages(order: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    known = [stage.name.lower() for stage in Stage]
    for name in order:
        if name not in known:
            msg = f"{name!r} is not a stage; the stages are {', '.join(known)}"
            raise ValueError(msg)
    return order


class LoggingConfig(Config):
    """What the gateway logs about itself."""

    level: Annotated[Literal["debug", "info", "warn", "error"], BeforeValidator(_lower)] = Field(
        default="info", description="The least severe records that are written."
    )
    format: Annotated[Literal["text", "json"], BeforeValidator(_lower)] = Field(
        default="text", description="One line of text, or one JSON object, for each record."
    )


class AdminConfig(Config):
    """The endpoints under `/_gateway/`."""

    token: SecretStr | None = Field(
        default=None, description="What `Authorization: Bearer` must carry; without it only public endpoints answer."
    )


class ErrorsConfig(Config):
    """How failures are answered."""

    upstream_timeout_status: Literal[504, 408] = Field(
        default=504, description="The status when an instance was too slow; 408 as the original gateway had it."
    )


class PipelineConfig(Config):
    """The order of policies."""

    order: Annotated[dict[str, tuple[str, ...]], AfterValidator(_stages)] = Field(
        default_factory=dict,
        description="For a stage (edge, authenticate, authorize, limit, transform, retry, attempt), the policies that "
        "come first in it, outermost first; the others follow by name.",
    )


class PluginsConfig(Config):
    """Plugins that are not installed, and the blocks of those that are."""

    files: Names = Field(
        default=(), description="Python files that are plugins, relative to the configuration file; on by default."
    )


class RegistryConfig(Config):
    """Where instances are found."""

    type: Names | None = Field(
        default=None, description="Which of the blocks here is used, or a list of them; without it all that are here."
    )


class RouterConfig(Config):
    """How requests find their service. The rules themselves are read one by one, as `RuleConfig`."""

    encoded_slashes: bool = Field(
        default=False, description="Whether `%2F` may stand in a path; refused with 400 otherwise."
    )
    default_load_balance: str = Field(
        default=DEFAULT_BALANCER, description="The balancer of rules that do not name one with `loadBalance`."
    )


_NOT_OURS = frozenset(
    (
        *("authorization", "connection", "content-length", "content-type", "cookie", "expect", "forwarded", "host"),
        *("keep-alive", "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
        *("via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-request-id"),
    )
)


def _identity_field(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9]+(-[A-Za-z0-9]+){0,7}", name):
        msg = f"{name!r} cannot carry an identity; write letters and digits, joined by at most 7 hyphens"
        raise ValueError(msg)
    if name.lower() in _NOT_OURS:
        msg = f"{name!r} has another meaning; take a name such as 'X-Auth-Subject'"
        raise ValueError(msg)
    return name


IdentityField = Annotated[str, AfterValidator(_identity_field)]
"""A field in which services are told about the caller."""


class IdentityHeadersConfig(Config):
    """Which fields tell services who is calling. Fields of these names that clients send never reach a service."""

    subject: IdentityField | None = Field(
        default="X-Auth-Subject", description="The field for who is calling; `null` sends none."
    )
    type: IdentityField | None = Field(
        default="X-Auth-Type", description="The field for `user`, `service` or `device`; `null` sends none."
    )
    provider: IdentityField | None = Field(
        default="X-Auth-Provider", description="The field for the authenticator that found it out; `null` sends none."
    )
    scopes: IdentityField | None = Field(
        default="X-Auth-Scopes",
        description="The field for the scopes, sorted and separated by spaces; `null` sends none.",
    )
    claims: dict[str, IdentityField] = Field(
        default_factory=dict, description="Claims of the caller, each with its field; what is not text becomes JSON."
    )

    @model_validator(mode="after")
    def _is_distinct(self) -> Self:
        names = [self.subject, self.type, self.provider, self.scopes, *self.claims.values()]
        taken = [name.lower() for name in names if name is not None]
        twice = sorted({name for name in taken if taken.count(name) > 1})
        if twice:
            msg = f"the field {twice[0]!r} is named twice; give each its own"
            raise ValueError(msg)
        return self


class AuthConfig(Config):
    """Who may use the gateway, where a rule does not say otherwise."""

    required: bool = Field(
        default=False, description="Whether every request needs valid credentials, `skipPaths` excepted."
    )
    providers: Names | None = Field(
        default=None,
        description="The authenticators, in the order they are tried; without it all that are on, by name.",
    )
    skip_paths: Names = Field(
        default=(),
        description="Paths that need no credentials, with everything below them; `/public` and `/public/*` alike.",
    )
    required_scopes: Names = Field(default=(), description="Scopes that every caller needs; implies `required`.")
    identity_headers: IdentityHeadersConfig = Field(
        default_factory=IdentityHeadersConfig,
        description="How services are told who is calling; on where the block stands or an authenticator is on.",
    )


class GatewayConfig(Config):
    """Everything under `gateway:` that belongs to no plugin."""

    workers: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        default=1, description="How many processes serve; `auto` is one for each core."
    )
    shutdown_delay: Duration = Field(
        default=0.0,
        description="Seconds between SIGTERM, when `/_gateway/ready` begins to say no, and the end of listening.",
    )
    shutdown_timeout: Duration = Field(
        default=30.0, description="Seconds that requests under way may take when it stops."
    )
    disabled_plugins: Names = Field(
        default=(), description="Plugins, by their own name or that of their distribution, that are not even imported."
    )
    plugins: PluginsConfig = Field(
        default_factory=PluginsConfig, description="Blocks of plugins that have no other place."
    )
    pipeline: PipelineConfig = Field(default_factory=PipelineConfig, description="The order of policies.")
    errors: ErrorsConfig = Field(default_factory=ErrorsConfig, description="How failures are answered.")
    logging: LoggingConfig = Field(default_factory=LoggingConfig, description="What the gateway logs about itself.")
    admin: AdminConfig = Field(default_factory=AdminConfig, description="The endpoints under `/_gateway/`.")
    registry: RegistryConfig = Field(default_factory=RegistryConfig, description="Where instances are found.")
    router: RouterConfig = Field(default_factory=RouterConfig, description="How requests find their service.")
    auth: AuthConfig = Field(default_factory=AuthConfig, description="Who may use the gateway.")


class RuleAuthConfig(Config):
    """Who may use a rule's route."""

    required: bool | None = Field(
        default=None, description="Whether requests need valid credentials; see `authRequired`."
    )
    scopes: Names = Field(
        default=(), description="Scopes that callers need beside those of `gateway.auth.requiredScopes`."
    )
    type: Names | None = Field(default=None, description="The authenticators that are tried; see `authType`.")


class RuleConfig(Config):
    """A rule: which requests it is for, and where they go."""

    id: str | None = Field(default=None, description="Unique; without it made of methods, host and path.")
    path: str = Field(description="The pattern: `/users/:id`, `/users/{id}`, `/files/*`, `/v*/users`.")
    path_type: Literal["template", "exact", "prefix", "regex"] = Field(
        default="template", description="How `path` is read."
    )
    service_name: str = Field(
        default="", description="The service; may be missing where a plugin of the rule answers by itself."
    )
    host: str | None = Field(default=None, description="The host it is for: `example.com`, `*.example.com`.")
    hosts: Names = Field(default=(), description="The hosts it is for, if there are several.")
    methods: Annotated[Names, AfterValidator(_methods)] | None = Field(
        default=None,
        description="The methods it is for, and uses of GET that plugins bring, such as WEBSOCKET and SSE. Without it "
        "all of them.",
    )
    headers: dict[str, Any] | list[Any] | None = Field(default=None, description="What header fields must be like.")
    query_params: dict[str, Any] | list[Any] | None = Field(
        default=None, description="What query parameters must be like."
    )
    priority: int = Field(default=0, description="The higher wins over more specific rules.")
    load_balance: str | None = Field(
        default=None, description="The balancer that chooses the instance; without it `router.defaultLoadBalance`."
    )
    timeout: Duration | None = Field(
        default=None,
        description="Seconds an instance may take to answer; 0 has no limit, without it the backend's default.",
    )
    protocol: Annotated[str, BeforeValidator(_lower)] = Field(default="http", description="What the service speaks.")
    strip_prefix: Annotated[bool | str, AfterValidator(_absolute)] = Field(
        default=False, description="What is taken off the path; `true` is everything before the first wildcard."
    )
    add_prefix: Annotated[str, AfterValidator(_absolute)] | None = Field(
        default=None, description="What is put before the path, after stripping."
    )
    preserve_host: bool = Field(default=True, description="Whether the client's `Host` reaches the service.")
    allow_upgrade: bool | Annotated[Names, AfterValidator(lambda names: tuple(map(str.lower, names)))] | None = Field(
        default=None,
        description="Protocols that clients may change to; `true` is `[websocket]`, as is WEBSOCKET in `methods` or "
        "`protocol: websocket`.",
    )
    metadata: dict[str, Any] = Field(default_factory=dict, description="Anything that plugins want to know.")
    explain: bool = Field(
        default=False,
        description="Whether requests with a token of `gateway explain --token` are told what each policy did.",
    )
    auth_required: bool | None = Field(
        default=None,
        description="`true` needs valid credentials; `false` asks for none, unless `gateway.auth.required`.",
    )
    auth_type: Names | None = Field(
        default=None, description="The authenticators that are tried; naming one requires credentials."
    )
    auth: RuleAuthConfig = Field(default_factory=RuleAuthConfig, description="The same, and scopes, as a block.")
