"""Messages that services compress: gRPC allows it to each message by itself ("Compression" of its documents)."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from gateway_grpc.channels.channel import CallError
from gateway_grpc.channels.failures import too_large
from gateway_grpc.status import GrpcStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ACCEPTED", "decompressed"]

ACCEPTED = b"identity,deflate,gzip"
"""The value of ``grpc-accept-encoding``; what grpcio sends too."""
_WINDOW_BITS: Mapping[bytes, int] = {
    # As zlib's inflateInit2 has them: gRPC's "deflate" is the zlib format (RFC 1950), as in HTTP.
    b"deflate": 15,
    b"gzip": 31,
}


def decompressed(data: bytes, encoding: bytes, limit_bytes: int) -> bytes:
    """Return a message as it was before it was compressed. Takes milliseconds for a large one.

    Args:
        data: The message.
        encoding: The value of ``grpc-encoding``.
        limit_bytes: The largest message, of which no more is made.

    Raises:
        CallError: ``INTERNAL`` if the encoding is none that was offered, or the message is not in it.
        GatewayError: ``bad_gateway`` if it is too large.
    """
    window_bits = _WINDOW_BITS.get(encoding)
    if window_bits is None:
        raise CallError(GrpcStatus.INTERNAL, "the service compressed a message in a way that was not offered")
    inflater = zlib.decompressobj(window_bits)
    try:
        message = inflater.decompress(data, limit_bytes + 1)
    except zlib.error as error:
        raise _broken() from error
    if len(message) > limit_bytes:
        raise too_large(limit_bytes)
    if not inflater.eof or inflater.unused_data:
        raise _broken()
    return message


def _broken() -> CallError:
    return CallError(GrpcStatus.INTERNAL, "a compressed message of the service cannot be read")
