"""What gateway-prometheus offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import AdminRouteRegistration, BuildContext, ObserverRegistration, hookimpl
from gateway_prometheus.config import MetricsConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway_prometheus.endpoint import MetricsEndpoint
    from gateway_prometheus.recorder import Recorder

BLOCK = "metrics"


@hookimpl
def gateway_register_observers() -> Sequence[ObserverRegistration]:
    return [
        ObserverRegistration(
            name="prometheus",
            summary="Counts requests and attempts for Prometheus",
            path=BLOCK,
            config=MetricsConfig,
            build=build_recorder,
        )
    ]


@hookimpl
def gateway_register_admin_routes() -> Sequence[AdminRouteRegistration]:
    return [
        AdminRouteRegistration(
            name="metrics",
            summary="Everything that is measured, in the text formats of Prometheus and OpenMetrics",
            path=BLOCK,
            config=MetricsConfig,
            admin_path="/metrics",
            is_public=lambda config: config.is_public,
            paths=lambda config: config.main_paths,
            default_on=False,
            build=build_endpoint,
        )
    ]


def build_recorder(config: MetricsConfig, context: BuildContext) -> Recorder:
    from gateway_prometheus.recorder import Recorder

    return Recorder(config, context)


def build_endpoint(config: MetricsConfig, context: BuildContext) -> MetricsEndpoint:
    from gateway_prometheus.endpoint import MetricsEndpoint

    return MetricsEndpoint(config, context)
