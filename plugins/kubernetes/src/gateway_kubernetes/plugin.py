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


_REFUSED = {
    "inCluster": "leave 'kubeconfig' out to use the service account of the pod that the gateway runs in; remove it",
    "serviceSelector": "services are chosen by 'labelSelector', such as 'app=shop', and by 'gatewayAnnotation'; write "
    "these",
    "useReadinessProbe": "only pods that are ready take requests, with any endpointMode that knows of pods; remove it",
    "qps": "nothing is asked again and again: changes come by watches; remove it",
    "burst": "nothing is asked again and again: changes come by watches; remove it",
    "annotationPrefix": "annotations begin with what stands before the slash in 'gatewayAnnotation'; write "
    "'gatewayAnnotation: <prefix>/enabled'",
    "applyAnnotations": "the annotations of services that are served always count; remove it",
    "clusters": "a gateway follows one cluster; run one in each, or follow a service of all of them with registry.dns",
    "healthCheck": "how instances are checked is said for all registries; write gateway.health.active",
    "serviceMesh": "with 'endpointMode: service' requests go to the address of the service, where a mesh takes them; "
    "write that",
    "gateway.router.kubernetes": "rules come from objects of the kind GatewayRoute; write router.sources.kubernetes",
}
"""Keys of the original gateway's documents that mean nothing here."""


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
            refused=_REFUSED,
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
