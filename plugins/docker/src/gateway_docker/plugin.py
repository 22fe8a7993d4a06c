"""What gateway-docker offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import (
    AdminRouteRegistration,
    BuildContext,
    DiscoveryRegistration,
    NoConfig,
    RouteSourceConfig,
    RouteSourceRegistration,
    hookimpl,
)
from gateway_docker.config import ComposeConfig, ComposeFileConfig, DockerConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.interfaces import DiscoveryProvider
    from gateway_docker.provider import DockerProvider
    from gateway_docker.routes import LabelledRoutes
    from gateway_docker.status import StatusEndpoint


@hookimpl
def gateway_register_discovery_providers() -> Sequence[DiscoveryRegistration]:
    return [
        DiscoveryRegistration(
            name="docker",
            summary="Containers of a Docker or Podman engine, by their labels",
            config=DockerConfig,
            build=build_docker,
            path="registry.docker",
            aliases={"endpoint": "host"},
        ),
        DiscoveryRegistration(
            name="docker-compose",
            summary="Services of Docker Compose projects",
            config=ComposeConfig,
            build=build_compose,
            path="registry.dockerCompose",
            aliases={
                "dockerHost": "host",
                "apiVersion": "version",
                "networkName": "network",
                "gateway.registry.dockercompose": "gateway.registry.dockerCompose",
            },
        ),
        DiscoveryRegistration(
            name="compose-file",
            summary="Services listed in Compose files",
            config=ComposeFileConfig,
            build=build_compose_file,
            path="registry.composeFile",
            aliases={"composeFile": "composeFiles", "dockerHost": "host", "apiVersion": "version"},
        ),
    ]


@hookimpl
def gateway_register_route_sources() -> Sequence[RouteSourceRegistration]:
    return [
        RouteSourceRegistration(
            name=name,
            summary=f"Routes from the labels that the discovery by {name!r} finds",
            build=build_routes,
            path=path,
            over=name,
        )
        for name, path in (
            ("docker", "router.sources.docker"),
            ("docker-compose", "router.sources.dockerCompose"),
            ("compose-file", "router.sources.composeFile"),
        )
    ]


@hookimpl
def gateway_register_admin_routes() -> Sequence[AdminRouteRegistration]:
    return [
        AdminRouteRegistration(
            name="docker-status",
            summary="How the discovery by Docker and Compose is doing, and what it left out",
            build=build_status,
            admin_path="/docker",
        )
    ]


def build_docker(config: DockerConfig, context: BuildContext) -> DockerProvider:
    from gateway_docker.labels import exposure_by_service_label
    from gateway_docker.provider import DockerProvider

    return DockerProvider(config, context, exposure=exposure_by_service_label)


def build_compose(config: ComposeConfig, context: BuildContext) -> DockerProvider:
    from gateway_docker.compose import ComposeExposure
    from gateway_docker.provider import DockerProvider

    exposure = ComposeExposure(config.project_name)
    return DockerProvider(config, context, exposure=exposure, filters=exposure.filters)


def build_compose_file(config: ComposeFileConfig, context: BuildContext) -> DiscoveryProvider:
    from gateway_docker.compose_file_provider import build_compose_file_provider

    return build_compose_file_provider(config, context)


def build_routes(config: RouteSourceConfig, context: BuildContext) -> LabelledRoutes:
    from gateway_docker.routes import LabelledRoutes

    return LabelledRoutes()


def build_status(config: NoConfig, context: BuildContext) -> StatusEndpoint:
    from gateway_docker.status import StatusEndpoint

    return StatusEndpoint(context)
