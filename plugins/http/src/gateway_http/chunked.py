"""The chunked transfer coding (RFC 9112 section 7.1)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gateway_http.fields import END_OF_HEAD, UNTRAILED, Malformed, check_request_fields, cut_fields, field_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway_http.fields import Pairs

__all__ = ["LARGEST_SMALL_CHUNK", "SIZE_LINES", "ChunkedDecoder", "TrailersTooLarge", "encode_end"]

MAX_LINE_BYTES = 1024
"""The longest line before a chunk; its extensions are dropped, so whoever sends many wants something else."""

MAX_EXCESS_BYTES = 16384
"""How much more all these lines together may be than what chunks need."""

_CRLF = b"\r\n"
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'
# Fifteen digits are an exabyte, and stay clear of every integer type's end.
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;" + _TOKEN + rb"(?:=(?:" + _TOKEN + rb"|" + _QUOTED + rb"))?)*")
_BEGINNING_OF_CHUNK_LINE = re.compile(rb"[0-9A-Fa-f]{1,15}(?:;[\t -~\x80-\xff]*)?\r?")

LARGEST_SMALL_CHUNK = 1023
"""Chunks up to this size, such as events, come and go in great numbers: their lines are looked up, not worked out."""

SIZE_LINES = tuple(b"%x\r\n" % size for size in range(LARGEST_SMALL_CHUNK + 1))
"""The line before a small chunk, by its size."""

_small_size = {digits % size: size for digits in (b"%x", b"%X") for size in range(1, LARGEST_SMALL_CHUNK + 1)}.get
_SMALL_CHUNK_BYTES = len(SIZE_LINES[-1]) + LARGEST_SMALL_CHUNK + len(_CRLF)


class TrailersTooLarge(Exception):
    """There are more trailer fields than the limit allows."""


class ChunkedDecoder:
    """Takes a chunked body apart. Chunk extensions are checked and dropped (RFC 9112 section 7.1.1).

    Args:
        max_trailer_bytes: The largest trailer section.
        max_trailers: The most trailer fields.

    Attributes:
        remaining: How much is still to come of the chunk that has begun.
        is_complete: Whether the body has ended.
        trailers: Its trailer fields, without those that a trailer must not hold; known once it has ended.
        rest: What came behind it.
    """

    __slots__ = (
        "_excess",
        "_is_after_data",
        "_is_between_chunks",
        "_is_in_trailers",
        "_max_trailer_bytes",
        "_max_trailers",
        "_received",
        "is_complete",
        "remaining",
        "rest",
        "trailers",
    )

    def __init__(self, max_trailer_bytes: int, max_trailers: int) -> None:
        self.is_complete = False
        self.trailers: Pairs = []
        self.rest = b""
        self._max_trailer_bytes = max_trailer_bytes
        self._max_trailers = max_trailers
        self._received = b""
        self.remaining = 0
        self._is_after_data = False
        self._is_between_chunks = True  # with nothing kept, neither bytes nor excess
        self._is_in_trailers = False
        self._excess = 0

    def decode(self, data: bytes) -> bytes:
        """Return the content in ``data``, the next piece of the coded body.

        Raises:
            Malformed: If it is not in order. Nothing more can be decoded then.
            TrailersTooLarge: If there are too many trailers. Likewise.
        """
        return self.small_chunk(data) or self._decode_pieces(data)

    def small_chunk(self, data: bytes) -> bytes:
        """Return the content of a small chunk that is all there is: an event of a stream comes so, by itself.

        Empty if it is anything else, which ``decode`` takes the long way, with the same outcome.
        """
        if not self._is_between_chunks or len(data) > _SMALL_CHUNK_BYTES:
            return b""
        line, _, rest = data.partition(_CRLF)
        size = _small_size(line)
        content = rest.removesuffix(_CRLF)
        return content if len(content) == size and len(rest) == size + 2 else b""

    def _decode_pieces(self, data: bytes) -> bytes:
        if self._received:
            data = self._received + data
        pieces: list[bytes] = []
        at = 0
        while not self._is_in_trailers:
            if self.remaining:
                piece = data[at : at + self.remaining]
                pieces.append(piece)
                at += len(piece)
                self.remaining -= len(piece)
                if self.remaining:
                    break
                self._is_after_data = True
            following = self._read_line(data, at)
            if following < 0:
                break
            at = following
        self._received = data[at:]
        self._is_between_chunks = not (
            self._received or self.remaining or self._is_after_data or self._excess or self._is_in_trailers
        )
        if self._is_in_trailers:
            self._read_trailers()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _read_line(self, data: bytes, at: int) -> int:
        """Read the end of a chunk's data or the line before them; returns where it ends, -1 if it is not all here."""
        if self._is_after_data:
            if not _CRLF.startswith(data[at : at + 2]):
                raise Malformed("chunk data are not followed by CRLF")
            if len(data) < at + 2:
                return -1
            self._is_after_data = False
            return at + 2
        end = data.find(_CRLF, at, at + MAX_LINE_BYTES)
        if end < 0:
            _check_beginning(data[at:])
            return -1
        line = _CHUNK_LINE.fullmatch(data, at, end)
        if line is None:
            raise Malformed("the line before a chunk is malformed")
        self.remaining = int(line[1], 16)
        # As Go's chunkedReader counts it: 16 bytes and twice its size are what a chunk may cost beside its data.
        self._excess = max(0, self._excess + (end - at) - 16 - 2 * self.remaining)
        if self._excess > MAX_EXCESS_BYTES:
            raise Malformed("there is more between the chunks than in them")
        if not self.remaining:
            # The line's own end stays: an empty trailer section is found as two line ends in a row.
            self._is_in_trailers = True
            return end
        return end + 2

    def _read_trailers(self) -> None:
        section = self._received
        end = section.find(END_OF_HEAD)
        if (len(section) if end < 0 else end) > self._max_trailer_bytes:
            raise TrailersTooLarge
        if end < 0:
            check_request_fields(section[2:])
            return
        self._received, self.rest = b"", section[end + 4 :]
        if end:
            check_request_fields(section[2 : end + 4])
            trailers, dropped = cut_fields(section[2:end], UNTRAILED)
            if len(trailers) + len(dropped) > self._max_trailers:
                raise TrailersTooLarge
            self.trailers = trailers
        self.is_complete = True


def _check_beginning(data: bytes) -> None:
    """Refuse at once what will not become a chunk's line, however it goes on."""
    if len(data) >= MAX_LINE_BYTES:
        raise Malformed("the line before a chunk is too long")
    if data and not _BEGINNING_OF_CHUNK_LINE.fullmatch(data):
        raise Malformed("the line before a chunk is malformed")


def encode_end(trailers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return the last chunk and the trailer section."""
    return b"\r\n".join([b"0", *map(field_line, trailers), b"", b""])
