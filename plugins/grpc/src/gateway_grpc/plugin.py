"""What gateway-grpc offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import (
    AdminRouteRegistration,
    BuildContext,
    ConnectorRegistration,
    PolicyRegistration,
    Stage,
    hookimpl,
)
from gateway_grpc.config import BackendGrpcConfig, FrontendGrpcConfig, GrpcConfig
from gateway_grpc.spellings import BACKEND_ALIASES, BACKEND_REFUSED, GRPC_ALIASES, GRPC_REFUSED

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from gateway import AdminRequest, Response
    from gateway_grpc.clients import ClientsPolicy
    from gateway_grpc.connector import GrpcBackend
    from gateway_grpc.descriptors.admin import DeleteDescriptors, ListDescriptors, ReloadDescriptors, UploadDescriptors
    from gateway_grpc.policy import TranscodingPolicy

    Build = Callable[[GrpcConfig, BuildContext], Callable[[AdminRequest], Awaitable[Response]]]


@hookimpl
def gateway_register_protocols() -> Sequence[ConnectorRegistration]:
    return [
        ConnectorRegistration(
            name="grpc",
            summary="gRPC to services, plain and over TLS",
            config=BackendGrpcConfig,
            build=build_connector,
            path="backend.grpc",
            default_on=True,
            protocol="grpc",
            over="http2",
            aliases=BACKEND_ALIASES,
            refused=BACKEND_REFUSED,
        )
    ]


@hookimpl
def gateway_register_policies() -> Sequence[PolicyRegistration]:
    return [
        PolicyRegistration(
            name="grpc",
            summary="makes calls to gRPC services of HTTP requests with JSON",
            config=GrpcConfig,
            build=build_policy,
            path="protocols.grpc",
            rule_key="grpc",
            default_on=True,
            # Innermost: everything else sees HTTP and JSON, on both sides.
            stage=Stage.ATTEMPT,
            aliases=GRPC_ALIASES,
            refused=GRPC_REFUSED,
        ),
        PolicyRegistration(
            name="grpc-clients",
            summary="gRPC and gRPC-Web for clients, with refusals that they understand",
            config=FrontendGrpcConfig,
            build=build_clients,
            path="frontend.grpc",
            default_on=True,
            # Behind `cors`, by name: what it adds to refusals stays.
            stage=Stage.EDGE,
        ),
    ]


@hookimpl
def gateway_register_admin_routes() -> Sequence[AdminRouteRegistration]:
    return [
        _admin_route("grpc-descriptors", "What is known of gRPC services", "GET", build_list),
        _admin_route("grpc-descriptors-upload", "Takes descriptors of gRPC services", "POST", build_upload),
        _admin_route("grpc-descriptors-delete", "Removes descriptors that were uploaded", "DELETE", build_delete),
        _admin_route("grpc-descriptors-reload", "Asks for descriptors again", "POST", build_reload, "/reload"),
    ]


def _admin_route(name: str, summary: str, method: str, build: Build, below: str = "") -> AdminRouteRegistration:
    return AdminRouteRegistration(
        name=name,
        summary=summary,
        config=GrpcConfig,
        build=build,
        path="protocols.grpc",
        aliases=GRPC_ALIASES,
        refused=GRPC_REFUSED,
        method=method,
        admin_path=f"/grpc/descriptors{below}",
        paths=lambda config: [] if config.descriptors_path is None else [f"{config.descriptors_path}{below}"],
    )


def build_list(config: GrpcConfig, context: BuildContext) -> ListDescriptors:
    from gateway_grpc.descriptors.admin import ListDescriptors

    return ListDescriptors(context)


def build_upload(config: GrpcConfig, context: BuildContext) -> UploadDescriptors:
    from gateway_grpc.descriptors.admin import UploadDescriptors

    return UploadDescriptors(config, context)


def build_delete(config: GrpcConfig, context: BuildContext) -> DeleteDescriptors:
    from gateway_grpc.descriptors.admin import DeleteDescriptors

    return DeleteDescriptors(config, context)


def build_reload(config: GrpcConfig, context: BuildContext) -> ReloadDescriptors:
    from gateway_grpc.descriptors.admin import ReloadDescriptors

    return ReloadDescriptors(context)


def build_connector(config: BackendGrpcConfig, context: BuildContext) -> GrpcBackend:
    from gateway_grpc.connector import GrpcBackend

    return GrpcBackend(config, context)


def build_policy(config: GrpcConfig, context: BuildContext) -> TranscodingPolicy:
    from gateway_grpc.policy import TranscodingPolicy

    return TranscodingPolicy(config, context)


def build_clients(config: FrontendGrpcConfig, context: BuildContext) -> ClientsPolicy:
    from gateway_grpc.clients import ClientsPolicy

    return ClientsPolicy(config, context)
