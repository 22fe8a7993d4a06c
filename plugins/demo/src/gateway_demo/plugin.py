"""What gateway-demo offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import BuildContext, ConnectorRegistration, DiscoveryRegistration, NoConfig, hookimpl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway_demo.connector import DemoConnector
    from gateway_demo.provider import DemoProvider


@hookimpl
def gateway_register_discovery_providers() -> Sequence[DiscoveryRegistration]:
    return [
        DiscoveryRegistration(
            name="demo",
            summary="The service 'demo', which runs inside the gateway",
            build=build_provider,
            zero_config={
                "router": {"rules": [{"id": "demo", "path": "/*", "serviceName": "demo"}]},
                "plugins": {"demo": {}},
            },
        )
    ]


@hookimpl
def gateway_register_protocols() -> Sequence[ConnectorRegistration]:
    return [
        ConnectorRegistration(
            name="demo",
            summary="Answers for the service 'demo', as httpbin does",
            build=build_connector,
            default_on=True,
            protocol="http",
            schemes=("demo",),
        )
    ]


def build_provider(config: NoConfig, context: BuildContext) -> DemoProvider:
    from gateway_demo.provider import DemoProvider

    return DemoProvider()


def build_connector(config: NoConfig, context: BuildContext) -> DemoConnector:
    from gateway_demo.connector import DemoConnector

    return DemoConnector()
