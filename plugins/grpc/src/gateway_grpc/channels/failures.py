"""What a call comes to when the service does not end it in the way of gRPC."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from gateway import ErrorType, GatewayError
from gateway_grpc.channels.channel import CallError
from gateway_grpc.native.response import NO_STATUS
from gateway_grpc.resets import meaning_of_reset
from gateway_grpc.status import GrpcStatus, status_of_http
from gateway_grpc.status_fields import MESSAGE, STATUS, WELL, code_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway_grpc.channels.channel import Metadata

__all__ = ["error_of", "not_grpc", "of_reset", "too_large"]

OK = 200


def error_of(fields: Sequence[tuple[bytes, bytes]], metadata: Metadata) -> CallError | None:
    """Return how a call ended that ended with ``fields``; ``None`` if well.

    Args:
        fields: Trailers, or a head that has them.
        metadata: All that came with it.
    """
    if WELL in fields:
        return None
    found = dict(fields)
    code = code_of(found.get(STATUS))
    if code is None:
        return CallError(GrpcStatus.UNKNOWN, NO_STATUS, metadata=metadata)
    # Percent-encoded UTF-8 (gRPC over HTTP2, "Status-Message"); what is none of it must not fail.
    message = unquote_to_bytes(found.get(MESSAGE, b"")).decode("utf-8", "replace")
    return CallError(code, message, metadata=metadata)


def not_grpc(status: int) -> CallError:
    """Return the error for an answer that is not gRPC, such as a proxy's ("HTTP to gRPC Status Code Mapping")."""
    code = GrpcStatus.UNKNOWN if status == OK else status_of_http(status)
    return CallError(code, f"the service answered with HTTP status {status}, not with gRPC")


def of_reset(error: Exception) -> Exception:
    """Return what a call comes to whose stream the service reset; another error as it is."""
    meaning = meaning_of_reset(error)
    if meaning is None:
        return error
    code, message = meaning
    if isinstance(error, GatewayError) and error.is_unsent:
        # No answer: whoever may ask another instance has to see that.
        return GatewayError(ErrorType.UNAVAILABLE, message, detail=error.detail, is_unsent=True)
    return CallError(code, message)


def too_large(limit_bytes: int) -> GatewayError:
    """Return the error for a message of a service that is too large."""
    return GatewayError(
        ErrorType.BAD_GATEWAY,
        "the answer of the service is too large",
        detail=f"a message of the service is larger than {limit_bytes} bytes",
    )
