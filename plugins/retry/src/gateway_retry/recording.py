"""A request body that streams to the service and can be sent again.

Nothing is collected first: the body goes out as it comes in, and what went out is kept beside, up to a cap. A try that
fails gives its copy up; the next one gets what was kept, and then what is still to come. Once there is more than the
cap, what was kept is dropped and the request is not tried again. Envoy does the same up to its buffer limit.

```
client ──▶ Body ──▶ Recording ──▶ copy for the try that is under way ──▶ service
                        │ keeps what went by
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import Body

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Recording"]


class Recording:
    """Stands between the body of a request and its copies: the sink of the one, the producer of the others.

    Args:
        source: The body, which nobody has read.
        max_bytes: How much is kept.

    Attributes:
        can_replay: Whether there can be another copy.
    """

    def __init__(self, source: Body, max_bytes: int) -> None:
        self._source = source
        self._max_bytes = max_bytes
        self._kept: list[bytes] = []
        self._kept_bytes = 0
        self._copy: Body | None = None
        self._is_attached = False
        self.can_replay = True

    def copy(self) -> Body:
        """Return the body for the next try; the one before gets nothing any more."""
        copy = self._copy = Body(self, self._source.length)
        # A body asks its producer for more only if it was told to wait: so the source is read when somebody reads this.
        copy.pause()
        for chunk in self._kept:
            copy.feed(chunk)
        if self._is_attached:
            self._end(copy)
        return copy

    def release(self) -> None:
        """Keep no more: there will be no other copy."""
        self.can_replay = False
        self._kept.clear()
        if self._copy is None:
            self._source.abort()

    # gateway.interfaces.BodySink: what the client sends.

    def body_data(self, chunk: bytes) -> None:
        """Pass the next piece on, and keep it."""
        if self.can_replay:
            self._kept_bytes += len(chunk)
            if self._kept_bytes > self._max_bytes:
                self.release()
            else:
                self._kept.append(chunk)
        if self._copy is not None:
            self._copy.feed(chunk)

    def body_end(self, trailers: Sequence[tuple[bytes, bytes]]) -> None:
        """The request is complete."""
        if self._copy is not None:
            self._copy.end(trailers)

    def body_error(self, error: Exception) -> None:
        """The client went away."""
        if self._copy is not None:
            self._copy.fail(error)

    # gateway.interfaces.BodyProducer: what the try that is under way wants.

    def pause_body(self) -> None:
        """Have the client wait."""
        if self._is_attached:
            self._source.pause()

    def resume_body(self) -> None:
        """Have the client go on; the first time, begin to read."""
        if self._is_attached:
            self._source.resume()
        else:
            self._is_attached = True
            self._source.attach(self)

    def abort_body(self) -> None:
        """The try failed: wait for the next one, unless there can be none."""
        self._copy = None
        if not self.can_replay:
            self._source.abort()
        elif self._is_attached:
            self._source.pause()

    def _end(self, copy: Body) -> None:
        """Tell a copy what the source's end was, if it is over."""
        if self._source.is_complete:
            copy.end(self._source.trailers)
        elif self._source.error is not None:
            copy.fail(self._source.error)


if TYPE_CHECKING:
    from gateway.interfaces import BodyProducer, BodySink

    _sink: type[BodySink] = Recording
    _producer: type[BodyProducer] = Recording
