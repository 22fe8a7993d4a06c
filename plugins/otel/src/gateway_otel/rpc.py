"""Attributes of calls: OpenTelemetry semantic conventions 1.36, RPC and gRPC."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import Body

if TYPE_CHECKING:
    from gateway import Exchange, Response
    from gateway_otel.spans import Attribute

__all__ = ["rpc_attributes"]

GRPC = "application/grpc"
MAX_VALUE_LENGTH = 1024
"""Characters of what a client wrote; the rest is cut off."""


def rpc_attributes(exchange: Exchange) -> list[Attribute]:
    """Return what a request is as a call, on a route to a gRPC service; nothing if it is none."""
    if exchange.route.protocol != "grpc":
        return []
    if not (exchange.request.headers.get("content-type") or "").startswith(GRPC):
        return []
    service, _, method = exchange.request.path.removeprefix("/").rpartition("/")
    found: list[Attribute] = [
        ("rpc.system", "grpc"),
        ("rpc.service", service[:MAX_VALUE_LENGTH]),
        ("rpc.method", method[:MAX_VALUE_LENGTH]),
    ]
    code = _status_code(exchange.response)
    if code.isdecimal() and len(code) <= 2:
        found.append(("rpc.grpc.status_code", int(code)))
    return found


def _status_code(response: Response | None) -> str:
    """Return the status, which came with the head or behind the body; empty if there is none."""
    if response is None:
        return ""
    code = response.headers.get("grpc-status")
    if code is None and isinstance(response.body, Body):
        code = dict(response.body.trailers).get(b"grpc-status", b"").decode("latin-1")
    return code or ""
