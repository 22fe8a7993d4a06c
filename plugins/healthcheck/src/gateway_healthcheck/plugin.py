"""What gateway-healthcheck offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import (
    AdminRouteRegistration,
    BuildContext,
    HealthCheckerRegistration,
    ObserverRegistration,
    PolicyRegistration,
    Stage,
    hookimpl,
)
from gateway_healthcheck.config import HealthConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.interfaces import HealthChecker, Observer
    from gateway_healthcheck.active import ActiveChecker
    from gateway_healthcheck.endpoints import HealthEndpoints
    from gateway_healthcheck.reports import ServiceReport, ServicesReport, Summary

_ALIASES = {
    "endpoint": "healthPath",
    "interval": "active.interval",
    "timeout": "active.timeout",
    "path": "active.path",
    "healthyThreshold": "active.healthyThreshold",
    "unhealthyThreshold": "active.unhealthyThreshold",
    "jitter": "active.jitter",
    "endpoints.liveness": "livePath",
    "endpoints.readiness": "readyPath",
    "gateway.router.outlierDetection.consecutiveErrors": "gateway.health.passive.consecutive5xx",
    "gateway.router.outlierDetection.baseEjectionTime": "gateway.health.passive.ejectionTime",
    "gateway.router.outlierDetection.maxEjectionPercent": "gateway.health.passive.maxEjectionPercent",
    "gateway.router.outlierDetection.interval": "gateway.health.passive.interval",
}


_REFUSED = {
    "transitions": "write 'healthyThreshold' and 'unhealthyThreshold' under 'active', and 'slowStart'",
    "scoring": "an instance works or does not, and slowly gets its share back; write 'passive' and 'slowStart'",
    "dependencies": "what the gateway needs stands under 'checks'; write it there",
    "components": "what the gateway needs stands under 'checks'; write it there",
    "custom": "write a check of the type 'exec' under 'checks', and its program under 'commands'",
    "notifications": "alert on the metrics gateway_health_check_status and gateway_service_instances; remove it",
    "batching": "write 'maxConcurrency', how many checks run at once",
    "cache": "answers are always those of the last check, which nobody waits for; remove it",
    "debug": "write 'logging.level: debug'",
    "endpoints": "write 'healthPath', 'readyPath' and 'livePath'",
    "gateway.router.outlierDetection.errorRate": "write health.passive.successRateDeviations, which compares instances",
}
"""Keys of the original gateway's documents that mean nothing here."""


@hookimpl
def gateway_register_health_checkers() -> Sequence[HealthCheckerRegistration]:
    return [
        HealthCheckerRegistration(
            name="health",
            summary="Asks instances, and what the gateway needs, whether they work",
            config=HealthConfig,
            build=build_checker,
            path="health",
            aliases=_ALIASES,
            refused=_REFUSED,
        ),
        HealthCheckerRegistration(
            name="health-passive",
            summary="Sums up what workers see of instances, and leaves those alone for a time that fail",
            config=HealthConfig,
            build=build_summed_detector,
            path="health",
            aliases=_ALIASES,
            refused=_REFUSED,
        ),
    ]


@hookimpl
def gateway_register_observers() -> Sequence[ObserverRegistration]:
    return [
        ObserverRegistration(
            name="health",
            summary="Leaves instances alone for a time on which attempts fail",
            config=HealthConfig,
            build=build_detector,
            path="health",
            aliases=_ALIASES,
            refused=_REFUSED,
        )
    ]


@hookimpl
def gateway_register_policies() -> Sequence[PolicyRegistration]:
    return [
        PolicyRegistration(
            name="health",
            summary="Answers whether the gateway works, is ready and lives",
            config=HealthConfig,
            build=build_endpoints,
            path="health",
            aliases=_ALIASES,
            refused=_REFUSED,
            stage=Stage.EDGE,
        )
    ]


@hookimpl
def gateway_register_admin_routes() -> Sequence[AdminRouteRegistration]:
    return [
        AdminRouteRegistration(
            name="health-summary",
            summary="Whether the gateway works, for everybody",
            config=HealthConfig,
            build=build_summary,
            path="health",
            aliases=_ALIASES,
            refused=_REFUSED,
            admin_path="/health/summary",
            is_public=True,
            default_on=False,
        ),
        AdminRouteRegistration(
            name="health-services",
            summary="How services are, and what the gateway needs",
            config=HealthConfig,
            build=build_services_report,
            path="health",
            aliases=_ALIASES,
            refused=_REFUSED,
            admin_path="/health/services",
            default_on=False,
        ),
        AdminRouteRegistration(
            name="health-service",
            summary="How the instances of a service are, and why",
            config=HealthConfig,
            build=build_service_report,
            path="health",
            aliases=_ALIASES,
            refused=_REFUSED,
            admin_path="/health/services/{name}",
            default_on=False,
        ),
    ]


def build_checker(config: HealthConfig, context: BuildContext) -> ActiveChecker:
    from gateway_healthcheck.active import ActiveChecker

    return ActiveChecker(config, context)


def build_detector(config: HealthConfig, context: BuildContext) -> Observer:
    from gateway_healthcheck.passive import NobodyWatches, OutlierDetector, watches

    return OutlierDetector(config, context) if watches(config) else NobodyWatches(context)


def build_summed_detector(config: HealthConfig, context: BuildContext) -> HealthChecker:
    from gateway_healthcheck.passive import NobodyWatches, watches
    from gateway_healthcheck.summed import SummedDetector

    return SummedDetector(config, context) if watches(config) else NobodyWatches(context)


def build_endpoints(config: HealthConfig, context: BuildContext) -> HealthEndpoints:
    from gateway_healthcheck.endpoints import HealthEndpoints

    return HealthEndpoints(config, context)


def build_summary(config: HealthConfig, context: BuildContext) -> Summary:
    from gateway_healthcheck.reports import Summary

    return Summary(config, context)


def build_services_report(config: HealthConfig, context: BuildContext) -> ServicesReport:
    from gateway_healthcheck.reports import ServicesReport

    return ServicesReport(context)


def build_service_report(config: HealthConfig, context: BuildContext) -> ServiceReport:
    from gateway_healthcheck.reports import ServiceReport

    return ServiceReport(context)
