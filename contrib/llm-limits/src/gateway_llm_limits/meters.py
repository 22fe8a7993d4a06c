"""Reading the tokens of an answer as it goes by."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Protocol

from gateway_llm_limits.usage import Usage, letters_of, usage_of

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["JsonMeter", "Meter", "StreamMeter"]

MAX_LINE_BYTES = 262_144
"""A longer line of a stream is not read, but counted as text; tokens come in lines of a few hundred bytes."""


class Meter(Protocol):
    """Reads an answer."""

    def feed(self, chunk: bytes) -> None:
        """Take the next piece."""

    def finish(self) -> tuple[Usage, int]:
        """Return what the answer said of tokens, and how many letters were written."""


class JsonMeter:
    """Reads an answer that is one JSON object.

    Args:
        max_bytes: How much is kept; of a longer answer only the length counts.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._kept = bytearray()
        self._length = 0

    def feed(self, chunk: bytes) -> None:
        """Take the next piece."""
        self._length += len(chunk)
        if self._length <= self._max_bytes:
            self._kept += chunk
        else:
            self._kept.clear()

    def finish(self) -> tuple[Usage, int]:
        """Return what the answer said of tokens, and how many letters were written."""
        if self._length <= self._max_bytes:
            try:
                message = json.loads(self._kept)
            except (ValueError, RecursionError):
                return Usage(), self._length
            return usage_of(message), letters_of(message)
        return Usage(), self._length


class StreamMeter:
    """Reads a stream of events (``text/event-stream``), each of whose ``data`` is JSON or ``[DONE]``.

    Args:
        grown: Called whenever there is more text, with how many letters there are and what is said of tokens.
    """

    def __init__(self, grown: Callable[[int, Usage], None] = lambda letters, usage: None) -> None:
        self._grown = grown
        self._usage = Usage()
        self._letters = 0
        self._line = bytearray()
        self._is_too_long = False

    def feed(self, chunk: bytes) -> None:
        """Take the next piece."""
        *lines, rest = chunk.replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            self._extend(line)
            self._end_line()
        self._extend(rest)

    def finish(self) -> tuple[Usage, int]:
        """Return what the answer said of tokens, and how many letters were written."""
        self._end_line()
        return self._usage, self._letters

    def _extend(self, part: bytes) -> None:
        if self._is_too_long:
            self._letters += len(part)
        elif len(self._line) + len(part) > MAX_LINE_BYTES:
            self._is_too_long = True
            self._letters += len(self._line) + len(part)
            self._line.clear()
        else:
            self._line += part

    def _end_line(self) -> None:
        line, self._line, self._is_too_long = self._line, bytearray(), False
        if not line.startswith(b"data:"):
            return
        try:
            message = json.loads(line[5:])
        except (ValueError, RecursionError):
            return  # such as [DONE]
        self._usage.learn(usage_of(message))
        letters = _new_letters(message)
        if letters:
            self._letters += letters
            self._grown(self._letters, self._usage)


def _new_letters(message: object) -> int:
    """Return how much text an event adds; those that begin or end a message repeat it, or have none."""
    if not isinstance(message, dict):
        return 0
    kind = message.get("type")
    is_whole = isinstance(kind, str) and "delta" not in kind
    return 0 if is_whole else letters_of(message)


if TYPE_CHECKING:
    _meters: tuple[type[Meter], type[Meter]] = (JsonMeter, StreamMeter)
