"""Keys that the original gateway's files and examples write in another way, and those that mean nothing here."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BACKEND_ALIASES", "BACKEND_REFUSED", "GRPC_ALIASES", "GRPC_REFUSED"]

_RULE = "gateway.router.rules[]"
_SOURCES = (
    *("files", "directories", "fileExtensions", "descriptorSources", "reflection"),
    *("autoReload", "reloadInterval", "failOnError"),
)
"""The keys that say where descriptors come from."""
_BACKEND = "gateway.backend.grpc"

_CONNECTION = {
    "dialTimeout": "dialTimeout",
    "poolSize": "maxConnsPerHost",
    "keepAliveTime": "keepAliveTimeout",
    "keepAlive.time": "keepAliveTimeout",
    "keepAliveTimeout": "pingTimeout",
    "keepAlive.timeout": "pingTimeout",
    "maxMetadataSize": "maxResponseHeaderBytes",
    "maxConcurrentStreams": "maxConcurrentStreams",
    "initialWindowSize": "initialStreamWindowSize",
    "initialConnWindowSize": "initialConnectionWindowSize",
    "tls.serverName": "tls.serverName",
    "tls.rootCAFile": "tls.rootCAFile",
    "tls.caFile": "tls.rootCAFile",
    "tls.clientCertFile": "tls.clientCertFile",
    "tls.certFile": "tls.clientCertFile",
    "tls.clientKeyFile": "tls.clientKeyFile",
    "tls.keyFile": "tls.clientKeyFile",
    "tls.minVersion": "tls.minVersion",
    "tls.insecureSkipVerify": "tls.insecureSkipVerify",
}
"""Connections are those of HTTP/2, and there is one place for what they are like: ``backend.http2``."""

BACKEND_ALIASES: Mapping[str, str] = {
    "maxCallSendMsgSize": "maxSendMessageSize",
    "maxCallRecvMsgSize": "maxReceiveMessageSize",
    **{f"{_BACKEND}.{old}": f"gateway.backend.http2.{new}" for old, new in _CONNECTION.items()},
    # What services can do is not about connections.
    f"{_BACKEND}.enableReflection": "gateway.protocols.grpc.reflection",
    **{f"{_BACKEND}.descriptors.{key}": f"gateway.protocols.grpc.{key}" for key in _SOURCES},
    f"{_BACKEND}.descriptors.sources": "gateway.protocols.grpc.descriptorSources",
}
"""Of ``backend.grpc``."""

_RETRIED = "calls are retried as requests are, by gateway-retry, here or in a rule; "

BACKEND_REFUSED: Mapping[str, str] = {
    "maxRetryAttempts": f"{_RETRIED}write 'retry: {{maxAttempts: 3, methods: [POST]}}'",
    "retryTimeout": f"{_RETRIED}write perTryTimeout of retry for one try, or its timeout for all together",
    "enableTracing": "calls are traced as requests are, by gateway-otel; write telemetry.tracing, and remove this",
}
"""Of ``backend.grpc``."""

GRPC_ALIASES: Mapping[str, str] = {
    # The inner ones first: what is left of the block is then a truth value, or wrong.
    "transcoding.enabled": "enableTranscoding",
    "transcoding.pathMappings": "pathMappings",
    "transcoding.methodMappings": "transcodingRules",
    "transcoding": "enableTranscoding",
    "defaultService": "service",
    **{f"dynamicDescriptors.{key}": key for key in _SOURCES},
    "jsonTranscoding.enabled": "enableTranscoding",
    "jsonTranscoding.printOptions": "printOptions",
    f"{_RULE}.metadata.grpc": f"{_RULE}.grpc",
    f"{_RULE}.metadata.grpcService": f"{_RULE}.grpc.service",
    f"{_RULE}.metadata.grpcMethod": f"{_RULE}.grpc.method",
    f"{_RULE}.transcoding.enabled": f"{_RULE}.grpc.enableTranscoding",
    f"{_RULE}.transcoding.pathMappings": f"{_RULE}.grpc.pathMappings",
    f"{_RULE}.transcoding.methodMappings": f"{_RULE}.grpc.transcodingRules",
}
"""Of ``protocols.grpc``, and of ``grpc`` in a rule."""

_BY_RULES = (
    "rules say which service takes what; write one with path: /package.Service/*, serviceName and protocol: grpc"
)

_BY_ALL = "descriptors are administered for all rules together; write it in protocols.grpc"

GRPC_REFUSED: Mapping[str, str] = {
    "serviceMapping": _BY_RULES,
    "services": _BY_RULES,
    f"{_RULE}.grpc.descriptorsPath": _BY_ALL,
    f"{_RULE}.grpc.uploadDirectory": _BY_ALL,
}
"""Of ``protocols.grpc``, and of ``grpc`` in a rule."""
