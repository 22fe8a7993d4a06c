"""What gateway-dns offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import BuildContext, DiscoveryRegistration, hookimpl
from gateway_dns.config import DnsConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway_dns.provider import DnsProvider


@hookimpl
def gateway_register_discovery_providers() -> Sequence[DiscoveryRegistration]:
    return [
        DiscoveryRegistration(
            name="dns",
            summary="Instances from A, AAAA and SRV records, by their time to live",
            config=DnsConfig,
            build=build_provider,
            path="registry.dns",
        )
    ]


def build_provider(config: DnsConfig, context: BuildContext) -> DnsProvider:
    from gateway_dns.provider import DnsProvider

    return DnsProvider(config, context)
