"""What gateway-otel offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import AdminRouteRegistration, BuildContext, ObserverRegistration, hookimpl
from gateway_otel.config import TelemetryConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway_otel.endpoint import TelemetryEndpoint
    from gateway_otel.observer import Telemetry

BLOCK = "telemetry"

ALIASES = {
    "serviceName": "service",
    "serviceVersion": "version",
    "service.name": "service",
    "service.version": "version",
    "service.environment": "environment",
    "otlp.endpoint": "tracing.endpoint",
    "otlp.headers": "tracing.headers",
    "otlp.insecure": "tracing.insecure",
    "otlp.timeout": "tracing.timeout",
    "sampling.ratio": "tracing.sampleRate",
    "sampling.rate": "tracing.sampleRate",
    "sampling.type": "tracing.sampler",
    "tracing.samplerArg": "tracing.sampleRate",
    "tracing.exporter.type": "tracing.protocol",
    "tracing.exporter.endpoint": "tracing.endpoint",
    "tracing.exporter.insecure": "tracing.insecure",
    "tracing.exporter.headers": "tracing.headers",
    "tracing.exporters.otlp.endpoint": "tracing.endpoint",
    "tracing.exporters.otlp.insecure": "tracing.insecure",
    "tracing.exporters.otlp.headers": "tracing.headers",
    "metrics.otlp.endpoint": "metrics.endpoint",
    "metrics.otlp.headers": "metrics.headers",
    "metrics.otlp.insecure": "metrics.insecure",
    "logging.correlation": "correlateLogs",
    "gateway.middleware.telemetry": "gateway.telemetry",
}
"""Spellings of the original gateway's examples and documents."""

_LOGGING = "write gateway.logging, and here 'correlateLogs'"
_HISTOGRAMS = "what is measured, and in which steps, plugins say; remove it"
REFUSED = {
    "logging.enabled": _LOGGING,
    "logging.level": _LOGGING,
    "logging.format": _LOGGING,
    "correlation": "traces are told apart by 'traceparent', requests by X-Request-ID; remove it",
    "tracing.exporters": "traces are sent by OTLP, which collectors turn into anything; write 'tracing.endpoint'",
    "metrics.exporter": "metrics are sent by OTLP to 'metrics.endpoint'; for Prometheus write gateway.metrics",
    "metrics.prometheus": "write gateway.metrics",
    "metrics.custom": _HISTOGRAMS,
    "metrics.histograms": _HISTOGRAMS,
}
"""Keys of the same that mean nothing here."""


@hookimpl
def gateway_register_observers() -> Sequence[ObserverRegistration]:
    return [
        ObserverRegistration(
            name="otel",
            summary="Records requests as traces, and sends them by OTLP",
            path=BLOCK,
            config=TelemetryConfig,
            aliases=ALIASES,
            refused=REFUSED,
            build=build_telemetry,
        )
    ]


@hookimpl
def gateway_register_admin_routes() -> Sequence[AdminRouteRegistration]:
    return [
        AdminRouteRegistration(
            name="telemetry",
            summary="How exporting is going; also what exports metrics",
            path=BLOCK,
            config=TelemetryConfig,
            aliases={old: new for old, new in ALIASES.items() if not old.startswith("gateway.")},
            refused=REFUSED,
            admin_path="/telemetry",
            default_on=False,
            build=build_endpoint,
        )
    ]


def build_telemetry(config: TelemetryConfig, context: BuildContext) -> Telemetry:
    from gateway_otel.observer import Telemetry

    return Telemetry(config, context)


def build_endpoint(config: TelemetryConfig, context: BuildContext) -> TelemetryEndpoint:
    from gateway_otel.endpoint import TelemetryEndpoint

    return TelemetryEndpoint(config, context)
