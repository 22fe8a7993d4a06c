"""SETTINGS, both ways (RFC 9113 section 6.5)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from gateway_http2.engine import codes
from gateway_http2.engine.codes import ErrorCode, Setting
from gateway_http2.engine.faults import ConnectionFault

if TYPE_CHECKING:
    from gateway_http2.engine.limits import Limits

__all__ = ["PeerSettings", "settings_payload"]

MAX_PARAMETERS = 64
"""Parameters of one frame; there are 8 that are registered for general use."""
_PARAMETER = struct.Struct(">HL")


class PeerSettings:
    """What the peer said of itself; until it does, what it is taken to have said.

    Attributes:
        header_table_size: The dynamic table of header blocks that are sent to it.
        max_concurrent_streams: How many streams may be opened towards it.
        initial_window: How much content of one stream may be sent before it says more.
        max_frame_size: The largest frame it takes.
        max_header_list_size: The most that the fields of a block may count, ``None`` if it does not say.
        has_extended_connect: Whether it takes extended CONNECT (RFC 8441).
    """

    __slots__ = (
        "has_extended_connect",
        "header_table_size",
        "initial_window",
        "max_concurrent_streams",
        "max_frame_size",
        "max_header_list_size",
    )

    def __init__(self) -> None:
        self.header_table_size = codes.DEFAULT_TABLE_SIZE
        self.max_concurrent_streams = 100  # RFC 9113 section 6.5.2 recommends that it allows no fewer
        self.initial_window = codes.DEFAULT_WINDOW
        self.max_frame_size = codes.DEFAULT_MAX_FRAME_SIZE
        self.max_header_list_size: int | None = None
        self.has_extended_connect = False

    def update(self, payload: bytes, *, is_peer_server: bool) -> None:
        """Take a SETTINGS frame.

        Raises:
            ConnectionFault: If it is malformed.
        """
        if len(payload) % _PARAMETER.size:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS of another size")
        if len(payload) > MAX_PARAMETERS * _PARAMETER.size:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many settings")
        for setting, value in _PARAMETER.iter_unpack(payload):
            self._set(setting, value, is_peer_server=is_peer_server)

    def _set(self, setting: int, value: int, *, is_peer_server: bool) -> None:
        match setting:
            case Setting.HEADER_TABLE_SIZE:
                self.header_table_size = value
            case Setting.ENABLE_PUSH:
                _check(value == 0 or (value == 1 and not is_peer_server), "ENABLE_PUSH", value)
            case Setting.MAX_CONCURRENT_STREAMS:
                self.max_concurrent_streams = value
            case Setting.INITIAL_WINDOW_SIZE:
                if value > codes.LARGEST_WINDOW:
                    raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, f"INITIAL_WINDOW_SIZE of {value}")
                self.initial_window = value
            case Setting.MAX_FRAME_SIZE:
                is_possible = codes.DEFAULT_MAX_FRAME_SIZE <= value <= codes.LARGEST_FRAME_SIZE
                _check(is_possible, "MAX_FRAME_SIZE", value)
                self.max_frame_size = value
            case Setting.MAX_HEADER_LIST_SIZE:
                self.max_header_list_size = value
            case Setting.ENABLE_CONNECT_PROTOCOL:
                # It cannot be taken back (RFC 8441 section 3).
                _check(value <= 1 and value >= self.has_extended_connect, "ENABLE_CONNECT_PROTOCOL", value)
                self.has_extended_connect = bool(value)
            case _:
                pass  # RFC 9113 section 6.5.2: what is not known is ignored


def _check(is_possible: bool, name: str, value: int) -> None:  # noqa: FBT001 - what is checked
    if not is_possible:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"{name} of {value}")


def settings_payload(limits: Limits, *, is_server: bool) -> bytes:
    """Return what a peer is told of its limits."""
    settings = {
        Setting.HEADER_TABLE_SIZE: limits.header_table_size,
        Setting.INITIAL_WINDOW_SIZE: limits.stream_window,
        Setting.MAX_FRAME_SIZE: limits.max_frame_size,
        Setting.MAX_HEADER_LIST_SIZE: limits.max_header_bytes,
    }
    if is_server:
        settings[Setting.MAX_CONCURRENT_STREAMS] = limits.max_concurrent_streams
        if limits.has_extended_connect:
            settings[Setting.ENABLE_CONNECT_PROTOCOL] = 1
    else:
        settings[Setting.ENABLE_PUSH] = 0
    return b"".join([_PARAMETER.pack(setting, value) for setting, value in settings.items()])
