"""Where events begin and end in a stream (WHATWG HTML, section 9.2.5): lines end with CR LF, LF or CR."""

from __future__ import annotations

import re

__all__ = ["Boundaries"]

_END_OF_EVENT = re.compile(rb"(?>\r\n|\n|\r){2}")
"""A line end and an empty line behind it."""
CR = 0x0D
_TAIL_BYTES = 3
"""What must be kept to see the end of an event that arrives in two pieces."""


class Boundaries:
    """Follows a stream, and knows whether something may be put in.

    Attributes:
        events: How many have ended.
    """

    __slots__ = ("_tail", "events")

    def __init__(self) -> None:
        self._tail = b""  # the end of what was sent; empty between two events
        self.events = 0

    @property
    def is_between_events(self) -> bool:
        """Whether what was sent ends with the end of an event, or is nothing."""
        return not self._tail

    @property
    def is_between_lines(self) -> bool:
        """Whether a comment may follow. Behind a CR there may come the LF that belongs to it."""
        return not self._tail or self._tail.endswith(b"\n")

    def pass_by(self, chunk: bytes) -> None:
        """Note that ``chunk`` was sent."""
        if not self._tail:
            event, empty_line, rest = chunk.partition(b"\n\n")
            if event and empty_line and not rest and CR not in event:
                self.events += 1  # one whole event, as services send them
                return
        # Between two events, further empty lines mean nothing.
        data = self._tail + chunk if self._tail else chunk.lstrip(b"\r\n")
        end = 0
        for found in _END_OF_EVENT.finditer(data):
            self.events += 1
            end = found.end()
        self._tail = data[max(end, len(data) - _TAIL_BYTES) :]

    def first_end(self, chunk: bytes) -> int | None:
        """Return where in ``chunk`` the event under way ends, 0 if it has; ``None`` if it goes on behind it."""
        if not self._tail:
            return 0
        found = _END_OF_EVENT.search(self._tail + chunk)
        return max(0, found.end() - len(self._tail)) if found is not None else None
