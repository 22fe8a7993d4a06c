"""What a peer is held to."""

from __future__ import annotations

from dataclasses import dataclass

from gateway_http2.engine import codes

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a peer is held to, and told in SETTINGS.

    Attributes:
        max_concurrent_streams: How many streams it may have open.
        stream_window: How many bytes of content of one stream it may send before any is acknowledged.
        connection_window: The same for all streams together.
        max_frame_size: The largest frame.
        header_table_size: The dynamic table of its header blocks.
        max_header_bytes: The most that the fields of a block may count, and the bytes of the block.
        max_fields: How many fields a block may have.
        has_extended_connect: Whether it may ask for another protocol on a stream (RFC 8441); servers only.
        control_frames: How many frames it may send at once that carry nothing, such as PING, SETTINGS, PRIORITY.
        control_frames_per_s: How many more of them a second.
        resets: How many streams it may give up at once.
        resets_per_s: How many more of them a second.
    """

    max_concurrent_streams: int = 128
    stream_window: int = 65536
    connection_window: int = 1048576
    max_frame_size: int = codes.DEFAULT_MAX_FRAME_SIZE
    header_table_size: int = codes.DEFAULT_TABLE_SIZE
    max_header_bytes: int = 32768
    max_fields: int = 100
    has_extended_connect: bool = False
    control_frames: int = 1000
    control_frames_per_s: float = 100.0
    resets: int = 500
    resets_per_s: float = 50.0
