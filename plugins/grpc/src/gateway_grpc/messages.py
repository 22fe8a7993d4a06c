"""Messages in a stream of bytes: where each begins, and whether one is too large. None is kept.

gRPC over HTTP2, "Length-Prefixed-Message": a byte that says whether it is compressed, four bytes of length, the
message.
"""

from __future__ import annotations

import struct

__all__ = ["PREFIX", "MalformedMessageError", "MessageMeter", "MessageTooLargeError", "are_whole"]

PREFIX = struct.Struct(">BL")
"""Flags, and length."""
MAX_FLAG = 1
"""Compressed; no other flag is known."""


class MalformedMessageError(Exception):
    """What arrives are no messages."""


class MessageTooLargeError(Exception):
    """A message is larger than it may be."""


def are_whole(data: bytes, limit_bytes: int) -> bool:
    """Tell whether bytes are whole messages, none of them too large; a meter says what is wrong otherwise.

    Args:
        data: All that was sent.
        limit_bytes: The largest message, without its prefix.
    """
    position, size = 0, len(data)
    while position + PREFIX.size <= size:
        flag, length = PREFIX.unpack_from(data, position)
        if flag > MAX_FLAG or length > limit_bytes:
            return False
        position += PREFIX.size + length
    return position == size


class MessageMeter:
    """Looks at a stream of messages as it passes.

    Args:
        limit_bytes: The largest message, without its prefix, compressed as it may be.
    """

    __slots__ = ("_left_bytes", "_limit_bytes", "_prefix")

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._left_bytes = 0  # of the message that is under way
        self._prefix = b""  # what came of a prefix

    @property
    def is_between(self) -> bool:
        """Whether no message is under way."""
        return not self._left_bytes and not self._prefix

    def take(self, chunk: bytes) -> None:
        """Look at the next piece.

        Raises:
            MalformedMessageError: If it is no message.
            MessageTooLargeError: If it is part of one that is too large.
        """
        left = self._left_bytes - len(chunk)
        if left > 0:
            self._left_bytes = left
            return
        position, size = self._left_bytes, len(chunk)
        self._left_bytes = 0
        if self._prefix and position < size:
            missing = PREFIX.size - len(self._prefix)
            self._prefix += chunk[position : position + missing]
            position += missing
            if len(self._prefix) < PREFIX.size:
                return
            position += self._length(self._prefix, 0)
            self._prefix = b""
        while position + PREFIX.size <= size:
            position += PREFIX.size + self._length(chunk, position)
        if position < size:
            self._prefix = chunk[position:]
        else:
            self._left_bytes = position - size

    def _length(self, data: bytes, position: int) -> int:
        flag, length = PREFIX.unpack_from(data, position)
        if flag > MAX_FLAG:
            msg = "what was sent is no message of gRPC"
            raise MalformedMessageError(msg)
        if length > self._limit_bytes:
            msg = f"a message of {length} bytes is larger than {self._limit_bytes}"
            raise MessageTooLargeError(msg)
        return int(length)
