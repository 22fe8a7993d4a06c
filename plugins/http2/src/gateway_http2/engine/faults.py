"""What a peer did wrong (RFC 9113 section 5.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway_http2.engine.codes import ErrorCode

__all__ = ["ConnectionFault", "StreamFault"]


class ConnectionFault(Exception):
    """The connection cannot go on: it ends with a GOAWAY.

    Args:
        code: What the peer is told.
        message: What was wrong, for the log.
    """

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class StreamFault(Exception):
    """One stream cannot go on: it ends with a RST_STREAM.

    Args:
        code: What the peer is told.
        message: What was wrong, for the log.
    """

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
