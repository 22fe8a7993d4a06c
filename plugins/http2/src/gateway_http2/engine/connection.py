"""A connection: frames in, the states of its streams (RFC 9113 sections 4 to 6). What goes out is in ``sending``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gateway_http2.engine import codes
from gateway_http2.engine.allowance import Allowance
from gateway_http2.engine.codes import ErrorCode
from gateway_http2.engine.decoder import Decoder
from gateway_http2.engine.faults import ConnectionFault, StreamFault
from gateway_http2.engine.sending import FRAME_HEAD, NUMBER, PREFACE, TWO_NUMBERS, Sender

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway_http2.engine.limits import Limits
    from gateway_http2.engine.owner import Owner
    from gateway_http2.engine.stream import Stream

__all__ = ["Connection"]

MAX_CONTINUATIONS = 16
"""Frames of one header block; nghttp2 takes 8. Blocks are bounded in bytes, too."""

_LENGTH_AND_WEIGHT = 5
_PING_BYTES = 8


class Connection(Sender):
    """The state of a connection, in either role.

    Args:
        owner: Is told what happens.
        is_server: Which end this is.
        limits: What the peer is held to.
        clock: Monotonic seconds, for allowances.

    Attributes:
        is_acknowledged: Whether the peer has acknowledged the settings.
        is_begun: Whether its own have come.
        is_peer_leaving: Whether the peer takes no more streams.
        is_within_head: Whether what came last is the beginning of a header block, or of a frame other than DATA.
    """

    __slots__ = (
        "_block",
        "_block_bytes",
        "_block_frames",
        "_block_id",
        "_block_is_end",
        "_decoder",
        "_is_over",
        "_missing",
        "_preface",
        "_received",
        "_resets",
        "is_acknowledged",
        "is_begun",
        "is_peer_leaving",
        "is_within_head",
    )

    def __init__(
        self, owner: Owner, *, is_server: bool, limits: Limits, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(owner, is_server=is_server, limits=limits, clock=clock)
        self.is_acknowledged = self.is_begun = self.is_peer_leaving = self.is_within_head = False
        self._decoder = Decoder(limits.max_header_bytes, limits.max_fields)
        self._resets = Allowance(limits.resets, limits.resets_per_s, clock)
        self._is_over = False
        # The beginning of a frame, and how much of it is missing at least.
        self._received = bytearray()
        self._preface = PREFACE if is_server else b""
        self._missing = len(self._preface) or FRAME_HEAD.size
        # The beginning of a header block.
        self._block: list[bytes] = []
        self._block_id = self._block_bytes = self._block_frames = 0
        self._block_is_end = False

    def receive(self, data: bytes) -> None:
        """Take what arrived. What the peer did wrong is told to the owner, not raised."""
        if self._is_over:
            return
        if self._received or len(data) < self._missing:
            self._received += data
            self._missing -= len(data)
            if self._missing > 0:
                return
            data = bytes(self._received)
            self._received.clear()
        try:
            rest = self._take_frames(data, self._take_preface(data) if self._preface else 0)
        except ConnectionFault as fault:
            self.fail(fault)
            return
        self._received += rest

    def _take_preface(self, data: bytes) -> int:
        preface, self._preface = self._preface, b""
        if not data.startswith(preface):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "no connection preface")
        return len(preface)

    def _take_frames(self, data: bytes, position: int) -> bytes:
        """Take all whole frames; returns what is behind them.

        Raises:
            ConnectionFault: If the connection cannot go on.
        """
        end = len(data)
        missing = FRAME_HEAD.size
        is_within_head = False
        while end - position >= FRAME_HEAD.size:
            high, low, kind, flags, stream_id = FRAME_HEAD.unpack_from(data, position)
            length = high << 16 | low
            if length > self._limits.max_frame_size:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"a frame of {length} bytes")
            begin = position + FRAME_HEAD.size
            following = begin + length
            if following > end:
                missing += length
                is_within_head = kind != codes.DATA
                break
            position = following
            self._take_frame(kind, flags, stream_id & codes.LARGEST_STREAM_ID, data[begin:following])
            if self._is_over:
                return b""
        rest = data[position:]
        self._missing = missing - len(rest)
        self.is_within_head = is_within_head or bool(self._block_id)
        return rest

    def _take_frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if self._block_id and (kind != codes.CONTINUATION or stream_id != self._block_id):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a header block was interrupted")
        if not self.is_begun and (kind != codes.SETTINGS or flags & codes.ACK):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "the first frame is not SETTINGS")
        take = _TAKERS.get(kind)
        if take is None:
            # RFC 9113 section 5.5: types that are not known are ignored.
            self._spend_control()
            return
        try:
            take(self, flags, stream_id, payload)
        except StreamFault as fault:
            self._spend_control()
            stream = self.streams.get(stream_id)
            self.reset(stream_id, fault.code)
            if stream is not None:
                stream.reset_received(fault.code, is_ours=True)

    def _spend_control(self) -> None:
        if not self._control.spend():
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many frames that carry nothing")

    # Header blocks.

    def _take_headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        if flags & (codes.PADDED | codes.PRIORITY_FLAG):
            payload = _unpadded(payload) if flags & codes.PADDED else payload
            if flags & codes.PRIORITY_FLAG:
                payload = self._without_priority(stream_id, payload)
        if not stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "HEADERS on stream 0")
        if flags & codes.END_HEADERS:
            self._take_block(stream_id, payload, bool(flags & codes.END_STREAM))
            return
        self._block_id, self._block_is_end = stream_id, bool(flags & codes.END_STREAM)
        self._block, self._block_bytes, self._block_frames = [payload], len(payload), 0
        self._check_block()

    @staticmethod
    def _without_priority(stream_id: int, payload: bytes) -> bytes:
        """Return a payload without its priority, which means nothing any more (RFC 9113 section 5.3.2)."""
        if len(payload) < _LENGTH_AND_WEIGHT:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "HEADERS without its priority")
        if NUMBER.unpack_from(payload)[0] & codes.LARGEST_STREAM_ID == stream_id:
            # RFC 7540 section 5.3.1, which peers still look for. The block behind it would have to be decoded.
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a stream that depends on itself")
        return payload[_LENGTH_AND_WEIGHT:]

    def _take_continuation(self, flags: int, stream_id: int, payload: bytes) -> None:
        if not self._block_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "CONTINUATION without a header block")
        self._block.append(payload)
        self._block_bytes += len(payload)
        self._block_frames += 1
        self._check_block()
        if flags & codes.END_HEADERS:
            block, self._block, self._block_id = b"".join(self._block), [], 0
            self._take_block(stream_id, block, self._block_is_end)

    def _check_block(self) -> None:
        if self._block_bytes > self._limits.max_header_bytes or self._block_frames > MAX_CONTINUATIONS:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "a header block without end")

    def _take_block(self, stream_id: int, payload: bytes, is_end: bool) -> None:  # noqa: FBT001 - private, hot
        block = self._decoder.decode(payload)
        stream = self.streams.get(stream_id)
        if stream is None:
            stream = self._opened(stream_id)
            if stream is None:
                return
        elif not stream.is_receiving:
            raise StreamFault(ErrorCode.STREAM_CLOSED, "HEADERS behind the end of the stream")
        if is_end:
            stream.is_receiving = False
        stream.headers_received(block, is_end)
        if is_end and not stream.is_sending:
            self._forget(stream)

    def _opened(self, stream_id: int) -> Stream | None:
        """Return the stream that the peer opens; ``None`` if it is left out."""
        if not self._is_server or stream_id <= self.last_peer_id:
            self._check_not_idle(stream_id)
            if stream_id in self._reset_ids:
                self._spend_control()
                return None
            raise ConnectionFault(ErrorCode.STREAM_CLOSED, "HEADERS on a closed stream")
        if not stream_id & 1:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a client opened a stream with an even number")
        if self.is_refusing:
            raise StreamFault(ErrorCode.REFUSED_STREAM, "no more streams are taken")
        self.last_peer_id = stream_id
        if len(self.streams) >= self._limits.max_concurrent_streams:
            raise StreamFault(ErrorCode.REFUSED_STREAM, "too many streams")
        stream = self._owner.open_stream()
        self._add(stream_id, stream)
        return stream

    def _check_not_idle(self, stream_id: int) -> None:
        """Refuse a frame on a stream that nobody opened (RFC 9113 section 5.1)."""
        is_peers = stream_id & 1 == self._is_server
        if stream_id in self._reset_ids:
            return
        if stream_id > self.last_peer_id if is_peers else stream_id >= self._next_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a frame on a stream that was not opened")

    # Content.

    def _take_data(self, flags: int, stream_id: int, payload: bytes) -> None:
        size = len(payload)
        if not stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "DATA on stream 0")
        self._receive_window -= size
        if self._receive_window < 0:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "more DATA than the connection's window")
        data = _unpadded(payload) if flags & codes.PADDED else payload
        stream = self.streams.get(stream_id)
        if stream is None or not stream.is_receiving:
            self._take_late_data(stream_id, size)
            return
        stream.receive_window -= size
        stream.unacknowledged += size
        if stream.receive_window < 0:
            raise StreamFault(ErrorCode.FLOW_CONTROL_ERROR, "more DATA than the stream's window")
        if size != len(data):
            self.acknowledge(stream, size - len(data))
        if flags & codes.END_STREAM:
            stream.is_receiving = False
            stream.data_received(data, True)  # noqa: FBT003 - as it is declared
            if not stream.is_sending and stream.id in self.streams:
                self._forget(stream)
            return
        if not data:
            self._spend_control()
        stream.data_received(data, False)  # noqa: FBT003 - as it is declared

    def _take_late_data(self, stream_id: int, size: int) -> None:
        """Drop content that comes behind the end of a stream; it counts for the connection all the same."""
        self._check_not_idle(stream_id)
        self._return(size)
        if stream_id not in self._reset_ids:
            raise StreamFault(ErrorCode.STREAM_CLOSED, "DATA behind the end of the stream")
        if not size:
            self._spend_control()

    # Control frames.

    def _take_priority(self, _flags: int, stream_id: int, payload: bytes) -> None:
        self._spend_control()
        if not stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PRIORITY on stream 0")
        if len(payload) != _LENGTH_AND_WEIGHT:
            raise StreamFault(ErrorCode.FRAME_SIZE_ERROR, "PRIORITY of another size")
        if NUMBER.unpack_from(payload)[0] & codes.LARGEST_STREAM_ID == stream_id:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "a stream that depends on itself")

    def _take_reset(self, _flags: int, stream_id: int, payload: bytes) -> None:
        if not stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "RST_STREAM on stream 0")
        if len(payload) != NUMBER.size:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "RST_STREAM of another size")
        self._check_not_idle(stream_id)
        stream = self.streams.get(stream_id)
        if stream is None:
            self._spend_control()
            if stream_id <= self.last_peer_id:
                # Behind its own reset the client has nothing on its way (RFC 9113 section 5.1): no more is dropped.
                self._reset_ids.pop(stream_id, None)
            return
        if self._is_server and not self._resets.spend():
            # CVE-2023-44487: requests that are taken back cost us more than the client.
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many streams were given up")
        self._forget(stream)
        stream.reset_received(NUMBER.unpack(payload)[0], is_ours=False)

    def _take_settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "SETTINGS on a stream")
        if flags & codes.ACK:
            if payload:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS with ACK and a payload")
            if self.is_acknowledged:
                self._spend_control()
            else:
                self.is_acknowledged = True
                self._decoder.allow_table(self._limits.header_table_size)
            return
        self._spend_control()
        before = self.peer.initial_window
        self.peer.update(payload, is_peer_server=not self._is_server)
        self.encoder.limit_table(self.peer.header_table_size)
        self._frame(codes.SETTINGS, codes.ACK, 0, b"")
        self.is_begun = True
        self._change_windows(self.peer.initial_window - before)
        self._owner.settings_received()

    def _change_windows(self, change: int) -> None:
        """Apply a changed initial window to all streams (RFC 9113 section 6.9.2)."""
        if not change:
            return
        for stream in list(self.streams.values()):
            if stream.send_window + change > codes.LARGEST_WINDOW:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "a window that is too large")
            stream.send_window += change
            if stream.is_waiting:
                self._wait(stream)
        self.send_waiting()

    def _take_push(self, _flags: int, _stream_id: int, _payload: bytes) -> None:
        # A server never gets one, a client has said that it takes none (RFC 9113 section 8.4).
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PUSH_PROMISE")

    def _take_ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        self._spend_control()
        if stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PING on a stream")
        if len(payload) != _PING_BYTES:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "PING of another size")
        if flags & codes.ACK:
            self._owner.ping_acknowledged(payload)
        else:
            self._frame(codes.PING, codes.ACK, 0, payload)

    def _take_goaway(self, _flags: int, stream_id: int, payload: bytes) -> None:
        self._spend_control()
        if stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "GOAWAY on a stream")
        if len(payload) < TWO_NUMBERS.size:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY of another size")
        last_id, code = TWO_NUMBERS.unpack_from(payload)
        self.is_peer_leaving = True
        self._owner.goaway_received(code)
        if not self._is_server:
            for stream in [each for each in self.streams.values() if each.id > last_id & codes.LARGEST_STREAM_ID]:
                self._forget(stream)
                stream.reset_received(ErrorCode.REFUSED_STREAM, is_ours=False)

    def _take_window_update(self, _flags: int, stream_id: int, payload: bytes) -> None:
        self._spend_control()
        if len(payload) != NUMBER.size:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "WINDOW_UPDATE of another size")
        more = NUMBER.unpack(payload)[0] & codes.LARGEST_WINDOW
        if not stream_id:
            if not more:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE by nothing")
            self._send_window += more
            if self._send_window > codes.LARGEST_WINDOW:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "a window that is too large")
            self.send_waiting()
            return
        stream = self.streams.get(stream_id)
        if stream is None:
            self._check_not_idle(stream_id)
            return
        if not more:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE by nothing")
        stream.send_window += more
        if stream.send_window > codes.LARGEST_WINDOW:
            raise StreamFault(ErrorCode.FLOW_CONTROL_ERROR, "a window that is too large")
        if stream.is_waiting:
            self._wait(stream)
            self.send_waiting()

    def fail(self, fault: ConnectionFault) -> None:
        """End the connection with a GOAWAY; the owner is told."""
        if self._is_over:
            return
        self._is_over = True
        self._received.clear()
        self.leave(fault.code)
        self._owner.failed(fault)


def _unpadded(payload: bytes) -> bytes:
    """Return a payload without its padding (RFC 9113 section 6.1)."""
    if not payload:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a padded frame without its padding length")
    padding = payload[0]
    if padding >= len(payload):
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "more padding than frame")
    return payload[1 : len(payload) - padding]


_TAKERS: dict[int, Callable[[Connection, int, int, bytes], None]] = {
    codes.DATA: Connection._take_data,  # noqa: SLF001 - the table of what the class does with each frame
    codes.HEADERS: Connection._take_headers,  # noqa: SLF001 - the table of what the class does with each frame
    codes.PRIORITY: Connection._take_priority,  # noqa: SLF001 - the table of what the class does with each frame
    codes.RST_STREAM: Connection._take_reset,  # noqa: SLF001 - the table of what the class does with each frame
    codes.SETTINGS: Connection._take_settings,  # noqa: SLF001 - the table of what the class does with each frame
    codes.PUSH_PROMISE: Connection._take_push,  # noqa: SLF001 - the table of what the class does with each frame
    codes.PING: Connection._take_ping,  # noqa: SLF001 - the table of what the class does with each frame
    codes.GOAWAY: Connection._take_goaway,  # noqa: SLF001 - the table of what the class does with each frame
    codes.WINDOW_UPDATE: Connection._take_window_update,  # noqa: SLF001 - the table of what the class does with each frame
    codes.CONTINUATION: Connection._take_continuation,  # noqa: SLF001 - the table of what the class does with each frame
}
