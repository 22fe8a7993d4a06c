"""An answer that goes by as it is, and is shown to a meter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import Body

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway_llm_limits.meters import Meter

__all__ = ["MeteredBody"]


class MeteredBody:
    """The sink of a body and the producer of its copy. Not a byte waits: what comes is passed on first, then read.

    Args:
        source: The body, which nobody has read.
        meter: Reads it.
        done: Called once, when it is complete, broke off, or nobody wants the rest.

    Attributes:
        copy: What the client gets.
    """

    def __init__(self, source: Body, meter: Meter, done: Callable[[], None]) -> None:
        self.copy = Body(self, source.length)
        self._source = source
        self._meter = meter
        self._done: Callable[[], None] | None = done

    def start(self) -> None:
        """Begin to read."""
        self._source.attach(self)

    def cut(self, error: Exception) -> None:
        """Break it off."""
        self.copy.fail(error)
        self._source.abort()
        self._finish()

    # gateway.interfaces.BodySink: what the service sends.

    def body_data(self, chunk: bytes) -> None:
        """Pass the next piece on, and read it."""
        self.copy.feed(chunk)
        if self._done is not None:
            self._meter.feed(chunk)

    def body_end(self, trailers: Sequence[tuple[bytes, bytes]]) -> None:
        """It is complete."""
        self.copy.end(trailers)
        self._finish()

    def body_error(self, error: Exception) -> None:
        """It broke off."""
        self.copy.fail(error)
        self._finish()

    # gateway.interfaces.BodyProducer: what the client wants.

    def pause_body(self) -> None:
        """Have the service wait."""
        self._source.pause()

    def resume_body(self) -> None:
        """Have the service go on."""
        self._source.resume()

    def abort_body(self) -> None:
        """The client is gone: what went by so far was written, and counts."""
        self._source.abort()
        self._finish()

    def _finish(self) -> None:
        done, self._done = self._done, None
        if done is not None:
            done()


if TYPE_CHECKING:
    from gateway.interfaces import BodyProducer, BodySink

    _sink: type[BodySink] = MeteredBody
    _producer: type[BodyProducer] = MeteredBody
