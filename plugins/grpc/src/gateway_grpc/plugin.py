"""What gateway-grpc offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import BuildContext, ConnectorRegistration, PolicyRegistration, Stage, hookimpl
from gateway_grpc.config import BackendGrpcConfig, FrontendGrpcConfig, GrpcConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway_grpc.clients import ClientsPolicy
    from gateway_grpc.connector import GrpcBackend
    from gateway_grpc.policy import TranscodingPolicy

_RULE = "gateway.router.rules[]"


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
            aliases={
                "tls.caFile": "tls.rootCAFile",
                "tls.certFile": "tls.clientCertFile",
                "tls.keyFile": "tls.clientKeyFile",
                "keepAlive.time": "keepAliveTime",
                "keepAlive.timeout": "keepAliveTimeout",
                "maxCallSendMsgSize": "maxSendMessageSize",
                "maxCallRecvMsgSize": "maxReceiveMessageSize",
                "gateway.backend.grpc.enableReflection": "gateway.protocols.grpc.reflection",
            },
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
            aliases={
                "transcoding": "enableTranscoding",
                "defaultService": "service",
                "dynamicDescriptors.files": "files",
                "dynamicDescriptors.directories": "directories",
                "dynamicDescriptors.autoReload": "autoReload",
                "dynamicDescriptors.reloadInterval": "reloadInterval",
                "jsonTranscoding.enabled": "enableTranscoding",
                "jsonTranscoding.printOptions": "printOptions",
                f"{_RULE}.transcoding.pathMappings": f"{_RULE}.grpc.pathMappings",
                f"{_RULE}.transcoding.methodMappings": f"{_RULE}.grpc.transcodingRules",
                f"{_RULE}.metadata.grpcService": f"{_RULE}.grpc.service",
            },
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


def build_connector(config: BackendGrpcConfig, context: BuildContext) -> GrpcBackend:
    from gateway_grpc.connector import GrpcBackend

    return GrpcBackend(config, context)


def build_policy(config: GrpcConfig, context: BuildContext) -> TranscodingPolicy:
    from gateway_grpc.policy import TranscodingPolicy

    return TranscodingPolicy(config, context)


def build_clients(config: FrontendGrpcConfig, context: BuildContext) -> ClientsPolicy:
    from gateway_grpc.clients import ClientsPolicy

    return ClientsPolicy(config, context)
