"""Fields of HTTP as metadata of gRPC, and back."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway import Request
    from gateway_grpc.channels.channel import Metadata

__all__ = ["Names", "metadata_of", "pairs_of"]

_HOP_BY_HOP = frozenset(
    # RFC 9110 section 7.6.1, and what is about this message in HTTP.
    (
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer"),
        *("transfer-encoding", "upgrade", "host", "content-length", "content-type", "content-encoding", "expect"),
    )
)
_NOT_TO_SERVICES = _HOP_BY_HOP | {"accept", "accept-encoding", "user-agent", "x-request-id"}
_NOT_TO_CLIENTS = _HOP_BY_HOP | {"date", "server", "x-request-id"}
_RESERVED = "grpc-"
"""The protocol's own (gRPC over HTTP2, "Custom-Metadata")."""

MAX_KNOWN = 256
"""How many names of fields are remembered."""

_KEY = re.compile(rb"[0-9a-z_.-]+")


class Names:
    """Which names are meant by a list of names, some of them with ``*`` behind."""

    def __init__(self, patterns: Iterable[str]) -> None:
        patterns = list(patterns)
        self._exact = frozenset(each for each in patterns if not each.endswith("*"))
        self._beginnings = tuple(each[:-1] for each in patterns if each.endswith("*"))
        self._is_everything = "" in self._beginnings
        self._known: dict[bytes, str | None] = {}

    def __contains__(self, name: str) -> bool:
        return self._is_everything or name in self._exact or name.startswith(self._beginnings)

    def of_service(self, field: bytes) -> str | None:
        """Return what a field of a request is called as metadata; ``None`` if it is not to be any."""
        try:
            return self._known[field]
        except KeyError:
            name = field.decode("latin-1")
            is_meant = name not in _NOT_TO_SERVICES and not name.startswith(_RESERVED) and name in self
            found = name if is_meant and _KEY.fullmatch(field) else None
            # Strangers may send any names; most requests have the same few.
            if len(self._known) < MAX_KNOWN:
                self._known[field] = found
            return found


def metadata_of(request: Request, names: Names) -> Metadata:
    """Return what a service is told beside the message: the fields of the request, its id, and what is forwarded.

    What metadata cannot carry is left out: it would fail the call.
    """
    found: list[tuple[str, str | bytes]] = [("x-request-id", request.id)]
    for pairs in (request.headers.pairs, request.forwarding.pairs):
        for raw_name, raw_value in pairs:
            name = names.of_service(raw_name)
            if name is None:
                continue
            text = raw_value.decode("latin-1")
            if not text.isascii() or not text.isprintable():
                continue
            if not name.endswith("-bin"):
                found.append((name, text))
            elif (value := _decoded(raw_value)) is not None:
                found.append((name, value))
    return found


def pairs_of(metadata: Metadata, names: Names) -> list[tuple[bytes, bytes]]:
    """Return what a client is told beside the message."""
    pairs = []
    for name, value in metadata:
        if name in _NOT_TO_CLIENTS or name.startswith(_RESERVED) or name not in names:
            continue
        text = value if isinstance(value, str) else base64.b64encode(value).rstrip(b"=").decode("ascii")
        if text.isascii() and text.isprintable():
            pairs.append((name.encode("ascii", "replace"), text.encode("ascii")))
    return pairs


def _decoded(value: bytes) -> bytes | None:
    # Padded or not (gRPC over HTTP2, "Binary-Header").
    try:
        return base64.b64decode(value + b"=" * (-len(value) % 4), validate=True)
    except binascii.Error:
        return None
