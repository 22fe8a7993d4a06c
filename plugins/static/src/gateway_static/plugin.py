"""What gateway-static offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import BuildContext, DiscoveryRegistration, hookimpl
from gateway_static.config import StaticConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway_static.provider import StaticProvider


@hookimpl
def gateway_register_discovery_providers() -> Sequence[DiscoveryRegistration]:
    return [
        DiscoveryRegistration(
            name="static",
            summary="Services and instances listed in the configuration",
            config=StaticConfig,
            build=build_provider,
            path="registry.static",
        )
    ]


def build_provider(config: StaticConfig, context: BuildContext) -> StaticProvider:
    from gateway_static.provider import StaticProvider

    return StaticProvider(config)
