"""A message body that arrives in pieces, with back-pressure from its reader to its source.

Small bodies that came whole are plain ``bytes``; a ``Body`` is everything else. One side produces, one side consumes:

```
producer  --feed / end / fail-->  Body  --body_data / body_end / body_error-->  sink
producer  <--pause / resume / abort--  Body  <--pause / resume / abort--        sink
```

Until a sink is attached, what arrives is kept, and the producer is paused at ``HIGH_WATER_BYTES``.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from gateway.errors import ErrorType, GatewayError

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence

__all__ = ["HIGH_WATER_BYTES", "Body", "BodyProducer", "BodySink", "Trailers"]

HIGH_WATER_BYTES = 65536
"""How much a body keeps before it pauses its producer; asyncio's own default for a transport's write buffer."""

Trailers = "Sequence[tuple[bytes, bytes]]"


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
        error: Why it broke off, or ``None``.
        on_close: Called once when the body ended, broke off or was aborted; the core's own.
    """

    __slots__ = (
        "_buffer",
        "_buffered_bytes",
        "_is_paused",
        "_producer",
        "_sink",
        "error",
        "is_complete",
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
        self.error: Exception | None = None
        self.on_close: Callable[[], None] | None = None
        self._producer: BodyProducer | None = producer
        self._sink: BodySink | None = None
        self._buffer: list[bytes] = []
        self._buffered_bytes = 0
        self._is_paused = False

    @staticmethod
    def from_iterable(chunks: AsyncIterable[bytes], length: int | None = None) -> Body:
        """Make a body from an asynchronous iterable, which is read only as fast as the client takes it.

        Args:
            chunks: The pieces; empty ones are skipped. It is closed (``aclose``) when the client goes away.
            length: The total number of bytes, when known; ``None`` sends it chunked.
        """
        pump = _Pump(chunks)
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
        self.received_bytes += len(chunk)
        if sink is not None:
            sink.body_data(chunk)
        elif self._producer is not None:
            self._buffer.append(chunk)
            self._buffered_bytes += len(chunk)
            if self._buffered_bytes >= HIGH_WATER_BYTES and not self._is_paused:
                self.pause()

    def end(self, trailers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        """Complete the body."""
        if self._producer is None:
            return
        self.trailers = trailers
        self.is_complete = True
        self._close()
        if self._sink is not None:
            self._sink.body_end(trailers)

    def fail(self, error: Exception) -> None:
        """Break the body off; whoever consumes it sees ``error``."""
        if self._producer is None:
            return
        self.error = error
        self._close()
        if self._sink is not None:
            self._sink.body_error(error)

    # The consumer's side.

    def attach(self, sink: BodySink) -> None:
        """Send everything to ``sink`` from now on, beginning with what was kept.

        Raises:
            RuntimeError: If the body was consumed before.
        """
        if self._sink is not None:
            msg = "this body was already consumed; a body can be read once"
            raise RuntimeError(msg)
        self._sink = sink
        buffer, self._buffer = self._buffer, []
        self._buffered_bytes = 0
        for chunk in buffer:
            sink.body_data(chunk)
        if self.is_complete:
            sink.body_end(self.trailers)
        elif self.error is not None:
            sink.body_error(self.error)
        elif isinstance(self._producer, _Pump):
            self._producer.start()
        elif self._is_paused:
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

    def abort(self) -> None:
        """Give the rest up and release the source; harmless when the body is over."""
        producer = self._producer
        if producer is None:
            return
        self.error = ConnectionAbortedError("the body was given up by its consumer")
        self._sink = self._sink or _Nowhere()
        self._buffer.clear()
        self._close()
        producer.abort_body()

    async def read(self, max_bytes: int) -> bytes:
        """Collect the whole body.

        Args:
            max_bytes: The most that is kept in memory.

        Raises:
            GatewayError: ``payload_too_large`` if there is more.
            Exception: Whatever broke the body off.
        """
        if self.length is not None and self.length > max_bytes:
            self.abort()
            raise GatewayError(ErrorType.PAYLOAD_TOO_LARGE, f"the body is larger than {max_bytes} bytes")
        chunks: list[bytes] = []
        total = 0
        async for chunk in self:
            total += len(chunk)
            if total > max_bytes:
                raise GatewayError(ErrorType.PAYLOAD_TOO_LARGE, f"the body is larger than {max_bytes} bytes")
            chunks.append(chunk)
        return b"".join(chunks)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        reader = _Reader(self)
        self.attach(reader)
        try:
            async for chunk in reader.chunks():
                yield chunk
        finally:
            self.abort()

    def _close(self) -> None:
        self._producer = None
        on_close, self.on_close = self.on_close, None
        if on_close is not None:
            on_close()

    def __repr__(self) -> str:
        state = "complete" if self.is_complete else "failed" if self.error else "open"
        return f"<Body {state}, {self.received_bytes} of {'?' if self.length is None else self.length} bytes>"


class _Nowhere:
    """The sink of an aborted body."""

    def body_data(self, chunk: bytes) -> None:
        pass

    def body_end(self, trailers: Sequence[tuple[bytes, bytes]]) -> None:
        pass

    def body_error(self, error: Exception) -> None:
        pass


class _Reader:
    """The sink behind ``async for``: pauses the producer whenever something waits to be taken."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self._chunks: list[bytes] = []
        self._wakeup: asyncio.Future[None] | None = None
        self._is_over = False
        self._error: Exception | None = None

    async def chunks(self) -> AsyncIterator[bytes]:
        while True:
            while self._chunks:
                yield self._chunks.pop(0)
            if self._error is not None:
                raise self._error
            if self._is_over:
                return
            self._wakeup = asyncio.get_running_loop().create_future()
            self._body.resume()
            # No deadline of its own: the producer's (idle time-out of its connection) ends the body with an error.
            await self._wakeup

    def body_data(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self._body.pause()
        self._wake()

    def body_end(self, trailers: Sequence[tuple[bytes, bytes]]) -> None:
        self._is_over = True
        self._wake()

    def body_error(self, error: Exception) -> None:
        self._error = error
        self._wake()

    def _wake(self) -> None:
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)


class _Pump:
    """The producer behind ``Body.from_iterable``: one task that owns the iterable, started by the consumer."""

    body: Body

    def __init__(self, chunks: AsyncIterable[bytes]) -> None:
        self._chunks = chunks
        self._task: asyncio.Task[None] | None = None
        self._may_run = asyncio.Event()
        self._may_run.set()

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    def pause_body(self) -> None:
        self._may_run.clear()

    def resume_body(self) -> None:
        self._may_run.set()

    def abort_body(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        chunks = self._chunks
        try:
            async for chunk in chunks:
                if chunk:
                    self.body.feed(chunk)
                await self._may_run.wait()
            self.body.end()
        except asyncio.CancelledError:
            self.body.abort()
            raise
        except Exception as error:  # noqa: BLE001 - whatever the iterable raised is what the consumer must see
            self.body.fail(error)
        finally:
            # The iterable may hold an upstream body: close it in its own task, as generators require.
            close = getattr(chunks, "aclose", None)
            if close is not None:
                await close()
