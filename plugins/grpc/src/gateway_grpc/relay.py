"""A body that passes another one on, piece by piece."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import Body

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Relay"]


class Relay:
    """The sink of one body and the source of another; what it does to pieces is for subclasses.

    Nothing is taken of the one before somebody reads the other.

    Args:
        source: What is passed on.
        length: How long the other one is; ``None`` if that is not known.
        kind: What the other one is, for who wants to know it again.

    Attributes:
        body: The other one.
    """

    __slots__ = ("_is_attached", "_source", "body")

    _source: Body | None
    """``None`` when it is over: the source knows its sink, and a cycle would wait for the garbage collector."""

    def __init__(self, source: Body, length: int | None = None, *, kind: type[Body] = Body) -> None:
        self._source = source
        self._is_attached = False
        self.body = kind(self, length)
        self.body.pause()

    # gateway.body.BodySink: the source.

    def body_data(self, chunk: bytes) -> None:
        """Pass a piece on."""
        self.body.feed(chunk)

    def body_end(self, trailers: Sequence[tuple[bytes, bytes]]) -> None:
        """Pass the end on."""
        self._source = None
        self.body.end(trailers)

    def body_error(self, error: Exception) -> None:
        """Pass a failure on."""
        self._source = None
        self.body.fail(error)

    # gateway.body.BodyProducer: what it comes out as.

    def pause_body(self) -> None:
        """Have the source wait."""
        if self._is_attached and self._source is not None:
            self._source.pause()

    def resume_body(self) -> None:
        """Have the source go on, or begin."""
        if self._source is None:
            return
        if self._is_attached:
            self._source.resume()
        else:
            self._is_attached = True
            self._source.attach(self)

    def abort_body(self) -> None:
        """Give the source up."""
        source, self._source = self._source, None
        if source is not None:
            source.abort()

    def set_idle_timeout(self, timeout_s: float | None) -> None:
        """Say how long the source may be silent."""
        if self._source is not None:
            self._source.set_idle_timeout(timeout_s)
