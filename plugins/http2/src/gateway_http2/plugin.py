"""What gateway-http2 offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import AdapterRegistration, BuildContext, ConnectorRegistration, hookimpl
from gateway_http2.config import BackendHttp2Config, FrontendHttp2Config

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway_http2.adapter import Http2Adapter
    from gateway_http2.connector import Http2Connector

WINDOWS = {
    "initialWindowSize": "initialStreamWindowSize",
    "initialConnWindowSize": "initialConnectionWindowSize",
}
"""As the original gateway's documentation has them, for gRPC."""


@hookimpl
def gateway_register_protocols() -> Sequence[AdapterRegistration | ConnectorRegistration]:
    return [
        AdapterRegistration(
            name="http2",
            summary="HTTP/2 for clients, by ALPN and by prior knowledge, on the addresses of HTTP/1.1",
            config=FrontendHttp2Config,
            build=build_adapter,
            path="frontend.http2",
            over="http",
            alpn=("h2",),
            opening=b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            aliases={
                **WINDOWS,
                "maxReadFrameSize": "maxFrameSize",
                "gateway.frontend.http.http2": "gateway.frontend.http2",
                "gateway.frontend.http.enableHTTP2": "gateway.frontend.http2.enabled",
            },
        ),
        ConnectorRegistration(
            name="http2",
            summary="HTTP/2 to services, plain (h2c) and over TLS (h2)",
            config=BackendHttp2Config,
            build=build_connector,
            path="backend.http2",
            default_on=True,
            protocol="http",
            schemes=("h2", "h2c"),
            # A route may say that it speaks HTTP/2 whatever the instance is called.
            also={"http2": ("h2", "h2c", "http", "https", "grpc", "grpcs")},
            aliases={
                **WINDOWS,
                "tls.caFile": "tls.rootCAFile",
                "tls.certFile": "tls.clientCertFile",
                "tls.keyFile": "tls.clientKeyFile",
            },
        ),
    ]


def build_adapter(config: FrontendHttp2Config, context: BuildContext) -> Http2Adapter:
    from gateway_http2.adapter import Http2Adapter

    return Http2Adapter(config, context)


def build_connector(config: BackendHttp2Config, context: BuildContext) -> Http2Connector:
    from gateway_http2.connector import Http2Connector

    return Http2Connector(config, context)
