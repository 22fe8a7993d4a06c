"""What a connection sends: header blocks, content as the windows allow it, and what returns room to the peer."""

from __future__ import annotations

import struct
from collections import deque
from typing import TYPE_CHECKING

from gateway_http2.engine import codes
from gateway_http2.engine.allowance import Allowance
from gateway_http2.engine.codes import ErrorCode
from gateway_http2.engine.encoder import Encoder
from gateway_http2.engine.settings import PeerSettings, settings_payload

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway_http2.engine.limits import Limits
    from gateway_http2.engine.owner import Owner
    from gateway_http2.engine.stream import Stream

__all__ = ["FRAME_HEAD", "NUMBER", "PREFACE", "TWO_NUMBERS", "Sender"]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client begins with (RFC 9113 section 3.4)."""

MAX_REMEMBERED_RESETS = 128
"""Streams of which frames may still be on their way after this side reset them."""
EARNED_BY_DATA = 10
"""Window updates that a peer has good reason for, for each frame of content; Envoy's figure."""

FRAME_HEAD = struct.Struct(">BHBBL")
"""Length in two parts, type, flags, stream (RFC 9113 section 4.1)."""
NUMBER = struct.Struct(">L")
TWO_NUMBERS = struct.Struct(">LL")


class Sender:
    """The sending half of a connection, and what both halves know.

    Args:
        owner: Is told what happens.
        is_server: Which end this is.
        limits: What the peer is held to.
        clock: Monotonic seconds, for allowances.

    Attributes:
        streams: The open streams by id.
        peer: What the peer said of itself.
        encoder: Makes header blocks.
        is_refusing: Whether streams that the peer opens from now on are left out: the last GOAWAY was sent.
        is_held: Set by the owner while the transport takes no more: then no content is sent.
        last_peer_id: The last stream that the peer opened.
    """

    __slots__ = (
        "_control",
        "_is_server",
        "_limits",
        "_next_id",
        "_output",
        "_owner",
        "_receive_window",
        "_reset_ids",
        "_returned",
        "_send_window",
        "_waiting",
        "encoder",
        "is_held",
        "is_refusing",
        "last_peer_id",
        "peer",
        "streams",
    )

    def __init__(self, owner: Owner, *, is_server: bool, limits: Limits, clock: Callable[[], float]) -> None:
        self._owner = owner
        self._is_server = is_server
        self._limits = limits
        self.streams: dict[int, Stream] = {}
        self.peer = PeerSettings()
        self.encoder = Encoder()
        self.is_refusing = self.is_held = False
        self.last_peer_id = 0
        self._control = Allowance(limits.control_frames, limits.control_frames_per_s, clock)
        self._reset_ids: dict[int, None] = {}
        self._next_id = 2 if is_server else 1
        self._output: list[bytes] = []
        self._send_window = codes.DEFAULT_WINDOW
        self._receive_window = limits.connection_window
        self._returned = 0  # acknowledged, but the peer was not told yet
        self._waiting: dict[int, Stream] = {}  # those that could go on if the connection's window allowed it
        self._begin()

    def _begin(self) -> None:
        limits = self._limits
        payload = settings_payload(limits, is_server=self._is_server)
        beginning = b"" if self._is_server else PREFACE
        beginning += FRAME_HEAD.pack(0, len(payload), codes.SETTINGS, 0, 0) + payload
        more = limits.connection_window - codes.DEFAULT_WINDOW
        if more > 0:
            beginning += FRAME_HEAD.pack(0, 4, codes.WINDOW_UPDATE, 0, 0) + NUMBER.pack(more)
        self._output.append(beginning)

    # Output.

    def take_output(self) -> bytes:
        """Return what is to be sent, in order."""
        output = self._output
        if not output:
            return b""
        self._output = []
        return output[0] if len(output) == 1 else b"".join(output)

    def _write(self, data: bytes) -> None:
        if not self._output:
            self._owner.output_ready()
        self._output.append(data)

    def _frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        size = len(payload)
        self._write(FRAME_HEAD.pack(size >> 16, size & 0xFFFF, kind, flags, stream_id) + payload)

    # Room for the peer.

    def acknowledge(self, stream: Stream, size: int) -> None:
        """Let the peer send ``size`` more bytes of a stream: as many of those that were received are dealt with."""
        stream.unacknowledged -= size
        if stream.is_receiving:
            stream.returned += size
            if stream.returned >= self._limits.stream_window >> 1:
                self._update(stream.id, stream.returned)
                stream.receive_window += stream.returned
                stream.returned = 0
        self._return(size)

    def _return(self, size: int) -> None:
        self._returned += size
        # Not each time: an update for every frame would double the frames.
        if self._returned >= self._limits.connection_window >> 1:
            self._update(0, self._returned)
            self._receive_window += self._returned
            self._returned = 0

    def _update(self, stream_id: int, size: int) -> None:
        self._write(FRAME_HEAD.pack(0, 4, codes.WINDOW_UPDATE, 0, stream_id) + NUMBER.pack(size))

    # Streams and content.

    def open(self, stream: Stream) -> None:
        """Give a stream of this side's its number; its header block has to be sent next."""
        self._add(self._next_id, stream)
        self._next_id += 2

    def _add(self, stream_id: int, stream: Stream) -> None:
        stream.id = stream_id
        stream.is_receiving = stream.is_sending = True
        stream.receive_window = self._limits.stream_window
        stream.send_window = self.peer.initial_window
        self.streams[stream_id] = stream

    @property
    def has_numbers(self) -> bool:
        """Whether this side can open another stream (RFC 9113 section 5.1.1)."""
        return self._next_id <= codes.LARGEST_STREAM_ID

    def send_headers(self, stream: Stream, block: bytes, *, is_end: bool = False) -> None:
        """Send a header block: a request, a response or an interim one."""
        if not stream.is_sending:
            return
        size, flags = len(block), codes.END_STREAM if is_end else 0
        if size <= self.peer.max_frame_size:
            self._write(FRAME_HEAD.pack(0, size, codes.HEADERS, flags | codes.END_HEADERS, stream.id) + block)
        else:
            self._send_long_block(stream.id, block, flags)
        if is_end:
            self._end_sending(stream)

    def _send_long_block(self, stream_id: int, block: bytes, flags: int) -> None:
        limit = self.peer.max_frame_size
        kind = codes.HEADERS
        for begin in range(0, len(block), limit):
            piece = block[begin : begin + limit]
            is_last = begin + limit >= len(block)
            self._frame(kind, flags | (codes.END_HEADERS if is_last else 0), stream_id, piece)
            kind, flags = codes.CONTINUATION, 0

    def send_data(self, stream: Stream, data: bytes, *, is_end: bool = False) -> None:
        """Send content, as much as the windows allow; the rest follows by itself. Ignored where the stream ended."""
        size = len(data)
        if not stream.is_sending:
            return
        if (
            not stream.is_waiting
            and size <= stream.send_window
            and size <= self._send_window
            and size <= self.peer.max_frame_size
            and not self.is_held
        ):
            if size or is_end:
                self._send_frame(stream, data, is_end=is_end)
            return
        if stream.pending is None:
            stream.pending = deque()
        if size:
            stream.pending.append(data)
        if is_end:
            stream.trailers = ()
        if not stream.is_waiting:
            stream.is_waiting = True
            self._wait(stream)
            self.send_waiting()
            if stream.is_waiting:
                stream.sending_blocked()

    def send_trailers(self, stream: Stream, pairs: Sequence[tuple[bytes, bytes]]) -> None:
        """End a stream with trailer fields, behind all content; without any if there are none."""
        if not stream.is_sending:
            return
        if stream.is_waiting:
            stream.trailers = tuple(pairs)
        elif pairs:
            self.send_headers(stream, self.encoder.encode(tuple(pairs)), is_end=True)
        else:
            self._send_frame(stream, b"", is_end=True)

    def _send_frame(self, stream: Stream, data: bytes, *, is_end: bool) -> None:
        size = len(data)
        stream.send_window -= size
        stream.sent_bytes += size
        self._send_window -= size
        self._control.earn(EARNED_BY_DATA)
        flags = codes.END_STREAM if is_end else 0
        self._write(FRAME_HEAD.pack(size >> 16, size & 0xFFFF, codes.DATA, flags, stream.id) + data)
        if is_end:
            self._end_sending(stream)

    def _wait(self, stream: Stream) -> None:
        """Have a stream take turns with the others, if its own window lets it go on."""
        if stream.send_window > 0 or not stream.pending:
            self._waiting[stream.id] = stream

    def send_waiting(self) -> None:
        """Send what waits and may go, a frame of each stream in turn."""
        waiting = self._waiting
        while waiting and not self.is_held:
            stream_id, stream = next(iter(waiting.items()))
            if stream.pending and self._send_window <= 0:
                return
            del waiting[stream_id]
            self._send_next(stream)

    def _send_next(self, stream: Stream) -> None:
        """Send the next frame of a stream that waits."""
        pending = stream.pending
        if pending:
            data = pending.popleft()
            limit = min(stream.send_window, self._send_window, self.peer.max_frame_size)
            if len(data) > limit:
                view = memoryview(data)
                pending.appendleft(view[limit:])
                data = view[:limit]
            is_end = not pending and stream.trailers is not None and not stream.trailers
            self._send_frame(stream, bytes(data), is_end=is_end)
            if pending:
                self._wait(stream)
                return
            if is_end:
                return
        stream.is_waiting = False
        trailers, stream.trailers = stream.trailers, None
        if trailers is not None:
            self.send_trailers(stream, trailers)
        else:
            stream.sending_open()

    def _end_sending(self, stream: Stream) -> None:
        stream.is_sending = stream.is_waiting = False
        if not stream.is_receiving:
            self._forget(stream)
        stream.sending_ended()

    def reset(self, stream_id: int, code: ErrorCode) -> None:
        """Give a stream up; nothing is called on it any more. Its owner knows."""
        stream = self.streams.get(stream_id)
        if stream is not None:
            self._forget(stream)
        if len(self._reset_ids) >= MAX_REMEMBERED_RESETS:
            del self._reset_ids[next(iter(self._reset_ids))]
        self._reset_ids[stream_id] = None
        self._frame(codes.RST_STREAM, 0, stream_id, NUMBER.pack(code))

    def _forget(self, stream: Stream) -> None:
        self.streams.pop(stream.id, None)
        self._waiting.pop(stream.id, None)
        stream.is_receiving = stream.is_sending = stream.is_waiting = False
        stream.pending = None
        left, stream.unacknowledged = stream.unacknowledged, 0
        if left:
            self._return(left)

    def ping(self, data: bytes) -> None:
        """Ask the peer for a sign of life; ``ping_acknowledged`` follows.

        Args:
            data: Eight bytes that come back.
        """
        self._frame(codes.PING, 0, 0, data)

    def announce_leave(self) -> None:
        """Ask the peer to open no more streams, while those that are on their way are still taken."""
        self._frame(codes.GOAWAY, 0, 0, TWO_NUMBERS.pack(codes.LARGEST_STREAM_ID, ErrorCode.NO_ERROR))

    def leave(self, code: ErrorCode = ErrorCode.NO_ERROR) -> None:
        """Tell the peer which streams were taken, and take no more."""
        self.is_refusing = True
        self._frame(codes.GOAWAY, 0, 0, TWO_NUMBERS.pack(self.last_peer_id, code))
