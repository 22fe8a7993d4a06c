"""Who the client is behind proxies, and what services are told about it."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator

from gateway.messages import Forwarding, Origin

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["CERTIFICATE_FIELDS", "FORWARDING_FIELDS", "UNKNOWN", "Hop", "Networks", "TrustedProxies"]

CERTIFICATE_FIELDS = frozenset({b"client-cert", b"client-cert-chain"})
"""Fields in which proxies hand on a client's certificate (RFC 9440)."""

FORWARDING_FIELDS = CERTIFICATE_FIELDS | frozenset(
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

UNKNOWN = "unknown"
"""Stands for an address that is not known (RFC 7239 section 6.2)."""


def _check_networks(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        try:
            ipaddress.ip_network(value, strict=False)
        except ValueError as error:
            msg = f"{value!r} is neither an address nor a network; write '10.0.0.0/8' or '::1'"
            raise ValueError(msg) from error
    return values


Networks = Annotated[tuple[str, ...], AfterValidator(_check_networks)]
"""Addresses or networks in CIDR form, in a configuration."""


class TrustedProxies:
    """The networks whose word about the client counts.

    Args:
        networks: Addresses or networks in CIDR form.
    """

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = tuple(ipaddress.ip_network(network, strict=False) for network in networks)
        # A worker sees few different peers that matter; the bound keeps strangers from growing it.
        self._contains = lru_cache(maxsize=4096)(self._look_up)

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
    """The connection that requests come over.

    Args:
        peer: The peer's address.
        scheme: ``http`` or ``https``.
        trusted: Whose word about the client counts.
        has_forwarded: Whether ``Forwarded`` is written beside ``X-Forwarded-*``.
        via: The pseudonym for ``Via``.

    Attributes:
        peer: As given.
        scheme: As given.
        peer_certificate: The verified certificate of the peer as ``ssl`` describes it, if it showed one.
        certificate_fields: What services are told of that certificate.
        believes_certificates: Whether the peer hands on the certificates of others, in fields that replace these.
    """

    __slots__ = (
        "_has_forwarded",
        "_is_trusted",
        "_trusted",
        "_via",
        "believes_certificates",
        "certificate_fields",
        "peer",
        "peer_certificate",
        "scheme",
    )

    def __init__(self, peer: str, scheme: str, *, trusted: TrustedProxies, has_forwarded: bool, via: str) -> None:
        self.peer = peer
        self.scheme = scheme
        self._trusted = trusted
        self._is_trusted = peer in trusted
        self._has_forwarded = has_forwarded
        self._via = via
        self.peer_certificate: Mapping[str, object] | None = None
        self.certificate_fields: Sequence[tuple[bytes, bytes]] = ()
        self.believes_certificates = False

    def origin(
        self,
        host: bytes,
        inbound: Sequence[tuple[bytes, bytes]],
        *,
        http_version: str = "1.1",
        takes_trailers: bool = False,
    ) -> Origin:
        """Return where a request came from.

        Args:
            host: The authority it asks.
            inbound: The forwarding fields it came with; they count if the peer is trusted.
            http_version: What it was sent in, for ``Via``.
            takes_trailers: Whether the client said that it takes trailer fields (RFC 9110 section 10.1.4).
        """
        values = _by_name(inbound) if self._is_trusted else {}
        scheme = _forwarded_scheme(values) or self.scheme
        pairs = [
            (b"x-forwarded-for", b", ".join([*values.get(b"x-forwarded-for", []), self.peer.encode()])),
            (b"x-forwarded-proto", scheme.encode()),
            (b"x-forwarded-host", values.get(b"x-forwarded-host", [host])[-1]),
        ]
        if self._has_forwarded:
            # What this hop saw itself: the elements before it tell of the hops before.
            element = b"for=%b;proto=%b;host=%b" % (_node(self.peer), self.scheme.encode(), _quoted(host))
            pairs.append((b"forwarded", b", ".join([*values.get(b"forwarded", []), element])))
        pairs += [(name, values[name][-1]) for name in (b"x-forwarded-port", b"x-real-ip") if name in values]
        pairs += self._handed_on(values) if self.believes_certificates else self.certificate_fields
        pairs.append((b"via", f"{http_version} {self._via}".encode()))
        if takes_trailers:
            pairs.append((b"te", b"trailers"))
        forwarding = Forwarding(pairs)
        if takes_trailers:
            forwarding.block += b"connection: te\r\n"  # only HTTP/1.1 has it, and there TE needs it
        return Origin(
            client=self._client(values),
            scheme=scheme,
            host=host.decode("latin-1").lower(),
            forwarding=forwarding,
            http_version=http_version,
            peer_certificate=self.peer_certificate,
        )

    def _handed_on(self, values: dict[bytes, list[bytes]]) -> Sequence[tuple[bytes, bytes]]:
        """Return the certificate that a proxy hands on; two of them are none (RFC 9440 section 2.2)."""
        certificates = values.get(b"client-cert", [])
        if not certificates:
            return self.certificate_fields
        if len(certificates) > 1:
            return ()
        chain = values.get(b"client-cert-chain", [])
        fields = [(b"client-cert", certificates[0])]
        return [*fields, (b"client-cert-chain", b", ".join(chain))] if chain else fields

    def _client(self, values: dict[bytes, list[bytes]]) -> str:
        """Return the nearest address that no trusted proxy has: everything left of it can be made up."""
        client = self.peer
        for address in reversed(_chain(values)):
            if not _is_address(address):
                return client
            client = address
            if address not in self._trusted:
                return client
        return client


def _by_name(pairs: Sequence[tuple[bytes, bytes]]) -> dict[bytes, list[bytes]]:
    values: dict[bytes, list[bytes]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return values


_FOR = re.compile(r'(?:^|[;,])[ \t]*for=("[^"]*"|[^;," \t]*)', re.IGNORECASE)
_PROTO = re.compile(r'(?:^|[;,])[ \t]*proto="?(https?)"?[ \t]*(?=$|[;,])', re.IGNORECASE)


def _chain(values: dict[bytes, list[bytes]]) -> list[str]:
    """Return the addresses that proxies reported, the nearest last; ``X-Forwarded-For`` before ``Forwarded``."""
    reported = _joined(values, b"x-forwarded-for")
    if reported:
        return [_without_port(address) for address in reported.split(",")]
    return [_without_port(node) for node in _FOR.findall(_joined(values, b"forwarded"))]


def _forwarded_scheme(values: dict[bytes, list[bytes]]) -> str | None:
    """Return the scheme that the nearest proxy reported."""
    reported = _joined(values, b"x-forwarded-proto").rpartition(",")[2].strip().lower()
    if reported:
        return reported if reported in ("http", "https") else None
    found = _PROTO.findall(_joined(values, b"forwarded"))
    return str(found[-1]).lower() if found else None


def _joined(values: dict[bytes, list[bytes]], name: bytes) -> str:
    return b",".join(values.get(name, [])).decode("latin-1")


def _without_port(node: str) -> str:
    """Return the address in ``192.0.2.7:80``, ``"[2001:db8::1]:80"`` and the like; what is none stays as it is."""
    node = node.strip(' \t"')
    if node.startswith("["):
        return node[1:].partition("]")[0]
    return node.partition(":")[0] if node.count(":") == 1 else node


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
    # RFC 7239 section 4: what is not a token, such as a port's colon, needs quotes; a host holds no quotes itself.
    return host if re.fullmatch(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+", host) else b'"%b"' % host
