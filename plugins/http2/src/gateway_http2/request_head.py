"""The header block of a request to a service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.semantics import HOP_BY_HOP
from gateway_http2.engine import literal
from gateway_http2.response_head import content_length_field, request_id_field

if TYPE_CHECKING:
    from gateway import Exchange, Instance
    from gateway_http2.engine.encoder import Encoder

__all__ = ["request_block"]

_OURS = (HOP_BY_HOP | {b"content-length", b"host", b"x-request-id"}) - {b"te"}


def request_block(encoder: Encoder, exchange: Exchange, instance: Instance, scheme: str, length: int | None) -> bytes:
    """Return the block of a request (RFC 9113 section 8.3.1).

    What is new in each request, its path, its id and its length, stays out of the dynamic table and of what is
    remembered.

    Args:
        encoder: The connection's.
        exchange: The request.
        instance: Who is asked.
        scheme: ``http`` or ``https``.
        length: How long its body is; ``None`` if it does not say, or has none.
    """
    request = exchange.request
    origin = request.origin
    pairs = request.headers.view()
    authority = instance.authority.encode("ascii")
    if exchange.route.preserve_host and origin.host:
        authority = next((value for name, value in pairs if name == b"host"), authority)
    pairs = [pair for pair in pairs if pair[0] not in _OURS]
    target = f"{exchange.upstream_path}?{request.query}" if request.query else exchange.upstream_path
    block = encoder.encode(
        (
            (b":method", request.method.encode("ascii")),
            (b":scheme", scheme.encode("ascii")),
            (b":authority", authority),
        )
    )
    block += literal(b":path", target.encode("latin-1"))
    block += encoder.encode((*pairs, *origin.forwarding.pairs))
    block += request_id_field(request.id)
    return block if length is None else block + content_length_field(length)
