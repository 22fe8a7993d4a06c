"""What gateway-http offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import (
    AdapterRegistration,
    BuildContext,
    CommandRegistration,
    ConnectorRegistration,
    PolicyRegistration,
    Stage,
    hookimpl,
)
from gateway_http.config import BackendHttpConfig, FrontendHttpConfig, RequestLimitsConfig

if TYPE_CHECKING:
    import argparse
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
            refused={
                "disableHTTP2": "the scheme of an instance says what is spoken: HTTP/2 with h2 and h2c, HTTP/1.1 with "
                "http and https; remove it",
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


@hookimpl
def gateway_register_commands() -> Sequence[CommandRegistration]:
    return [
        CommandRegistration(
            name="dev-certs",
            summary="Make certificates to try TLS with: an authority, a server and a client.",
            add_arguments=add_dev_certs_arguments,
            run=run_dev_certs,
        )
    ]


def add_dev_certs_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "names", nargs="*", metavar="NAME", default=["localhost", "127.0.0.1", "::1"], help="what the server is called"
    )
    parser.add_argument("--out", metavar="DIR", default="certs", help="where to put them (default: %(default)s)")
    parser.add_argument("--client", metavar="NAME", default="dev-client", help="whom the client's is for")


def run_dev_certs(args: argparse.Namespace) -> int:
    from gateway_http.dev_certs import run

    return run(args)


def build_request_limits(config: RequestLimitsConfig, context: BuildContext) -> RequestLimits:
    from gateway_http.request_limits import RequestLimits

    return RequestLimits(config)


def build_adapter(config: FrontendHttpConfig, context: BuildContext) -> HttpAdapter:
    from gateway_http.adapter import HttpAdapter

    return HttpAdapter(config, context)


def build_connector(config: BackendHttpConfig, context: BuildContext) -> HttpConnector:
    from gateway_http.connector import HttpConnector

    return HttpConnector(config, context)
