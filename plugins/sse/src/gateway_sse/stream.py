"""The stream of one client: what its service sends, as it comes, and what the gateway has to say between two events."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from gateway import Body
from gateway_sse.boundary import Boundaries

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    from gateway_sse.streams import RouteStreams

    class Source(Protocol):
        """Where events come from: a service's body, or one that is shared."""

        def pause(self) -> None: ...
        def resume(self) -> None: ...
        def abort(self) -> None: ...


__all__ = ["EXPIRED", "STOPPING", "EventStream"]

EXPIRED = b"event: error\ndata: authentication expired\n\n"
"""As the original gateway says it (token validation on long connections)."""
STOPPING = b"event: close\ndata: the gateway stops\n\n"
KEEPALIVE = b": keepalive\n"
NOTICE_PATIENCE_S = 5.0
"""How long a notice waits for the end of the event that is on its way, before the stream ends without it."""


class EventStream:
    """Takes what a source sends as its sink, and produces the body that the client gets; is watched for its times.

    Args:
        client: The address of the client.
        streams: Counts it and watches its deadline.
        keepalive_s: Seconds of silence before a comment; ``inf`` sends none.
        expires_s: Monotonic time at which the client's credentials end; ``inf`` never.
        can_insert: Whether anything may be put in; not in what is compressed.

    Attributes:
        body: What the client gets.
        client: As given.
        deadline_s: When to look again.
        is_paused: Whether the client is slow.
    """

    __slots__ = (
        "_boundaries",
        "_can_insert",
        "_expires_s",
        "_keepalive_s",
        "_notice",
        "_notice_until_s",
        "_source",
        "_spoke_s",
        "_streams",
        "body",
        "client",
        "deadline_s",
        "is_paused",
    )

    def __init__(
        self, client: str, streams: RouteStreams, *, keepalive_s: float, expires_s: float, can_insert: bool
    ) -> None:
        self.client = client
        self.body = Body(self)
        self.is_paused = False
        self._source: Source | None = None
        self._streams = streams
        self._boundaries = Boundaries()
        self._can_insert = can_insert
        self._keepalive_s = keepalive_s if can_insert else math.inf
        self._expires_s = expires_s
        self._notice = b""
        self._notice_until_s = math.inf
        self._spoke_s = time.monotonic()
        self.deadline_s = min(self._expires_s, self._spoke_s + self._keepalive_s)

    def begin(self, source: Source) -> None:
        """Begin to pass on what ``source`` will send."""
        self._source = source

    # gateway.interfaces.BodySink: what the source sends.

    def body_data(self, chunk: bytes) -> None:
        """Send the next piece, at once; the body ignores what comes after its end."""
        if self._notice:
            end = self._boundaries.first_end(chunk)
            if end is not None:
                self._finish_with(chunk[:end] + self._notice)
                return
        self._spoke_s = time.monotonic()
        self._boundaries.pass_by(chunk)
        self.body.feed(chunk)

    def body_end(self, trailers: Sequence[tuple[bytes, bytes]]) -> None:
        """The source sends no more."""
        if self._leave() is not None:
            self.body.end(trailers)

    def body_error(self, error: Exception) -> None:
        """The source broke off."""
        if self._leave() is not None:
            self.body.fail(error)

    # gateway.interfaces.BodyProducer: the client.

    def pause_body(self) -> None:
        """The client is slow."""
        self.is_paused = True
        if self._source is not None:
            self._source.pause()

    def resume_body(self) -> None:
        """The client caught up."""
        self.is_paused = False
        if self._source is not None:
            self._source.resume()

    def abort_body(self) -> None:
        """The client is gone."""
        source = self._leave()
        if source is not None:
            source.abort()

    # The gateway's own words.

    def end_with(self, notice: bytes) -> None:
        """End the stream with an event of our own, as soon as none of the service's is in the way."""
        if self._source is None or self._notice:
            return
        if not self._can_insert:
            self._finish_with(b"")
        elif self._boundaries.is_between_events:
            self._finish_with(notice)
        else:
            self._notice = notice
            self._notice_until_s = self.deadline_s = time.monotonic() + NOTICE_PATIENCE_S

    def _finish_with(self, last: bytes) -> None:
        source = self._leave()
        if last:
            self.body.feed(last)
        self.body.end()
        if source is not None:
            source.abort()

    def deadline_passed(self) -> None:
        """Look what is due."""
        now_s = time.monotonic()
        if now_s >= self._notice_until_s:
            self._finish_with(b"")
            return
        if now_s >= self._expires_s:
            self._expires_s = math.inf
            self.end_with(EXPIRED)
            return
        if now_s - self._spoke_s >= self._keepalive_s:
            self._spoke_s = now_s
            if self._boundaries.is_between_lines and not self.is_paused:
                self.body.feed(KEEPALIVE + b"\n" if self._boundaries.is_between_events else KEEPALIVE)
        self._streams.report(self, self._boundaries)
        self.deadline_s = min(self._notice_until_s, self._expires_s, self._spoke_s + self._keepalive_s)

    def _leave(self) -> Source | None:
        source, self._source = self._source, None
        if source is not None:
            self.deadline_s = math.inf
            self._streams.report(self, self._boundaries)
            self._streams.closed(self)
        return source


if TYPE_CHECKING:
    from gateway.interfaces import BodyProducer, BodySink, Timed

    _sink: type[BodySink] = EventStream
    _producer: type[BodyProducer] = EventStream
    _timed: type[Timed] = EventStream
