"""The block ``registry.dns``."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from gateway import Config, Duration

__all__ = ["DnsConfig", "DnsServiceConfig"]

_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_SERVER = re.compile(r"(?:\[([^\]]+)\]|([^:\[\]]+))(?::([0-9]{1,5}))?|([0-9A-Fa-f:.]+)")
DNS_PORT = 53


def _name(value: str) -> str:
    name = value.strip().lower()
    labels = name.removesuffix(".").split(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        msg = f"{value!r} is not a name in the DNS; write one such as 'orders.internal'"
        raise ValueError(msg)
    return name


def _servers(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        server_of(value)
    return values


def _positive(value: float) -> float:
    if value <= 0:
        msg = "write a time above 0"
        raise ValueError(msg)
    return value


def server_of(text: str) -> tuple[str, int]:
    """Return address and port of a name server, written as ``10.0.0.2``, ``10.0.0.2:5353`` or ``[::1]:5353``.

    Raises:
        ValueError: If it is not written so.
    """
    match = _SERVER.fullmatch(text.strip())
    try:
        assert match is not None  # noqa: S101 - said as the others below
        address = str(ipaddress.ip_address(match[1] or match[2] or match[4]))
        port = int(match[3] or DNS_PORT)
        assert 1 <= port <= 65535  # noqa: S101 - as above
    except (AssertionError, ValueError):
        msg = f"{text!r} is not the address of a name server; write one such as '10.0.0.2' or '10.0.0.2:5353'"
        raise ValueError(msg) from None
    return address, port


Positive = Annotated[Duration, AfterValidator(_positive)]


class DnsServiceConfig(Config):
    """A service whose instances are found in the DNS."""

    name: str = Field(min_length=1, description="What rules call it in `serviceName`; unique.")
    host: Annotated[str, AfterValidator(_name)] = Field(
        description="The name that is asked for; for `srv` with service and protocol: `_http._tcp.orders.internal`."
    )
    type: Literal["a", "aaaa", "both", "srv"] | None = Field(
        default=None,
        description="The records: `a`, `aaaa`, `both`, or `srv`; without it `srv` for names with `_`, else `a`.",
    )
    port: int | None = Field(
        default=None, ge=1, le=65535, description="TCP port of the instances; needed unless `srv` says it."
    )
    scheme: Annotated[str, Field(pattern="^[a-z][a-z0-9+.-]*$")] | None = Field(
        default=None, description="How to speak to them; without it `https` on port 443, else `http`."
    )

    @model_validator(mode="after")
    def _has_a_port(self) -> Self:
        if self.port is None and self.records != "srv":
            msg = f"service {self.name!r} needs 'port': records of type '{self.records}' do not say it"
            raise ValueError(msg)
        return self

    @property
    def records(self) -> Literal["a", "aaaa", "both", "srv"]:
        """The records that are asked for."""
        return self.type or ("srv" if self.host.startswith("_") else "a")


class DnsConfig(Config):
    """Where instances are found in the DNS."""

    services: tuple[DnsServiceConfig, ...] = Field(min_length=1, description="The services.")
    servers: Annotated[tuple[str, ...], AfterValidator(_servers)] = Field(
        default=(), description="Name servers with port if it is not 53; without them those of the system."
    )
    timeout: Positive = Field(default=3.0, description="Seconds that one look-up may take.")
    minimum_ttl: Positive = Field(default=1.0, description="Seconds after which a name is asked again at the earliest.")
    maximum_ttl: Positive = Field(default=300.0, description="Seconds after which a name is asked again at the latest.")
    retry_interval: Positive = Field(
        default=5.0, description="Seconds after which a look-up that failed is tried again."
    )
    max_instances: int = Field(default=1000, ge=1, le=20000, description="How many instances of a service are taken.")

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        names = [service.name for service in self.services]
        if len(set(names)) < len(names):
            msg = "two services have one name; give each its own"
            raise ValueError(msg)
        if self.maximum_ttl < self.minimum_ttl:
            msg = "maximumTtl is shorter than minimumTtl"
            raise ValueError(msg)
        return self
