"""A message body that arrives in pieces, with back-pressure from its reader to its source.

Small bodies that came whole are plain ``bytes``; a ``Body`` is everything else. One side produces, one side consumes:

```
producer  --feed / end / fail-->  Body  --body_data / body_end / body_error-->  sink
producer  <--pause / resume / abort--  Body  <--pause / resume / abort--        sink
```

Until a sink is attached, what arrives is kept, and the producer is paused at ``HIGH_WATER_BYTES``.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from gateway.body_pump import BodyPump
from gateway.body_reader import BodyReader
from gateway.errors import ErrorType, GatewayError

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence

__all__ = ["HIGH_WATER_BYTES", "Body", "BodyProducer", "BodySink"]

logger = logging.getLogger("gateway.body")

HIGH_WATER_BYTES = 65536
"""How much a body keeps before it pauses its producer; asyncio's own default for a transport's write buffer."""


class BodyProducer(Protocol):
    """Where a body comes from."""

    def pause_body(self) -> None:
        """Stop feeding soon; what is on its way may still come."""

    def resume_body(self) -> None:
        """Feed again."""

    def abort_body(self) -> None:
        """Nobody wants the rest: release the source. Nothing is fed afterwards."""


class BodySink(Protocol):
    """Where a body goes. Called from the event loop, must not block."""

    def body_data(self, chunk: bytes) -> None:
        """Take the next piece."""

    def body_end(self, trailers: Sequence[tuple[bytes, bytes]]) -> None:
        """The body is complete; ``trailers`` are its trailer fields (RFC 9110 section 6.5)."""

    def body_error(self, error: Exception) -> None:
        """The body broke off; nothing more comes."""


class Body:
    """A streamed body.

    Consumed once: by ``attach`` (protocol plugins), by ``async for`` or by ``read``. Used from one event loop.

    Args:
        producer: The source.
        length: The number of bytes it will have, when known (``Content-Length``).

    Attributes:
        length: As given.
        received_bytes: How much has been fed.
        trailers: The trailer fields; empty until the body is complete.
        is_complete: Whether all of it was fed.
        is_consumed: Whether somebody reads it, has read it or gave it up, so that nobody else can read it.
        error: Why it broke off, or ``None``.
        on_close: Called once when the body ended, broke off or was aborted; the core's own.
    """

    __slots__ = (
        "_buffer",
        "_buffered_bytes",
        "_is_aborted",
        "_is_held",
        "_is_paused",
        "_max_bytes",
        "_producer",
        "_sink",
        "error",
        "is_complete",
        "is_consumed",
        "length",
        "on_close",
        "received_bytes",
        "trailers",
    )

    def __init__(self, producer: BodyProducer, length: int | None = None) -> None:
        self.length = length
        self.received_bytes = 0
        self.trailers: Sequence[tuple[bytes, bytes]] = ()
        self.is_complete = False
        self.is_consumed = False
        self.error: Exception | None = None
        self.on_close: Callable[[], None] | None = None
        self._producer: BodyProducer | None = producer
        self._sink: BodySink | None = None  # none once the body is over
        self._buffer: list[bytes] = []
        self._buffered_bytes = 0
        self._max_bytes: int | None = None
        # The producer was told to stop: by the body, since nobody takes what is kept, or by the sink.
        self._is_held = False
        self._is_paused = False
        self._is_aborted = False

    @staticmethod
    def from_iterable(chunks: AsyncIterable[bytes], length: int | None = None) -> Body:
        """Make a body from an asynchronous iterable, which is read only as fast as the client takes it.

        Args:
            chunks: The pieces; empty ones are skipped. It is closed (``aclose``) at the end, also when nobody wants
                the rest. If nobody wanted any of it, it is begun all the same and cancelled where it first waits, so
                that what it holds, another body for one, is released by its own clean-up.
            length: The total number of bytes, when known; ``None`` sends it chunked. A body that has more or fewer
                breaks off, and nothing beyond that length is passed on.
        """
        pump = BodyPump(chunks)
        pump.body = Body(pump, length)
        return pump.body

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come: it was completed, broke off or was given up."""
        return self._producer is None

    # The producer's side.

    def feed(self, chunk: bytes) -> None:
        """Pass on the next piece; ignored once the body was ended, failed or aborted."""
        sink = self._sink
        if sink is None and self._producer is None:
            return
        self.received_bytes += len(chunk)
        if self._max_bytes is not None and self.received_bytes > self._max_bytes:
            self._break_off()
        elif sink is not None:
            sink.body_data(chunk)
        else:
            self._keep(chunk)

    def _keep(self, chunk: bytes) -> None:
        """Hold a piece for the sink that is still to come."""
        self._buffer.append(chunk)
        self._buffered_bytes += len(chunk)
        if self._buffered_bytes >= HIGH_WATER_BYTES and not self._is_held:
            self._is_held = True
            if self._producer is not None:
                self._producer.pause_body()

    def _break_off(self) -> None:
        """There is more of it than it may have."""
        if self._producer is not None:
            self._producer.abort_body()
        self.fail(self._too_large())

    def end(self, trailers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        """Complete the body."""
        if self._producer is None:
            return
        self.trailers = trailers
        self.is_complete = True
        if (sink := self._close()) is not None:
            sink.body_end(trailers)

    def fail(self, error: Exception) -> None:
        """Break the body off; whoever consumes it sees ``error``."""
        if self._producer is None:
            return
        self.error = error
        if (sink := self._close()) is not None:
            sink.body_error(error)

    def limit(self, max_bytes: int) -> None:
        """Break the body off as soon as there is more of it; whoever consumes it sees ``payload_too_large`` then.

        Args:
            max_bytes: The most it may have; a lower limit set before stays in force.

        Raises:
            GatewayError: ``payload_too_large`` if it is known to be larger already.
        """
        if self._max_bytes is None or max_bytes < self._max_bytes:
            self._max_bytes = max_bytes
        if max(self.length or 0, self.received_bytes) > self._max_bytes:
            raise self._too_large()

    def _too_large(self) -> GatewayError:
        return GatewayError(ErrorType.PAYLOAD_TOO_LARGE, f"the body is larger than {self._max_bytes} bytes")

    # The consumer's side.

    def attach(self, sink: BodySink) -> None:
        """Send everything to ``sink`` from now on, beginning with what was kept.

        Raises:
            RuntimeError: If the body was consumed before.
        """
        if self.is_consumed:
            msg = "this body was already consumed; a body can be read once"
            raise RuntimeError(msg)
        self.is_consumed = True
        self._is_held |= self._is_paused
        self._is_paused = False
        # What the producer adds meanwhile, because the sink lets it go on, stands behind what is kept already.
        while self._buffer:
            chunks, self._buffer = self._buffer, []
            for chunk in chunks:
                self._buffered_bytes -= len(chunk)
                sink.body_data(chunk)
                if self._is_aborted:
                    return
        if self.is_complete:
            sink.body_end(self.trailers)
            return
        if self.error is not None:
            sink.body_error(self.error)
            return
        self._sink = sink
        if isinstance(self._producer, BodyPump):
            self._producer.start()
        elif self._is_held and not self._is_paused:
            self.resume()

    def pause(self) -> None:
        """Ask the producer to stop for now."""
        self._is_paused = True
        if self._producer is not None:
            self._producer.pause_body()

    def resume(self) -> None:
        """Let the producer go on."""
        self._is_paused = False
        if self._producer is not None:
            self._producer.resume_body()

    def set_idle_timeout(self, timeout_s: float | None) -> None:
        """Say how long the source may be silent, where it is held to that; ``None`` for as long as it likes.

        For streams that rest: by itself a source has as long as its protocol says, such as ``Route.timeout_s``.
        """
        set_timeout = getattr(self._producer, "set_idle_timeout", None)
        if set_timeout is not None:
            set_timeout(timeout_s)

    def abort(self) -> None:
        """Give the rest up and release the source; harmless when the body is over."""
        producer = self._producer
        if producer is None:
            return
        self.error = ConnectionAbortedError("the body was given up by its consumer")
        self.is_consumed = self._is_aborted = True
        self._buffer.clear()
        sink = self._close()
        producer.abort_body()
        if isinstance(sink, BodyReader):
            # Usually it is the sink itself that gives up, and needs no telling; a reader may wait in another task.
            sink.body_error(self.error)

    async def read(self, max_bytes: int) -> bytes:
        """Collect the whole body.

        Args:
            max_bytes: The most that is kept in memory.

        Raises:
            GatewayError: ``payload_too_large`` if there is more.
            RuntimeError: If the body was consumed before.
            Exception: Whatever broke the body off.
        """
        if self.length is not None and self.length > max_bytes:
            self.abort()
            raise GatewayError(ErrorType.PAYLOAD_TOO_LARGE, f"the body is larger than {max_bytes} bytes")
        reader = BodyReader(self)
        self.attach(reader)
        chunks: list[bytes] = []
        total = 0
        try:
            while (chunk := await reader.next()) is not None:
                total += len(chunk)
                if total > max_bytes:
                    raise GatewayError(ErrorType.PAYLOAD_TOO_LARGE, f"the body is larger than {max_bytes} bytes")
                chunks.append(chunk)
        finally:
            self.abort()
        return b"".join(chunks)

    def replay(self, content: bytes) -> bytes | Body:
        """Return what was read of this body, to be sent in its place: with its trailer fields, if it had any.

        Args:
            content: What ``read`` returned.
        """
        if not self.trailers:
            return content
        again = Body(_Arrived(), len(content))
        again.feed(content)
        again.end(self.trailers)
        return again

    async def __aiter__(self) -> AsyncIterator[bytes]:
        reader = BodyReader(self)
        self.attach(reader)
        try:
            while (chunk := await reader.next()) is not None:
                yield chunk
        finally:
            self.abort()

    def _close(self) -> BodySink | None:
        """Return the sink, which the body forgets: they would keep each other until the garbage collector comes."""
        sink, self._sink = self._sink, None
        self._producer = None
        on_close, self.on_close = self.on_close, None
        if on_close is not None:
            on_close()
        return sink

    def __repr__(self) -> str:
        state = "complete" if self.is_complete else "failed" if self.error else "open"
        return f"<Body {state}, {self.received_bytes} of {'?' if self.length is None else self.length} bytes>"


class _Arrived:
    """The producer of a body that is all there."""

    def pause_body(self) -> None:
        """Nothing more comes."""

    def resume_body(self) -> None:
        """Nothing more comes."""

    def abort_body(self) -> None:
        """There is nothing to release."""
