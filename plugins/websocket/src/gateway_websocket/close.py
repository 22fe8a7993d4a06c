"""Close codes (RFC 6455 section 7.4) and what breaks the protocol."""

from __future__ import annotations

import enum

__all__ = ["CloseCode", "Violation", "check_close", "close_payload", "code_label", "code_of"]

MAX_REASON_BYTES = 123
"""What is left of a control frame's 125 bytes behind the code."""

NO_CODE = 1005
"""Stands for a close frame without a code; never sent (RFC 6455 section 7.4.1)."""
ABNORMAL = 1006
"""Stands for a connection that ended without a close frame; never sent."""


class CloseCode(enum.IntEnum):
    """The codes that the gateway itself closes with."""

    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    INVALID_TEXT = 1007
    POLICY = 1008
    TOO_BIG = 1009
    SERVICE_RESTART = 1012
    """Registered with IANA: the server restarts, and the client may come back."""
    TRY_AGAIN_LATER = 1013
    """Registered with IANA."""


_REGISTERED = frozenset({1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014})
_FREE = range(3000, 5000)
"""For libraries, frameworks and applications (RFC 6455 section 7.4.2)."""


class Violation(Exception):
    """A peer broke the protocol or a limit.

    Args:
        code: What it is closed with.
        reason: Why, for the close frame.
    """

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def check_close(payload: bytes) -> None:
    """Check the payload of a close frame (RFC 6455 section 5.5.1).

    Raises:
        Violation: If half a code, a code that nobody may send, or a reason that is no text stands in it.
    """
    if not payload:
        return
    code = int.from_bytes(payload[:2])
    if len(payload) == 1 or (code not in _REGISTERED and code not in _FREE):
        raise Violation(CloseCode.PROTOCOL_ERROR, "a close code that cannot be sent")
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        raise Violation(CloseCode.INVALID_TEXT, "a close reason that is not UTF-8") from None


def code_of(payload: bytes) -> int:
    """Return the code in the payload of a close frame, 1005 if there is none."""
    return int.from_bytes(payload[:2]) if payload else NO_CODE


def close_payload(code: int, reason: str) -> bytes:
    """Return the payload of a close frame."""
    return code.to_bytes(2) + reason.encode()[:MAX_REASON_BYTES]


def code_label(code: int) -> str:
    """Return the code as a metric's label; those of applications are counted together, so that labels are bounded."""
    return f"{code // 1000}xxx" if code in _FREE else str(code)
