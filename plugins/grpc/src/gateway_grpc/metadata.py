"""Fields of HTTP as metadata of gRPC, and back."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from collections.abc import Set as AbstractSet
    from re import Pattern

    from gateway import Forwarding, Headers, Request
    from gateway_grpc.channels.channel import Metadata

    Pair = tuple[bytes, bytes]

__all__ = ["Names", "metadata_of"]

_HOP_BY_HOP = frozenset(
    # RFC 9110 section 7.6.1, and what is about this message in HTTP.
    (
        *(b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te"),
        *(b"trailer", b"transfer-encoding", b"upgrade", b"host", b"content-length", b"content-type"),
        *(b"content-encoding", b"expect"),
    )
)
_NOT_TO_SERVICES = _HOP_BY_HOP | {b"accept", b"accept-encoding", b"user-agent", b"x-request-id"}
"""Its id every service gets anyway."""
_NOT_TO_CLIENTS = _HOP_BY_HOP | {b"date", b"server", b"x-request-id"}
_RESERVED = b"grpc-"
"""The protocol's own (gRPC over HTTP2, "Custom-Metadata")."""

MAX_KNOWN = 256
"""How many names of fields are remembered, of each side."""

_KEY = re.compile(rb"[0-9a-z_.-]+")
_VALUE = re.compile(rb"[ -~]*")
"""What values are (gRPC over HTTP2, "ASCII-Value")."""
_BINARY_VALUE = re.compile(rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2,3})?={0,2}")
"""What values are of names that end in ``-bin``; padded or not (gRPC over HTTP2, "Binary-Header")."""


class Names:
    """Which names are meant by a list of names, some of them with ``*`` behind."""

    def __init__(self, patterns: Iterable[str]) -> None:
        names = [each.encode("ascii") for each in patterns]
        self._exact = frozenset(each for each in names if not each.endswith(b"*"))
        self._beginnings = tuple(each[:-1] for each in names if each.endswith(b"*"))
        # By name, what its values have to be; None if it is not meant.
        self._to_services: dict[bytes, Pattern[bytes] | None] = {}
        self._to_clients: dict[bytes, Pattern[bytes] | None] = {}

    def of_request(self, headers: Headers, forwarding: Forwarding) -> Sequence[Pair]:
        """Return what becomes metadata of the fields of a request, and of those that are forwarded."""
        section = headers.section
        if section is None or headers.lines:
            return self.to_services((*headers.view(), *forwarding.pairs))
        # Most requests of a connection share both.
        kept: tuple[Forwarding, Sequence[Pair]] | None = section.memo.get(self)
        if kept is None or kept[0] is not forwarding:
            kept = forwarding, self.to_services((*section.pairs, *forwarding.pairs))
            section.keep(self, kept)
        return kept[1]

    def to_services(self, pairs: Iterable[Pair]) -> list[Pair]:
        """Return those fields of a request that become metadata."""
        return self._meant(pairs, self._to_services, _NOT_TO_SERVICES)

    def to_clients(self, pairs: Iterable[Pair]) -> list[Pair]:
        """Return that metadata of an answer that becomes fields."""
        return self._meant(pairs, self._to_clients, _NOT_TO_CLIENTS)

    def _meant(
        self, pairs: Iterable[Pair], known: dict[bytes, Pattern[bytes] | None], never: AbstractSet[bytes]
    ) -> list[Pair]:
        """Return the fields that are meant; what metadata cannot carry is left out, for it would fail the call."""
        found = []
        for pair in pairs:
            name = pair[0]
            try:
                values = known[name]
            except KeyError:
                values = self._values_of(name, never)
                # Strangers may send any names; most requests have the same few.
                if len(known) < MAX_KNOWN:
                    known[name] = values
            if values is not None and values.fullmatch(pair[1]):
                found.append(pair)
        return found

    def _values_of(self, name: bytes, never: AbstractSet[bytes]) -> Pattern[bytes] | None:
        is_meant = name in self._exact or name.startswith(self._beginnings)
        if not is_meant or name in never or name.startswith(_RESERVED) or not _KEY.fullmatch(name):
            return None
        return _BINARY_VALUE if name.endswith(b"-bin") else _VALUE


def metadata_of(request: Request, names: Names) -> Metadata:
    """Return what a service is told beside the message: the fields of the request, and what is forwarded."""
    return names.of_request(request.headers, request.forwarding)
