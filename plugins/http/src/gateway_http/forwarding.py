"""Who the client is behind proxies, and what services are told about it."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING

from gateway import Forwarding

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["FORWARDING_FIELDS", "Hop", "TrustedProxies", "forwarded_client", "forwarded_scheme"]

Pairs = list[tuple[bytes, bytes]]

FORWARDING_FIELDS = frozenset(
    {
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-proto",
        b"x-forwarded-ssl",
        b"x-real-ip",
    }
)
"""Fields in which proxies speak about the client; believed only when a trusted proxy sent them."""


class TrustedProxies:
    """The networks whose word about the client counts.

    Args:
        networks: Addresses or networks in CIDR form.
    """

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = tuple(ipaddress.ip_network(network, strict=False) for network in networks)
        # A worker sees few different peers that matter; the bound keeps strangers from growing it.
        self._contains = lru_cache(maxsize=4096)(self._look_up)

    def __bool__(self) -> bool:
        return bool(self._networks)

    def __contains__(self, address: str) -> bool:
        return bool(self._networks) and self._contains(address)

    def _look_up(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        return any(parsed in network for network in self._networks)


class Hop:
    """The connection a request came over.

    Args:
        peer: The peer's address.
        scheme: ``http`` or ``https``.
        has_forwarded: Whether ``Forwarded`` is written beside ``X-Forwarded-*``.
        via: The pseudonym for ``Via``.
    """

    __slots__ = ("_has_forwarded", "_via", "peer", "scheme")

    def __init__(self, peer: str, scheme: str, *, has_forwarded: bool, via: str) -> None:
        self.peer = peer
        self.scheme = scheme
        self._via = (b"via", f"1.1 {via}".encode())
        self._has_forwarded = has_forwarded

    def forwarding(self, host: bytes) -> Forwarding:
        """Return what services are told about a request to ``host`` that nobody forwarded before."""
        return Forwarding(self._pairs(host, host, self.scheme.encode(), [], []))

    def continued(self, host: bytes, inbound: Pairs) -> Forwarding:
        """Return what services are told about a request that trusted proxies forwarded: their word and one hop more."""
        values = _by_name(inbound)
        pairs = self._pairs(
            host,
            values.get(b"x-forwarded-host", [host])[-1],
            forwarded_scheme(inbound, self.scheme).encode(),
            values.get(b"x-forwarded-for", []),
            values.get(b"forwarded", []),
        )
        return Forwarding([*pairs, *(pair for pair in inbound if pair[0] in (b"x-real-ip", b"x-forwarded-port"))])

    def _pairs(
        self, host: bytes, asked_host: bytes, scheme: bytes, chain: list[bytes], forwarded: list[bytes]
    ) -> Pairs:
        pairs = [
            (b"x-forwarded-for", b", ".join([*chain, self.peer.encode()])),
            (b"x-forwarded-proto", scheme),
            (b"x-forwarded-host", asked_host),
        ]
        if self._has_forwarded:
            element = b"for=%b;proto=%b;host=%b" % (_node(self.peer), self.scheme.encode(), _quoted(host))
            pairs.append((b"forwarded", b", ".join([*forwarded, element])))
        pairs.append(self._via)
        return pairs


def forwarded_client(inbound: Pairs, peer: str, trusted: TrustedProxies) -> str:
    """Return the nearest address that no trusted proxy has: everything left of it can be made up.

    Args:
        inbound: The forwarding fields that came from a trusted peer.
        peer: The peer's address.
        trusted: Whose word counts.
    """
    chain = b",".join(value for name, value in inbound if name == b"x-forwarded-for").decode("latin-1")
    client = peer
    for address in reversed([address.strip() for address in chain.split(",") if address.strip()]):
        if not _is_address(address):
            return client
        client = address
        if address not in trusted:
            return client
    return client


def forwarded_scheme(inbound: Pairs, scheme: str) -> str:
    """Return the scheme that a trusted proxy reports, or ``scheme``."""
    values = _by_name(inbound).get(b"x-forwarded-proto")
    reported = values[-1].strip().lower().decode("latin-1") if values else ""
    return reported if reported in ("http", "https") else scheme


def _by_name(pairs: Pairs) -> dict[bytes, list[bytes]]:
    values: dict[bytes, list[bytes]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return values


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _node(address: str) -> bytes:
    # RFC 7239 section 6: IPv6 addresses stand in brackets, and brackets need quotes.
    return f'"[{address}]"'.encode() if ":" in address else address.encode()


def _quoted(host: bytes) -> bytes:
    # A port's colon is not allowed in a token (RFC 7239 section 4).
    return b'"%b"' % host if b":" in host or b"[" in host else host
