"""A body that goes to the first client and into the store at once.

```
service ──▶ Body ──▶ Filling ──▶ copy ──▶ client
                        │ keeps what goes by, up to a cap; at the end: done(content)
```

As long as it keeps, it reads as fast as the service sends, whatever the client does, and goes on when the client
leaves, if others wait for the same. That is at most the cap for each fetch, and a budget for all. Beyond it keeps
nothing, the client sets the pace, and its leaving ends the fetch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import Body

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Filling", "FillingBudget"]


class FillingBudget:
    """How much all fillings of a worker may keep together.

    Args:
        max_bytes: So much.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.kept_bytes = 0

    def take(self, size: int) -> bool:
        """Take some of it, if there is so much."""
        if self.kept_bytes + size > self.max_bytes:
            return False
        self.kept_bytes += size
        return True

    def give_back(self, size: int) -> None:
        """Give back what was taken."""
        self.kept_bytes -= size


class Filling:
    """The sink of a body and the producer of its copy.

    Args:
        source: The body, which nobody has read.
        max_bytes: How much is kept.
        budget: How much all of them may keep.
        done: Called once with the whole content, or with ``None`` if there is none to be stored.
        is_wanted: Says whether it is read on when the client leaves.

    Attributes:
        copy: What the client gets.
    """

    def __init__(
        self,
        source: Body,
        max_bytes: int,
        budget: FillingBudget,
        done: Callable[[bytes | None], None],
        is_wanted: Callable[[], bool],
    ) -> None:
        self.copy = Body(self, source.length)
        self._source = source
        self._max_bytes = max_bytes
        self._budget = budget
        self._is_wanted = is_wanted
        self._done: Callable[[bytes | None], None] | None = done
        self._kept: list[bytes] = []
        self._kept_bytes = 0
        self._is_paused = False
        self._has_reader = True

    def start(self) -> None:
        """Begin to read."""
        self._source.attach(self)

    # gateway.interfaces.BodySink: what the service sends.

    def body_data(self, chunk: bytes) -> None:
        """Pass the next piece on, and keep it."""
        if self._done is not None:
            size = len(chunk)
            if self._kept_bytes + size > self._max_bytes or not self._budget.take(size):
                self._finish(None)
            else:
                self._kept_bytes += size
                self._kept.append(chunk)
        if self._has_reader:
            self.copy.feed(chunk)

    def body_end(self, trailers: Sequence[tuple[bytes, bytes]]) -> None:
        """It is complete. What is stored has no trailers (RFC 9111 section 3 lets a cache drop them)."""
        self._finish(b"".join(self._kept))
        self.copy.end(trailers)

    def body_error(self, error: Exception) -> None:
        """It broke off, and must not be stored (RFC 9111 section 3.3)."""
        self._finish(None)
        self.copy.fail(error)

    # gateway.interfaces.BodyProducer: what the client wants.

    def pause_body(self) -> None:
        """Wait, unless it is read for the store."""
        self._is_paused = True
        if self._done is None:
            self._source.pause()

    def resume_body(self) -> None:
        """Go on."""
        self._is_paused = False
        if self._done is None:
            self._source.resume()

    def abort_body(self) -> None:
        """The client is gone; what others wait for goes on."""
        self._has_reader = False
        if self._done is None:
            self._source.abort()
        elif not self._is_wanted():
            self._finish(None)

    def _finish(self, content: bytes | None) -> None:
        """Keep no more; from now on the client sets the pace."""
        done, self._done = self._done, None
        self._kept = []
        if done is None:
            return
        self._budget.give_back(self._kept_bytes)
        if not self._source.is_over:
            if not self._has_reader:
                self._source.abort()
            elif self._is_paused:
                self._source.pause()
        done(content)


if TYPE_CHECKING:
    from gateway.interfaces import BodyProducer, BodySink

    _sink: type[BodySink] = Filling
    _producer: type[BodyProducer] = Filling
