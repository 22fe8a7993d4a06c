"""From an ASGI scope to a request, and from a response to ASGI's fields."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from gateway import ErrorType, GatewayError, Headers, Request
from gateway.forwarding import FORWARDING_FIELDS
from gateway.semantics import HOP_BY_HOP, METHODS, NO_CONTENT, REQUEST_ID, is_authority, lookalikes, new_request_id

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway import Response
    from gateway.forwarding import Hop
    from gateway_asgi.protocol import Scope

__all__ = ["content_length_of", "read_request", "response_fields"]

Pairs = list[tuple[bytes, bytes]]

_OURS = FORWARDING_FIELDS | HOP_BY_HOP | {b"content-length", b"expect", b"host", b"trailer", b"x-request-id"}
"""What does not go on as it came: it is the connection's, or the gateway writes it itself."""
_DROPPED = frozenset(lookalikes(_OURS))
_KEPT = frozenset({b"host", b"via", b"authorization", b"content-type", b"cookie", b"max-forwards"})
"""What a client cannot have removed by nominating it in ``Connection``."""
_TARGET = re.compile(r"/[!-\"$->@-~]*|\*")
_QUERY = re.compile(r"[!-\"$-~]*")
_PLACEHOLDER_HOST = b""


def read_request(scope: Scope, hop: Hop, max_uri_bytes: int) -> tuple[Request, GatewayError | None]:
    """Return the request of an ``http`` scope, without its body, and why it is refused, if it is.

    Args:
        scope: The scope.
        hop: The connection it came over.
        max_uri_bytes: How long its target may be.
    """
    pairs: Pairs = [(bytes(name).lower(), bytes(value)) for name, value in scope["headers"]]
    hosts = [value for name, value in pairs if name == b"host"]
    host = hosts[0] if len(hosts) == 1 and is_authority(hosts[0]) else _PLACEHOLDER_HOST
    method, path, query = _target(scope)
    request = Request(
        METHODS.get(method, "-"), path, query=query, headers=Headers(_passed_on(pairs, host)), id=_request_id(pairs)
    )
    version = scope.get("http_version", "1.1")
    inbound = [pair for pair in pairs if pair[0] in FORWARDING_FIELDS]
    request.origin = hop.origin(host, inbound, http_version="2" if version.startswith("2") else version)
    return request, _fault(method, path, query, hosts, version=version, max_uri_bytes=max_uri_bytes)


def content_length_of(scope: Scope) -> int | None:
    """Return how long the body says it is; ``None`` if it does not, or not in one way."""
    lengths = {value for name, value in scope["headers"] if name.lower() == b"content-length"}
    return int(next(iter(lengths))) if len(lengths) == 1 and next(iter(lengths)).isdigit() else None


def response_fields(request: Request, response: Response, *, passes_date: bool) -> Pairs:
    """Return the fields of an answer, with its length where it is known.

    Args:
        request: What is answered.
        response: The answer.
        passes_date: Whether ``Date`` and ``Server`` go on; the ASGI server writes its own.
    """
    dropped = HOP_BY_HOP | {b"content-length", b"x-request-id"}
    if not passes_date:
        dropped |= {b"date", b"server"}
    pairs = [pair for pair in response.headers.pairs if pair[0] not in dropped]
    pairs.append((b"x-request-id", request.id.encode("latin-1")))
    body = response.body
    if request.method != "HEAD" and response.status not in NO_CONTENT:
        length = len(body) if isinstance(body, bytes) else body.length
        if length is not None:
            pairs.append((b"content-length", b"%d" % length))
    elif response.status != 204:
        said = response.headers.get("content-length")
        if said is not None and said.isdigit():
            pairs.append((b"content-length", said.encode()))
    return pairs


def _target(scope: Scope) -> tuple[bytes, str, str]:
    raw_path = scope.get("raw_path")
    # Some servers only have the decoded path, and some leave the query in the raw one.
    path = raw_path.partition(b"?")[0].decode("latin-1") if raw_path else quote(scope["path"], safe="/%:@!$&'()*+,;=~")
    return scope["method"].encode("latin-1", "replace"), path, scope.get("query_string", b"").decode("latin-1")


def _passed_on(pairs: Pairs, host: bytes) -> Pairs:
    nominated = {
        option.strip().lower() for name, value in pairs if name == b"connection" for option in value.split(b",")
    } - _KEPT
    return [
        (b"host", host),
        *(pair for pair in pairs if pair[0] not in _OURS and pair[0] not in _DROPPED and pair[0] not in nominated),
    ]


def _request_id(pairs: Iterable[tuple[bytes, bytes]]) -> str:
    given = [value for name, value in pairs if name == b"x-request-id"]
    if len(given) == 1 and REQUEST_ID.fullmatch(given[0]):
        return given[0].decode("ascii")
    return new_request_id()


def _fault(
    method: bytes, path: str, query: str, hosts: list[bytes], *, version: str, max_uri_bytes: int
) -> GatewayError | None:
    if len(path) + len(query) > max_uri_bytes:
        return GatewayError(ErrorType.URI_TOO_LONG, "the request target is too long")
    if method not in METHODS or method == b"CONNECT":
        return GatewayError(ErrorType.NOT_IMPLEMENTED, "the method is not supported")
    if not _TARGET.fullmatch(path) or not _QUERY.fullmatch(query):
        return GatewayError(ErrorType.BAD_REQUEST, "the request target is malformed")
    if len(hosts) > 1:
        return GatewayError(ErrorType.BAD_REQUEST, "more than one Host field")
    if not hosts and version != "1.0":
        return GatewayError(ErrorType.BAD_REQUEST, "the Host field is missing")
    if hosts and not is_authority(hosts[0]):
        return GatewayError(ErrorType.BAD_REQUEST, "the Host field is malformed")
    return None
