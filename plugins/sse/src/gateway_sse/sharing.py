"""One stream of a service for all clients that ask for the same.

A client that joins gets what comes from the beginning of the next event. Nobody holds the others back: what a slow
client does not take is kept up to a limit, and then it is cut off, to come back with ``Last-Event-ID``.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway import Headers, Response
from gateway_sse.boundary import Boundaries

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from gateway import Body
    from gateway_sse.stream import EventStream

__all__ = ["SharedStream", "Sharing"]

_OF_ONE_CLIENT = frozenset({b"set-cookie", b"date"})
"""Fields that were for the client who came first."""


class Sharing:
    """The shared streams of a policy, by what was asked for."""

    def __init__(self) -> None:
        self._streams: dict[Hashable, SharedStream] = {}
        self._opening: dict[Hashable, asyncio.Future[None]] = {}

    async def find(self, key: Hashable) -> SharedStream | None:
        """Return the stream that is open, or opened meanwhile by somebody else; ``None`` if the caller has to.

        Who gets ``None`` calls ``opened`` or ``not_opened``.
        """
        while (opening := self._opening.get(key)) is not None:
            # No deadline of its own: who opens it has that of the route.
            await asyncio.shield(opening)
        stream = self._streams.get(key)
        if stream is None:
            self._opening[key] = asyncio.get_running_loop().create_future()
        return stream

    def opened(self, key: Hashable, response: Response, source: Body) -> SharedStream:
        """Share what was opened."""
        stream = self._streams[key] = SharedStream(self, key, response, source)
        self.not_opened(key)
        return stream

    def not_opened(self, key: Hashable) -> None:
        """Let the next one try."""
        opening = self._opening.pop(key, None)
        if opening is not None and not opening.done():
            opening.set_result(None)

    def forget(self, key: Hashable, stream: SharedStream) -> None:
        """Share it no more."""
        if self._streams.get(key) is stream:
            del self._streams[key]


class SharedStream:
    """A service's stream and the clients that get it. The sink of the service's body.

    Args:
        sharing: Whose it is.
        key: What was asked for.
        response: The service's answer.
        source: Its body.
    """

    def __init__(self, sharing: Sharing, key: Hashable, response: Response, source: Body) -> None:
        self._sharing = sharing
        self._key = key
        self._status = response.status
        self._pairs = [pair for pair in response.headers.pairs if pair[0] not in _OF_ONE_CLIENT]
        self._source = source
        self._boundaries = Boundaries()
        self._members: dict[EventStream, _Member] = {}

    def join(self, stream: EventStream, buffer_bytes: int) -> None:
        """Let a client have it, from the next event on."""
        member = _Member(self, stream, buffer_bytes, is_waiting=not self._boundaries.is_between_events)
        self._members[stream] = member
        stream.begin(member)

    def start(self) -> None:
        """Begin, once the first client has joined."""
        self._source.attach(self)

    def response(self) -> Response:
        """Return the answer for a client that joins later, still without its body."""
        return Response(self._status, headers=Headers(self._pairs.copy()))

    def leave(self, stream: EventStream) -> None:
        """A client goes; the last one ends it."""
        self._members.pop(stream, None)
        if not self._members:
            self._sharing.forget(self._key, self)
            self._source.abort()

    # gateway.interfaces.BodySink.

    def body_data(self, chunk: bytes) -> None:
        """Send it to all."""
        end = self._boundaries.first_end(chunk)
        self._boundaries.pass_by(chunk)
        for member in list(self._members.values()):
            member.take(chunk, end)

    def body_end(self, trailers: Sequence[tuple[bytes, bytes]]) -> None:
        """The service ended it."""
        self._sharing.forget(self._key, self)
        for stream in list(self._members):
            stream.body_end(trailers)

    def body_error(self, error: Exception) -> None:
        """It broke off."""
        self._sharing.forget(self._key, self)
        for stream in list(self._members):
            stream.body_error(error)


class _Member:
    """What a client sees as its source: keeps for it what it does not take at once, up to a limit."""

    def __init__(self, shared: SharedStream, stream: EventStream, buffer_bytes: int, *, is_waiting: bool) -> None:
        self._shared = shared
        self._stream = stream
        self._buffer_bytes = buffer_bytes
        self._is_waiting = is_waiting
        self._is_paused = False
        self._kept: list[bytes] = []
        self._kept_bytes = 0

    def take(self, chunk: bytes, end: int | None) -> None:
        """Take a piece, in which the event that was under way ends at ``end``."""
        if self._is_waiting:
            if end is None:
                return
            self._is_waiting = False
            chunk = chunk[end:]
            if not chunk:
                return
        if not self._is_paused:
            self._stream.body_data(chunk)
            return
        self._kept.append(chunk)
        self._kept_bytes += len(chunk)
        if self._kept_bytes > self._buffer_bytes:
            self._kept.clear()
            self.abort()
            self._stream.body_error(ConnectionAbortedError("the client is too slow for a shared stream"))

    def pause(self) -> None:
        """The client is slow."""
        self._is_paused = True

    def resume(self) -> None:
        """The client caught up."""
        self._is_paused = False
        while self._kept and not self._is_paused:
            chunk = self._kept.pop(0)
            self._kept_bytes -= len(chunk)
            self._stream.body_data(chunk)

    def abort(self) -> None:
        """The client is gone."""
        self._shared.leave(self._stream)


if TYPE_CHECKING:
    from gateway.interfaces import BodySink

    _: type[BodySink] = SharedStream
