"""The block ``registry.static``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, field_validator, model_validator

from gateway import Config
from gateway_static.address import parse_address
from gateway_static.weight import MAX_WEIGHT, parse_weight

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["InstanceConfig", "ServiceConfig", "StaticConfig"]

DEFAULT_PORTS = {"http": 80, "https": 443}
"""RFC 9110 sections 4.2.1 and 4.2.2."""

MAX_PORT = 65535

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
"""RFC 3986 section 3.1."""


def _check_port(value: object) -> object:
    is_number = not isinstance(value, bool) and str(value).strip().isdecimal()
    if not is_number or not 1 <= int(str(value)) <= MAX_PORT:
        msg = f"{value!r} is not a TCP port; write a number from 1 to {MAX_PORT}"
        raise ValueError(msg)
    return value


def _parse_scheme(text: str) -> str:
    scheme = text.strip().lower()
    if not _SCHEME.fullmatch(scheme):
        msg = f"{text!r} is not a scheme; write 'http' or 'https', without '://'"
        raise ValueError(msg)
    return scheme


def _parse_health(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in {"healthy", "unhealthy"}:
        return value.strip().lower() == "healthy"
    if isinstance(value, Mapping):
        msg = (
            "a block is no state of health; write 'healthy' or 'unhealthy', and how instances are checked in "
            "gateway.health.services.<name>.active"
        )
        raise ValueError(msg)  # noqa: TRY004 - pydantic turns ValueError into a message
    msg = f"{value!r} is not a state of health; write 'healthy' or 'unhealthy', or leave the key out for 'healthy'"
    raise ValueError(msg)


Address = Annotated[str, AfterValidator(parse_address)]
Port = Annotated[int, Field(ge=1, le=MAX_PORT), BeforeValidator(_check_port)]
Scheme = Annotated[str, AfterValidator(_parse_scheme)]
Health = Annotated[
    bool, BeforeValidator(_parse_health), WithJsonSchema({"enum": ["healthy", "unhealthy", True, False]})
]
Weight = Annotated[
    float, BeforeValidator(parse_weight), WithJsonSchema({"type": "number", "minimum": 0, "maximum": MAX_WEIGHT})
]


class InstanceConfig(Config):
    """One instance of a service."""

    id: str = Field("", description="A name for people, unique in the service; without it, `address:port`.")
    address: Address = Field(description="Host name or IP address; IPv6 with or without brackets.")
    port: Port | None = Field(
        None, description="TCP port; without it, that of the scheme: 80 for `http`, 443 for `https`."
    )
    scheme: Scheme | None = Field(
        None,
        description="How to speak to it: `http`, `https`, or what a plugin adds; without it, `https` on port 443, "
        "else `http`.",
    )
    weight: Weight | None = Field(
        None,
        description="Its share of the traffic, relative to the other instances; 0 takes none. Without it, "
        "`metadata.weight`, else 1.",
    )
    health: Health = Field(
        default=True, description="`healthy` (or true) takes traffic, `unhealthy` (or false) does not."
    )
    metadata: dict[str, object] = Field(
        default_factory=dict, description="Anything else about it, for plugins; `weight` in it counts as the weight."
    )
    tags: tuple[str, ...] = Field((), description="Labels; plugins find them in the metadata as `tags`.")

    @model_validator(mode="before")
    @classmethod
    def _speaks_as_rules_say(cls, data: object) -> object:
        return _without(data, "protocol", "what is spoken is said by the 'protocol' of the rule and by 'scheme' here")

    @model_validator(mode="after")
    def _is_complete(self) -> InstanceConfig:
        if self.port is None and self.effective_scheme not in DEFAULT_PORTS:
            msg = f"scheme {self.scheme!r} has no default port; add 'port'"
            raise ValueError(msg)
        if "weight" in self.metadata:
            try:
                parse_weight(self.metadata["weight"])
            except ValueError as error:
                msg = f"metadata.weight: {error}"
                raise ValueError(msg) from error
        if self.tags and "tags" in self.metadata:
            msg = "'tags' and 'metadata.tags' are both given; keep 'tags'"
            raise ValueError(msg)
        return self

    @property
    def effective_scheme(self) -> str:
        """The scheme as written, else the one that belongs to the port."""
        return self.scheme or ("https" if self.port == DEFAULT_PORTS["https"] else "http")

    @property
    def effective_port(self) -> int:
        """The port as written, else the one that belongs to the scheme."""
        return self.port or DEFAULT_PORTS[self.effective_scheme]

    @property
    def effective_weight(self) -> float:
        """The weight as written, else that of the metadata, else 1."""
        return parse_weight(self.metadata.get("weight", 1)) if self.weight is None else self.weight

    @property
    def authority(self) -> str:
        """``address:port``, what the instance is called when it has no id."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.effective_port}"


class ServiceConfig(Config):
    """A service and its instances."""

    name: str = Field(min_length=1, description="What rules call it in `serviceName`; unique.")
    instances: tuple[InstanceConfig, ...] = Field(description="Its instances, at least one.")

    @model_validator(mode="before")
    @classmethod
    def _speaks_as_rules_say(cls, data: object) -> object:
        return _without(data, "type", "what a service speaks is said by the 'protocol' of the rule; write that")

    @model_validator(mode="after")
    def _instances_differ(self) -> ServiceConfig:
        if not self.instances:
            msg = f"service {self.name!r} has no instances; add at least one, or remove the service"
            raise ValueError(msg)
        places = (f"{instance.effective_scheme}://{instance.authority}" for instance in self.instances)
        if (place := _first_repeated(places)) is not None:
            msg = f"service {self.name!r} lists {place} twice; keep one, and use 'weight' for a larger share"
            raise ValueError(msg)
        if (name := _first_repeated(instance.id or instance.authority for instance in self.instances)) is not None:
            msg = f"service {self.name!r} has two instances with the id {name!r}; give each its own 'id'"
            raise ValueError(msg)
        return self


class StaticConfig(Config):
    """Services and instances, listed."""

    services: tuple[ServiceConfig, ...] = Field(description="The services, at least one.")

    @field_validator("services")
    @classmethod
    def _names_differ(cls, services: tuple[ServiceConfig, ...]) -> tuple[ServiceConfig, ...]:
        if not services:
            msg = "no service is listed; add at least one, or remove the block"
            raise ValueError(msg)
        if (name := _first_repeated(service.name for service in services)) is not None:
            msg = f"service {name!r} is listed twice; put all its instances under one entry"
            raise ValueError(msg)
        return services


def _without(data: object, key: str, reason: str) -> object:
    """Return what is configured, if a key of the original gateway's files is not there that means nothing here."""
    if isinstance(data, Mapping) and key in data:
        msg = f"{key!r} is not known here: {reason}"
        raise ValueError(msg)
    return data


def _first_repeated(values: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None
