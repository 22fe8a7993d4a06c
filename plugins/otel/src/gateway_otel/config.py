"""The block ``telemetry``."""

from __future__ import annotations

import ipaddress
import os
import re
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from gateway import Config, Duration

__all__ = ["ExportConfig", "MetricsConfig", "TelemetryConfig", "TracingConfig"]

DEFAULT_ENDPOINTS = {"http/protobuf": "localhost:4318", "grpc": "localhost:4317"}
"""The collector's own ports (OTLP specification 1.5, sections on OTLP/HTTP and OTLP/gRPC)."""
SAMPLERS = {
    "parentbased_traceidratio": "parent",
    "parentbased_always_on": "parent",
    "traceidratio": "ratio",
    "traceidratiobased": "ratio",
    "probability": "ratio",
}
"""Names of OpenTelemetry (``OTEL_TRACES_SAMPLER``) for ours."""
_FIELD_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def _protocol(value: Any) -> Any:  # noqa: ANN401 - what pydantic hands to a validator
    known = {"otlp": "http/protobuf", "otlphttp": "http/protobuf", "http": "http/protobuf", "otlpgrpc": "grpc"}
    return known.get(value.lower(), value.lower()) if isinstance(value, str) else value


def _sampler(value: Any) -> Any:  # noqa: ANN401 - as above
    return SAMPLERS.get(value.lower(), value.lower()) if isinstance(value, str) else value


def _nothing_as_empty(value: Any) -> Any:  # noqa: ANN401 - as above; a key with nothing behind it
    return {} if value is None else value


def _endpoint(value: str | None) -> str | None:
    if value is not None:
        parts = urlsplit(value if "://" in value else f"//{value}")
        try:
            is_right = parts.scheme in ("", "http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            is_right = False
        if not is_right or parts.query or parts.fragment or parts.username:
            msg = f"{value!r} is not an endpoint; write 'collector:4318' or 'https://collector.example/otlp'"
            raise ValueError(msg)
    return value


def _fields(fields: dict[str, SecretStr]) -> dict[str, SecretStr]:
    for name, value in fields.items():
        text = value.get_secret_value()
        if not _FIELD_NAME.fullmatch(name) or not text.isascii() or not text.isprintable():
            msg = f"{name!r} cannot be sent as a header; its name or value holds what a header cannot"
            raise ValueError(msg)
    return {name.lower(): value for name, value in fields.items()}


Endpoint = Annotated[str | None, AfterValidator(_endpoint)]
Headers = Annotated[dict[str, SecretStr], BeforeValidator(_nothing_as_empty), AfterValidator(_fields)]


class ExportConfig(Config):
    """Where to, and how; traces and metrics may differ."""

    endpoint: Endpoint = Field(
        default=None,
        description="The collector: `host:port` or a URL; without it `OTEL_EXPORTER_OTLP_ENDPOINT`, or this machine.",
    )
    protocol: Annotated[Literal["http/protobuf", "grpc"], BeforeValidator(_protocol)] = Field(
        default="http/protobuf",
        description="OTLP over HTTP (`http/protobuf`), or gRPC (`grpc`), which needs `gateway-otel[grpc]`.",
    )
    headers: Headers = Field(
        default_factory=dict, description="Sent with every export, such as the key of a provider; kept secret."
    )
    insecure: bool | None = Field(
        default=None,
        description="Without TLS, for an endpoint that is no URL; without it TLS is used unless it is this machine.",
    )
    ca_file: str | None = Field(default=None, description="Authorities, in PEM, instead of the system's.")
    compression: Literal["gzip", "none"] = Field(default="gzip", description="How exports are compressed.")
    timeout: Duration = Field(default=10.0, gt=0, le=60, description="Seconds that one export may take.")

    @property
    def url(self) -> str:
        """The endpoint as a URL without a slash at its end."""
        fallback = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or DEFAULT_ENDPOINTS[self.protocol]
        endpoint = self.endpoint or fallback
        if "://" not in endpoint:
            host = urlsplit(f"//{endpoint}").hostname or ""
            is_plain = self.insecure if self.insecure is not None else _is_this_machine(host)
            endpoint = f"{'http' if is_plain else 'https'}://{endpoint}"
        return endpoint.rstrip("/")

    @property
    def all_headers(self) -> dict[str, str]:
        """The headers, those of ``OTEL_EXPORTER_OTLP_HEADERS`` included."""
        pairs = (item.partition("=") for item in os.environ.get("OTEL_EXPORTER_OTLP_HEADERS", "").split(",") if item)
        found = {name.strip().lower(): unquote(value.strip()) for name, _, value in pairs}
        return {**found, **{name: value.get_secret_value() for name, value in self.headers.items()}}


class TracingConfig(ExportConfig):
    """Which requests are recorded as traces, and where these go."""

    enabled: bool = Field(default=True, description="`false` records no traces; contexts pass through untouched.")
    sample_rate: float = Field(
        default=1.0, ge=0, le=1, description="The share of requests that are recorded, from 0 to 1."
    )
    sampler: Annotated[Literal["parent", "ratio", "always_on", "always_off"], BeforeValidator(_sampler)] = Field(
        default="parent",
        description="`parent` does as the client did, and decides by `sampleRate` where it said nothing; `ratio` "
        "decides by `sampleRate` alone; `always_on` and `always_off` record all or nothing.",
    )
    max_batch_size: int = Field(default=512, ge=1, le=10_000, description="Spans that are sent together.")
    batch_timeout: Duration = Field(
        default=5.0, gt=0, le=300, description="Seconds after which spans are sent though they are fewer."
    )
    max_queue_size: int = Field(
        default=2048, ge=1, le=1_000_000, description="Spans that wait to be sent; more are dropped, and counted."
    )
    spans_per_policy: bool = Field(default=False, description="Record a span for each policy of the route, too.")
    propagation: tuple[Literal["tracecontext", "baggage"], ...] = Field(
        default=("tracecontext", "baggage"),
        description="What reaches services: the trace context, and the `baggage` of the client.",
    )

    @model_validator(mode="after")
    def _queue_holds_a_batch(self) -> TracingConfig:
        if self.max_queue_size < self.max_batch_size:
            msg = f"maxQueueSize {self.max_queue_size} is less than maxBatchSize {self.max_batch_size}; make it larger"
            raise ValueError(msg)
        if "tracecontext" not in self.propagation:
            msg = "propagation must have 'tracecontext'; to leave contexts alone, set tracing.enabled to false"
            raise ValueError(msg)
        return self


class MetricsConfig(ExportConfig):
    """Whether what is measured is sent, too."""

    enabled: bool = Field(default=True, description="`false` sends none.")
    interval: Duration = Field(default=60.0, ge=1, le=3600, description="Seconds between exports.")


class TelemetryConfig(Config):
    """What OpenTelemetry is told."""

    service: str = Field(
        default="", description="`service.name`; without it `OTEL_SERVICE_NAME`, or `gateway`.", max_length=255
    )
    version: str = Field(default="", description="`service.version`; without it the gateway's.", max_length=255)
    environment: str = Field(default="", description="`deployment.environment.name`.", max_length=255)
    attributes: Annotated[dict[str, str], BeforeValidator(_nothing_as_empty)] = Field(
        default_factory=dict,
        max_length=64,
        description="Further attributes of the resource, over those of `OTEL_RESOURCE_ATTRIBUTES`.",
    )
    tracing: TracingConfig = Field(default_factory=TracingConfig, description="Traces.")
    metrics: MetricsConfig = Field(
        default_factory=lambda: MetricsConfig(enabled=False), description="Metrics; without the block none are sent."
    )
    correlate_logs: bool = Field(
        default=True, description="Write `trace_id` and `span_id` into log records about requests that are recorded."
    )


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
