"""The constants of Autobahn's ``WebSocketProtocol`` that cases ask for, by Autobahn's names."""

from __future__ import annotations

from enum import IntEnum


class State(IntEnum):
    """How far a connection is."""

    CLOSED = 0
    CONNECTING = 1
    CLOSING = 2
    OPEN = 3


class WebSocketProtocol:
    """States, and the codes of close frames (RFC 6455 section 7.4.1)."""

    STATE_CLOSED = State.CLOSED
    STATE_CONNECTING = State.CONNECTING
    STATE_CLOSING = State.CLOSING
    STATE_OPEN = State.OPEN

    CLOSE_STATUS_CODE_NORMAL = 1000
    CLOSE_STATUS_CODE_GOING_AWAY = 1001
    CLOSE_STATUS_CODE_PROTOCOL_ERROR = 1002
    CLOSE_STATUS_CODE_INVALID_PAYLOAD = 1007
