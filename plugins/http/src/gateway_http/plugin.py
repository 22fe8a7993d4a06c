"""What gateway-http offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import AdapterRegistration, BuildContext, ConnectorRegistration, PolicyRegistration, Stage, hookimpl
from gateway_http.config import BackendHttpConfig, FrontendHttpConfig, RequestLimitsConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway_http.adapter import HttpAdapter
    from gateway_http.connector import HttpConnector
    from gateway_http.request_limits import RequestLimits


@hookimpl
def gateway_register_protocols() -> Sequence[AdapterRegistration | ConnectorRegistration]:
    return [
        AdapterRegistration(
            name="http",
            summary="HTTP/1.1 for clients, plain and over TLS",
            config=FrontendHttpConfig,
            build=build_adapter,
            path="frontend.http",
            default_on=True,
            zero_config={"frontend": {"http": {"host": "127.0.0.1"}}},
        ),
        ConnectorRegistration(
            name="http",
            summary="HTTP/1.1 to services, plain and over TLS",
            config=BackendHttpConfig,
            build=build_connector,
            path="backend.http",
            default_on=True,
            protocol="http",
            # A WebSocket begins as HTTP: a URI with ws or wss names the same server (RFC 6455 section 3).
            schemes=("http", "https", "ws", "wss"),
            aliases={
                "tls.caFile": "tls.rootCAFile",
                "tls.certFile": "tls.clientCertFile",
                "tls.keyFile": "tls.clientKeyFile",
            },
        ),
    ]


@hookimpl
def gateway_register_policies() -> Sequence[PolicyRegistration]:
    return [
        PolicyRegistration(
            name="requestlimits",
            summary="How large requests of a route may be, within the limits of frontend.http",
            config=RequestLimitsConfig,
            build=build_request_limits,
            stage=Stage.LIMIT,
            rule_keys={key: key for key in ("maxRequestSize", "maxHeaderBytes", "maxUriBytes")},
        )
    ]


def build_request_limits(config: RequestLimitsConfig, context: BuildContext) -> RequestLimits:
    from gateway_http.request_limits import RequestLimits

    return RequestLimits(config)


def build_adapter(config: FrontendHttpConfig, context: BuildContext) -> HttpAdapter:
    from gateway_http.adapter import HttpAdapter

    return HttpAdapter(config, context)


def build_connector(config: BackendHttpConfig, context: BuildContext) -> HttpConnector:
    from gateway_http.connector import HttpConnector

    return HttpConnector(config, context)
