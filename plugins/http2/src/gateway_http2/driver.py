"""The engine of a connection on its transport, whichever side it is: all output of a turn leaves in one write."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gateway_http2.engine import Connection

__all__ = ["EngineDriver"]


class Early(Protocol):
    """A stream whose head came, and whose body may be here whole at the end of this turn."""

    def begin_streaming(self) -> None:
        """Go on without the rest of the body."""


class EngineDriver(asyncio.Protocol):
    """What the connections of clients and to instances have in common.

    Attributes:
        deadline_s: When to look at what the other side does.
        engine: The state of the connection; set by whoever extends this.
    """

    __slots__ = ("_fresh", "_is_flushing", "_is_lost", "_loop", "_transport", "deadline_s", "engine")

    _transport: asyncio.Transport
    engine: Connection

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._fresh: list[Early] = []
        self._is_flushing = self._is_lost = False
        self.deadline_s = math.inf

    # asyncio's side.

    def eof_received(self) -> bool:
        """They send no more; returns whether this side stays open."""
        return False

    def pause_writing(self) -> None:
        """The other side is slow: have whatever is being sent wait."""
        self.engine.is_held = True
        for stream in list(self.engine.streams.values()):
            stream.sending_blocked()

    def resume_writing(self) -> None:
        """The other side caught up."""
        self.engine.is_held = False
        self.engine.send_waiting()
        for stream in list(self.engine.streams.values()):
            if not stream.is_waiting:
                stream.sending_open()

    # gateway_http2.engine.Owner.

    def output_ready(self) -> None:
        """Send what there is at the end of this turn."""
        if not self._is_flushing:
            self._is_flushing = True
            self._loop.call_soon(self._flush)

    # The streams' side.

    def await_body(self, stream: Early) -> None:
        """Remember a message whose body may come in this turn."""
        self._fresh.append(stream)

    def look_in(self, timeout_s: float) -> None:
        """See to it that the other side is looked at in ``timeout_s`` seconds at the latest."""
        self.deadline_s = min(self.deadline_s, time.monotonic() + timeout_s)

    def _stream_fresh(self) -> None:
        """Hand over the messages of this turn whose bodies did not come whole."""
        fresh, self._fresh = self._fresh, []
        for stream in fresh:
            stream.begin_streaming()

    def _flush(self) -> None:
        self._is_flushing = False
        if not self._is_lost:
            output = self.engine.take_output()
            if output:
                self._transport.write(output)
