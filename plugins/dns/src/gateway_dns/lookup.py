"""One look-up: which endpoints a name means now, and for how long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.resolver

from gateway import Endpoint
from gateway_dns.config import server_of
from gateway_dns.sockets import closing_backend

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway_dns.config import DnsConfig, DnsServiceConfig

__all__ = ["Found", "LookupFailed", "Lookups"]

Found = tuple[list[Endpoint], float]
"""Endpoints, and the seconds for which they are good."""

NEGATIVE_TTL_S = 30.0
"""How long "there is no such name" is good for when the server does not say (RFC 2308 section 5 lets it)."""


class LookupFailed(Exception):
    """Nobody answered, or nothing that could be used: what was known stays as it is."""


class Lookups:
    """Asks name servers.

    Args:
        config: Which ones, and what is asked.

    Raises:
        dns.resolver.NoResolverConfiguration: If the system names no servers.
    """

    def __init__(self, config: DnsConfig) -> None:
        self._config = config
        self._sockets = closing_backend()
        self._resolver = dns.asyncresolver.Resolver(configure=not config.servers)
        self._resolver.lifetime = config.timeout
        self._resolver.timeout = max(config.timeout / 3, 0.1)
        # Searching other domains for a name that is not there would find somebody else's.
        self._resolver.search, self._resolver.domain = [], dns.name.root
        if config.servers:
            places = [server_of(server) for server in config.servers]
            self._resolver.nameservers = [dns.nameserver.Do53Nameserver(address, port) for address, port in places]

    async def find(self, service: DnsServiceConfig) -> Found:
        """Return what a service's name means now; nothing if there is no such name.

        Raises:
            LookupFailed: If that cannot be known.
        """
        if service.records == "srv":
            endpoints, ttl_s = await self._find_srv(service)
        else:
            endpoints, ttl_s = await self._find_addresses(service)
        config = self._config
        # In an order of their own: servers turn theirs around for each question.
        endpoints.sort(key=lambda each: (each.address, each.port))
        return endpoints[: config.max_instances], min(max(ttl_s, config.minimum_ttl), config.maximum_ttl)

    async def _find_addresses(self, service: DnsServiceConfig) -> Found:
        kinds = ("A", "AAAA") if service.records == "both" else (service.records.upper(),)
        assert service.port is not None  # noqa: S101 - the model sees to it
        endpoints: list[Endpoint] = []
        ttl_s = self._config.maximum_ttl
        for kind in kinds:
            records, kind_ttl_s = await self._ask(service.host, kind)
            ttl_s = min(ttl_s, kind_ttl_s)
            endpoints += [_endpoint(service, str(record.address), service.port) for record in records]
        return _distinct(endpoints), ttl_s

    async def _find_srv(self, service: DnsServiceConfig) -> Found:
        records, ttl_s = await self._ask(service.host, "SRV")
        # A target of "." says that there is no such service (RFC 2782).
        offers = [record for record in records if record.target != dns.name.root and record.port]
        first = min((record.priority for record in offers), default=0)
        endpoints = [
            _endpoint(
                service,
                record.target.to_text(omit_final_dot=True).lower(),
                service.port or record.port,
                # A weight of 0 means a little, not nothing, unless others have more (RFC 2782).
                weight=record.weight or 1,
                priority=record.priority - first,
            )
            for record in offers
        ]
        return _distinct(endpoints), ttl_s

    async def _ask(self, name: str, kind: str) -> tuple[Sequence[Any], float]:
        """Return records and their time to live."""
        try:
            answer = await self._resolver.resolve(
                f"{name.removesuffix('.')}.", kind, raise_on_no_answer=False, backend=self._sockets
            )
        except dns.resolver.NXDOMAIN:
            return (), NEGATIVE_TTL_S
        except (dns.exception.DNSException, OSError, ValueError) as error:
            msg = f"{kind} {name}: {type(error).__name__}: {error}"
            raise LookupFailed(msg) from error
        if answer.rrset is None:
            return (), min(NEGATIVE_TTL_S, answer.chaining_result.minimum_ttl or NEGATIVE_TTL_S)
        # Along a chain of aliases the shortest counts.
        return list(answer.rrset), float(answer.chaining_result.minimum_ttl)


def _endpoint(service: DnsServiceConfig, address: str, port: int, *, weight: int = 1, priority: int = 0) -> Endpoint:
    scheme = service.scheme or ("https" if port == 443 else "http")
    metadata = {"priority": priority} if priority else {}
    return Endpoint(address=address, port=port, scheme=scheme, weight=weight, metadata=metadata)


def _distinct(endpoints: Iterable[Endpoint]) -> list[Endpoint]:
    return list({(each.address, each.port): each for each in endpoints}.values())
