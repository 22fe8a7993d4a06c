"""A status of gRPC as fields: at the end of a response, or in one that has nothing else ("Trailers-Only")."""

from __future__ import annotations

import re

from gateway import GatewayError
from gateway_grpc.resets import meaning_of_reset
from gateway_grpc.status import GrpcStatus, status_of_http

__all__ = ["MESSAGE", "STATUS", "WELL", "code_of", "status_fields", "status_of_error"]

STATUS = b"grpc-status"
MESSAGE = b"grpc-message"
WELL = (STATUS, b"0")

MAX_MESSAGE_BYTES = 1024
"""Longer messages are cut: clients hold all fields together to 8 KiB and less (gRPC over HTTP2, "Custom-Metadata")."""

_UNPRINTABLE = re.compile(rb"[^ -$&-~]")
"""What ``grpc-message`` has not as it is: all but printable ASCII, and the percent sign (gRPC over HTTP2)."""


_BY_VALUE = {b"%d" % code: code for code in GrpcStatus}


def status_fields(code: GrpcStatus, message: str) -> list[tuple[bytes, bytes]]:
    """Return the fields of a status.

    Args:
        code: The status.
        message: What is told people; empty is nothing.
    """
    fields = [(STATUS, b"%d" % code)]
    if message:
        text = message.encode("utf-8", "replace")
        if len(text) > MAX_MESSAGE_BYTES:
            text = text[:MAX_MESSAGE_BYTES].decode("utf-8", "ignore").encode()  # not in the middle of a character
        fields.append((MESSAGE, _UNPRINTABLE.sub(lambda found: b"%%%02X" % ord(found[0]), text)))
    return fields


def status_of_error(error: Exception) -> tuple[GrpcStatus, str]:
    """Return the status for what kept a call from being made, or cut it short, and what is told people."""
    meaning = meaning_of_reset(error)
    if meaning is not None:
        return meaning
    if isinstance(error, GatewayError):
        return status_of_http(error.type.status), error.message
    return GrpcStatus.UNAVAILABLE, "the call was cut short"


def code_of(value: bytes | None) -> GrpcStatus | None:
    """Return the status that the value of a field ``grpc-status`` is; ``UNKNOWN`` if it is none of gRPC's."""
    if value is None:
        return None
    return _BY_VALUE.get(value, GrpcStatus.UNKNOWN)
