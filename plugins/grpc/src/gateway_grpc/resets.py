"""What it means that a service resets the stream of a call (gRPC over HTTP2, "Errors")."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import GatewayError
from gateway_grpc.status import GrpcStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["meaning_of_reset"]

_MEANINGS: Mapping[int, tuple[GrpcStatus, str]] = {
    # By the codes of RFC 9113 section 7.
    0x7: (GrpcStatus.UNAVAILABLE, "the service refused the call"),  # REFUSED_STREAM
    0x8: (GrpcStatus.CANCELLED, "the service cancelled the call"),  # CANCEL
    0xB: (GrpcStatus.RESOURCE_EXHAUSTED, "bandwidth exceeded"),  # ENHANCE_YOUR_CALM
    0xC: (
        GrpcStatus.PERMISSION_DENIED,  # INADEQUATE_SECURITY
        "permission denied: the protocol is not secure enough for the call",
    ),
}
_BROKEN = GrpcStatus.INTERNAL, "the service broke the call off"
"""All others: in that table, or, where it has nothing, in the core library of gRPC."""


def meaning_of_reset(error: Exception) -> tuple[GrpcStatus, str] | None:
    """Return the status for what a connector failed with, and what is told people; ``None`` if nothing was reset."""
    code = error.reset_code if isinstance(error, GatewayError) else None
    if code is None:
        return None
    status, message = _MEANINGS.get(code, _BROKEN)
    return status, f"{message} (HTTP/2 code {code})"
