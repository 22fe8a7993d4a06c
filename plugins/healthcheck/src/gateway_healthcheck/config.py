"""The block ``health``."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, WithJsonSchema, model_validator

from gateway import Config, Duration, Size
from gateway.tls import BackendTlsConfig
from gateway_healthcheck.legacy import modernised

__all__ = ["ActiveConfig", "DependencyConfig", "HealthConfig", "PassiveConfig", "SlowStartConfig"]

MIN_INTERVAL_S = 0.1
"""More than ten checks a second of one instance are a load, not a check."""
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""RFC 9110 section 5.6.2."""
_NO_TARGET = re.compile(r"[\x00-\x20\x7f#]")
_STATUSES = re.compile(r"([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?")


def _statuses(value: object) -> object:
    """Take 200, "200-299", or a list of these."""
    entries = value if isinstance(value, list | tuple) else [value]
    found: list[tuple[int, int]] = []
    for entry in entries:
        if isinstance(entry, tuple):
            found.append(entry)
            continue
        match = _STATUSES.fullmatch(str(entry))
        if match is None or int(match[2] or match[1]) < int(match[1]):
            msg = f"{entry!r} is not a status; write one such as 200, or a range such as '200-299'"
            raise ValueError(msg)
        found.append((int(match[1]), int(match[2] or match[1])))
    if not found:
        msg = "the list of statuses is empty; leave it out for 200-399"
        raise ValueError(msg)
    return tuple(found)


def _interval(value: float) -> float:
    if value < MIN_INTERVAL_S:
        msg = f"{value:g} s is too short; checks are at least {MIN_INTERVAL_S:g} s apart"
        raise ValueError(msg)
    return value


def _timeout(value: float) -> float:
    if value <= 0:
        msg = "a check without a time limit could wait for ever; write one above 0"
        raise ValueError(msg)
    return value


def _path(value: str) -> str:
    if not value.startswith("/") or _NO_TARGET.search(value) or not value.isascii():
        msg = f"{value!r} is not a path; begin it with '/', and escape what is neither ASCII nor printable"
        raise ValueError(msg)
    return value


def _method(value: str) -> str:
    if not _TOKEN.fullmatch(value):
        msg = f"{value!r} is not a method; write one such as GET"
        raise ValueError(msg)
    return value.upper()


def _headers(value: dict[str, str]) -> dict[str, str]:
    for name, content in value.items():
        if not _TOKEN.fullmatch(name) or re.search(r"[\r\n\0]", content) or not content.isascii():
            msg = f"{name!r} is not a header field that can be sent; use ASCII without line breaks"
            raise ValueError(msg)
    return value


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        msg = f"{value!r} is not a regular expression: {error}"
        raise ValueError(msg) from error
    return value


Statuses = Annotated[
    tuple[tuple[int, int], ...],
    BeforeValidator(_statuses),
    WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "array"}]}),
]
Interval = Annotated[Duration, AfterValidator(_interval)]
Timeout = Annotated[Duration, AfterValidator(_timeout)]
Path = Annotated[str, AfterValidator(_path)]
Percent = Annotated[float, Field(ge=0, le=100)]


class ActiveConfig(Config):
    """How instances are asked whether they work."""

    type: Literal["http", "tcp", "grpc", "exec"] = Field(
        default="http", description="`http`, `tcp` (a connection is enough), `grpc` (grpc.health.v1) or `exec`."
    )
    interval: Interval = Field(default=10.0, description="Seconds between the checks of an instance.")
    unhealthy_interval: Interval | None = Field(
        default=None, description="The same while it does not work; without it `interval`."
    )
    jitter: float = Field(
        default=0.1, ge=0, le=1, description="The share of the interval by which checks come earlier or later."
    )
    timeout: Timeout = Field(default=5.0, description="Seconds a check may take.")
    healthy_threshold: int = Field(default=2, ge=1, description="Successes in a row after which it works again.")
    unhealthy_threshold: int = Field(default=3, ge=1, description="Failures in a row after which it does not work.")
    initial_state: Literal["healthy", "unhealthy"] = Field(
        default="healthy", description="What a new instance counts as until the first check has succeeded."
    )
    port: int | None = Field(default=None, ge=1, le=65535, description="Another port than the instance's own.")
    method: Annotated[str, AfterValidator(_method)] = Field(default="GET", description="`http`: the method.")
    path: Path = Field(default="/health", description="`http`: the path, with a query if need be.")
    host: str | None = Field(
        default=None, description="`http`, `grpc`: the `Host` asked for; without it the instance's address and port."
    )
    headers: Annotated[dict[str, str], AfterValidator(_headers)] = Field(
        default_factory=dict, description="`http`, `grpc`: more header fields."
    )
    http2: bool | None = Field(
        default=None,
        description="`http`: whether it is HTTP/2 that is spoken; without it, to instances with scheme `h2`, `h2c`, "
        "`grpc` or `grpcs` that are asked on their own port.",
    )
    expected_statuses: Statuses = Field(
        default=((200, 399),), description="`http`: statuses that mean it works: 200, `200-299`, or a list."
    )
    expected_body: Annotated[str, AfterValidator(_pattern)] | None = Field(
        default=None, description="`http`: a regular expression that the beginning of the body must contain."
    )
    max_body: Size = Field(default=65536, le=1048576, description="`http`: how much of the body is looked at.")
    tls: BackendTlsConfig = Field(
        default_factory=BackendTlsConfig,
        description="`http`, `grpc`: what is another over TLS than for requests to the service.",
    )
    grpc_service: str = Field(default="", description="`grpc`: the service asked about; empty is the server as such.")
    command: str | None = Field(default=None, description="`exec`: one of `commands`.")
    args: tuple[str, ...] = Field(default=(), description="`exec`: further arguments.")

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        if self.type == "exec" and self.command is None:
            msg = "type 'exec' needs 'command', the name of one of health.commands"
            raise ValueError(msg)
        for name in sorted(self.model_fields_set):
            types = _TYPES_OF.get(name)
            if types is not None and self.type not in types:
                msg = f"{name!r} means nothing for type {self.type!r}; it is for {' and '.join(types)}"
                raise ValueError(msg)
        return self


_TYPES_OF: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("method", "path", "http2", "expected_statuses", "expected_body", "max_body"), ("http",)),
    **dict.fromkeys(("host", "headers", "tls"), ("http", "grpc")),
    "grpc_service": ("grpc",),
    "command": ("exec",),
    "args": ("exec",),
}


class PassiveConfig(Config):
    """What makes an instance an outlier, seen from the attempts at it. Defaults are those of Envoy."""

    consecutive_5xx: int = Field(
        default=5, ge=0, alias="consecutive5xx", description="5xx answers or failures in a row; 0 is off."
    )
    consecutive_gateway_errors: int = Field(
        default=5, ge=0, description="Failures to reach it, time-outs, 502, 503 and 504 in a row; 0 is off."
    )
    interval: Interval = Field(default=10.0, description="Seconds over which rates and latencies are compared.")
    success_rate_deviations: float = Field(
        default=1.9,
        ge=0,
        le=10,
        description="Standard deviations its success rate may be below the mean of the service; 0 is off.",
    )
    latency_factor: float = Field(
        default=0.0, ge=0, description="How often the median latency of the service its own may be; 0 is off."
    )
    minimum_requests: int = Field(
        default=100, ge=1, description="Attempts in an interval, of one worker, that an instance needs to be compared."
    )
    minimum_instances: int = Field(default=5, ge=3, description="Instances that must have them.")
    ejection_time: Timeout = Field(
        default=30.0, description="Seconds it is left alone: the first time; the second time twice that, and so on."
    )
    max_ejection_time: Timeout = Field(default=300.0, description="The longest time it is left alone.")
    max_ejection_percent: Percent = Field(
        default=10.0, description="How much of a service may be ejected at once; one instance always."
    )

    @model_validator(mode="after")
    def _times_fit(self) -> Self:
        if self.max_ejection_time < self.ejection_time:
            msg = "maxEjectionTime is shorter than ejectionTime; make it at least as long"
            raise ValueError(msg)
        if 0 < self.latency_factor <= 1:
            msg = "latencyFactor must be above 1: half of all instances are slower than the median"
            raise ValueError(msg)
        return self


class SlowStartConfig(Config):
    """How an instance that works again gets its traffic back."""

    window: Duration = Field(default=0.0, description="Seconds until it has all of it; 0 gives it all at once.")
    minimum_percent: int = Field(default=10, ge=1, le=100, description="What it begins with.")
    aggression: float = Field(
        default=1.0, gt=0, le=10, description="1 is linear; above 1 gives more of it early, below 1 late (as in Envoy)."
    )


class ServiceConfig(Config):
    """What is different for one service."""

    active: dict[str, Any] | Literal[False] = Field(
        default_factory=dict, description="Keys of `active` that differ; `false` turns active checks off."
    )
    passive: dict[str, Any] | Literal[False] = Field(
        default_factory=dict, description="Keys of `passive` that differ; `false` turns ejection off."
    )
    slow_start: dict[str, Any] = Field(default_factory=dict, description="Keys of `slowStart` that differ.")
    panic_threshold: Percent | None = Field(default=None, description="Another `panicThreshold`.")


class DependencyConfig(Config):
    """Something the gateway itself needs; while it does not work, the gateway is unhealthy and not ready."""

    type: Literal["http", "tcp", "grpc", "exec"] = Field(description="How it is asked.")
    interval: Interval = Field(default=30.0, description="Seconds between checks.")
    timeout: Timeout = Field(default=5.0, description="Seconds a check may take.")
    config: dict[str, Any] = Field(
        default_factory=dict,
        description="`url` (http); `address` (tcp); `address` and `service` (grpc); `command` and `args` (exec); "
        "beside these, keys of `active` for the type.",
    )


class HealthConfig(Config):
    """Who works, and how that is found out."""

    health_path: Path | None = Field(default=None, description="Answers whether the gateway works: 200 or 503.")
    ready_path: Path | None = Field(default=None, description="Answers whether it wants traffic: 200 or 503.")
    live_path: Path | None = Field(default=None, description="Answers that the process lives: 200.")
    details: bool = Field(
        default=False, description="Whether `healthPath` names the checks to strangers, with their state and duration."
    )
    active: ActiveConfig | None = Field(
        default=None, description="Asks the instances of every service whether they work."
    )
    passive: PassiveConfig | None = Field(
        default=None, description="Ejects instances of every service on which attempts fail."
    )
    slow_start: SlowStartConfig = Field(
        default_factory=SlowStartConfig, description="How an instance that works again gets its traffic back."
    )
    panic_threshold: Percent = Field(
        default=0.0,
        description="When fewer percent of a service's instances work, all of them get traffic; 0 is never.",
    )
    max_concurrency: int = Field(default=128, ge=1, le=4096, description="How many checks run at once.")
    commands: dict[str, Annotated[tuple[str, ...], Field(min_length=1)]] = Field(
        default_factory=dict, description="What `exec` may run: by name, a program with its whole path and arguments."
    )
    services: dict[str, ServiceConfig] = Field(default_factory=dict, description="What is different, by service.")
    checks: dict[str, DependencyConfig] = Field(
        default_factory=dict, description="What the gateway itself needs, by name."
    )

    @model_validator(mode="before")
    @classmethod
    def _in_one_spelling(cls, data: object, info: ValidationInfo) -> object:
        return modernised(data) if isinstance(data, dict) else data

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        for name, argv in self.commands.items():
            if not argv[0].startswith("/"):
                msg = f"commands.{name}: {argv[0]!r} is not a whole path; a name could be found anywhere"
                raise ValueError(msg)
        paths = [path for path in (self.health_path, self.ready_path, self.live_path) if path is not None]
        if len(set(paths)) < len(paths):
            msg = "healthPath, readyPath and livePath must differ"
            raise ValueError(msg)
        commands = [self.active, *(self.active_for(name) for name in self.services)]
        commands += [dependency_probe(name, each)[0] for name, each in self.checks.items()]
        for each in commands:
            if each is not None and each.command is not None and each.command not in self.commands:
                msg = f"{each.command!r} is not one of health.commands; only what is declared there may run"
                raise ValueError(msg)
        for name in self.services:
            self.passive_for(name)
            self.slow_start_for(name)
        return self

    def active_for(self, service: str) -> ActiveConfig | None:
        """Return how the instances of ``service`` are asked; ``None`` if they are not."""
        override = self.services[service].active if service in self.services else {}
        return _merged(ActiveConfig, self.active, override, f"services.{service}.active")

    def passive_for(self, service: str) -> PassiveConfig | None:
        """Return what makes an outlier in ``service``; ``None`` if nothing does."""
        override = self.services[service].passive if service in self.services else {}
        return _merged(PassiveConfig, self.passive, override, f"services.{service}.passive")

    def passive_configs(self) -> list[PassiveConfig]:
        """Return everything that makes an outlier anywhere."""
        return [each for name in ("", *self.services) if (each := self.passive_for(name)) is not None]

    def slow_start_for(self, service: str) -> SlowStartConfig:
        """Return how instances of ``service`` begin again."""
        override = self.services[service].slow_start if service in self.services else {}
        return _merged(SlowStartConfig, self.slow_start, override, f"services.{service}.slowStart") or self.slow_start

    def panic_threshold_for(self, service: str) -> float:
        """Return the percentage of working instances below which all of ``service`` get traffic."""
        own = self.services[service].panic_threshold if service in self.services else None
        return self.panic_threshold if own is None else own


M = TypeVar("M", bound=Config)


def _merged(model: type[M], base: M | None, override: dict[str, Any] | Literal[False], where: str) -> M | None:
    """Return ``base`` with what ``override`` says; ``None`` if it is off."""
    if override is False or (base is None and not override):
        return None
    if not override:
        return base
    kept = base.model_dump(exclude_unset=True, by_alias=True) if base is not None else {}
    if "type" in override and override["type"] != kept.get("type", "http"):
        # What belongs to the other type does not come along.
        kept = {key: value for key, value in kept.items() if key not in _TYPED_KEYS}
    try:
        return model.model_validate({**kept, **override})
    except ValueError as error:
        msg = f"{where}: {error}"
        raise ValueError(msg) from error


_TYPED_KEYS = {"type", *(ActiveConfig.model_fields[name].alias for name in _TYPES_OF)}


def dependency_probe(name: str, check: DependencyConfig) -> tuple[ActiveConfig, str, str, int]:
    """Return how a dependency is asked: the check, and scheme, address and port.

    Raises:
        ValueError: If that is not said, or wrong.
    """
    given = dict(check.config)
    where = f"checks.{name}.config"
    scheme, address, port = "http", "", 0
    if check.type == "http":
        scheme, address, port, path = _split_url(str(given.pop("url", "")), where)
        given.setdefault("path", path)
    elif check.type in ("tcp", "grpc"):
        address, port = _split_address(str(given.pop("address", "")), where)
        if check.type == "grpc" and "service" in given:
            service = str(given.pop("service"))
            # The original's default, which no server knows as a service; it means the server as such.
            given["grpcService"] = "" if service == "grpc.health.v1.Health" else service
    elif isinstance(given.get("args"), str):
        given["args"] = (given["args"],)
    try:
        probe = ActiveConfig.model_validate(
            {"interval": check.interval, "timeout": check.timeout, "type": check.type, **given}
            | {"healthyThreshold": 1, "unhealthyThreshold": 1}
        )
    except ValueError as error:
        msg = f"{where}: {error}"
        raise ValueError(msg) from error
    return probe, scheme, address, port


_URL = re.compile(r"(https?)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?(/[^\s#]*)?")
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")


def _split_url(url: str, where: str) -> tuple[str, str, int, str]:
    match = _URL.fullmatch(url)
    if match is None or (match[3] is not None and not 1 <= int(match[3]) <= 65535):
        msg = f"{where}.url: {url!r} is not a URL; write one such as 'http://db-proxy:8080/ready', without credentials"
        raise ValueError(msg)
    port = int(match[3]) if match[3] else {"http": 80, "https": 443}[match[1]]
    return match[1], match[2].strip("[]"), port, match[4] or "/"


def _split_address(text: str, where: str) -> tuple[str, int]:
    match = _ADDRESS.fullmatch(text)
    if match is None or not 1 <= int(match[2]) <= 65535:
        msg = f"{where}.address: {text!r} is not an address; write one such as 'db:5432'"
        raise ValueError(msg)
    return match[1].strip("[]"), int(match[2])


def share_percent(config: SlowStartConfig, since_s: float) -> int:
    """Return the share of its weight an instance is granted so long after it came back, in steps of ten percent.

    Envoy's formula (slow start, in its documentation of load balancing); in steps, for each is told to every worker.

    Args:
        config: How it begins again.
        since_s: Seconds since then.
    """
    if since_s >= config.window:
        return 100
    share = float(max(since_s / config.window, 0.0) ** (1 / config.aggression))
    return min(max(config.minimum_percent, math.floor(share * 10) * 10), 100)
