"""What gateway-kubernetes offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import (
    AdminRouteRegistration,
    BuildContext,
    DiscoveryRegistration,
    NoConfig,
    RouteSourceRegistration,
    hookimpl,
)
from gateway_kubernetes.config import KubernetesConfig, KubernetesRoutesConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway_kubernetes.provider import KubernetesProvider
    from gateway_kubernetes.route_source import KubernetesRoutes
    from gateway_kubernetes.status import StatusEndpoint


@hookimpl
def gateway_register_discovery_providers() -> Sequence[DiscoveryRegistration]:
    return [
        DiscoveryRegistration(
            name="kubernetes",
            summary="Services of a Kubernetes cluster, by their endpoint slices and annotations",
            config=KubernetesConfig,
            build=build_kubernetes,
            path="registry.kubernetes",
            aliases={"namespace": "namespaces", "resyncPeriod": "refreshInterval"},
        )
    ]


@hookimpl
def gateway_register_route_sources() -> Sequence[RouteSourceRegistration]:
    return [
        RouteSourceRegistration(
            name="kubernetes",
            summary="Routes from GatewayRoute objects of a Kubernetes cluster",
            config=KubernetesRoutesConfig,
            build=build_routes,
            path="router.sources.kubernetes",
            over="kubernetes",
        )
    ]


@hookimpl
def gateway_register_admin_routes() -> Sequence[AdminRouteRegistration]:
    return [
        AdminRouteRegistration(
            name="kubernetes-status",
            summary="How the discovery by Kubernetes is doing, and what it left out",
            build=build_status,
            admin_path="/kubernetes",
        )
    ]


def build_kubernetes(config: KubernetesConfig, context: BuildContext) -> KubernetesProvider:
    from gateway_kubernetes.provider import KubernetesProvider

    return KubernetesProvider(config, context)


def build_routes(config: KubernetesRoutesConfig, context: BuildContext) -> KubernetesRoutes:
    from gateway_kubernetes.route_source import KubernetesRoutes

    return KubernetesRoutes(config, context)


def build_status(config: NoConfig, context: BuildContext) -> StatusEndpoint:
    from gateway_kubernetes.status import StatusEndpoint

    return StatusEndpoint(context)
