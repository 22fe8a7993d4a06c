"""A request that becomes a call with many messages in either direction: lines of JSON, or server-sent events."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from gateway import Body, ErrorType, GatewayError, Headers, Response
from gateway_grpc.channels.channel import CallError
from gateway_grpc.metadata import metadata_of
from gateway_grpc.problems import problem_members, refusal_members
from gateway_grpc.transcoding.lines import lines_of
from gateway_grpc.transcoding.unary import LARGE_BYTES, answered

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from gateway import Exchange, Request
    from gateway_grpc.call import Call
    from gateway_grpc.channels.channel import Channel, Stream
    from gateway_grpc.metadata import Names
    from gateway_grpc.transcoding.router import Match
    from gateway_grpc.transcoding.transcoder import Transcoder

__all__ = ["StreamCall"]

EVENTS = "text/event-stream"
LINES = "application/x-ndjson"


class StreamCall:
    """Implements ``Call``.

    Args:
        transcoder: Makes messages of JSON, and JSON of messages.
        match: What the request is bound to.
        message: What is sent, serialized; ``None`` if each line of the body is a message.
        request_names: Which fields of the request the service is told.
        response_names: Which metadata of the answer the client is told.
        timeout_s: How long all of it may take; ``None`` is as long as it likes.
        first_s: How long the service may be silent before its first message, once it was sent one; ``None`` likewise.
        idle_s: How long it may be silent later; ``None`` likewise.
        max_line_bytes: How long a line may be.
    """

    def __init__(
        self,
        transcoder: Transcoder,
        match: Match,
        message: bytes | None,
        *,
        request_names: Names,
        response_names: Names,
        timeout_s: float | None,
        first_s: float | None,
        idle_s: float | None,
        max_line_bytes: int,
    ) -> None:
        self._transcoder = transcoder
        self._match = match
        self._message = message
        self._request_names = request_names
        self._response_names = response_names
        self._timeout_s = timeout_s
        self._first_s = first_s
        self._idle_s = idle_s
        self._max_line_bytes = max_line_bytes

    async def perform(self, channel: Channel, exchange: Exchange) -> Response:
        """Make the call; returns when its first message is there."""
        method, request = self._match.binding.method, exchange.request
        message, silence = self._message, _Silence(self._first_s)
        if message is not None:
            silence.begin()
        stream = channel.stream(
            method.path,
            self._messages(request, silence.begin) if message is None else message,
            metadata=metadata_of(request, self._request_names),
            timeout_s=self._timeout_s,
        )
        is_answered = False
        try:
            first = await silence.watch(stream.read())
            if method.gives_stream:
                response = await self._many(first, stream, exchange)
            else:
                response = await self._one(first, await silence.watch(stream.read()), stream)
            is_answered = True
        except CallError as error:
            return answered(error, self._transcoder, request.id, self._response_names)
        except GatewayError as error:
            if isinstance(request.body, Body) and request.body.is_consumed:
                error.is_unsent = False  # what was read of the body is gone
            raise
        else:
            return response
        finally:
            if not is_answered:
                stream.cancel()

    async def _messages(self, request: Request, began: Callable[[], None]) -> AsyncIterator[bytes]:
        """Yield the messages of the lines of the body, as they come."""
        async for line in lines_of(request.body, self._max_line_bytes):
            read = self._transcoder.reader.read
            if len(line) <= LARGE_BYTES:
                message = read(self._match, line, request.query)
            else:
                message = await asyncio.to_thread(read, self._match, line, request.query)
            began()
            yield message
        began()

    async def _one(self, first: bytes | None, second: bytes | None, stream: Stream) -> Response:
        """Return the one message of a method that gives one."""
        if first is None or second is not None:
            count = "no answer" if first is None else "more than one answer"
            raise GatewayError(ErrorType.BAD_GATEWAY, f"the service gave {count}")
        write, binding = self._transcoder.writer.write, self._match.binding
        content_type, body = (
            write(binding, first) if len(first) <= LARGE_BYTES else await asyncio.to_thread(write, binding, first)
        )
        pairs = [(b"content-type", content_type), *self._response_names.to_clients(stream.metadata())]
        return Response(200, headers=Headers(pairs), body=body)

    async def _many(self, first: bytes | None, stream: Stream, exchange: Exchange) -> Response:
        """Return the beginning of a stream."""
        is_for_events = EVENTS in (exchange.request.headers.get("accept") or "")
        content_type = EVENTS if is_for_events else LINES
        pairs = [
            (b"content-type", content_type.encode()),
            (b"cache-control", b"no-cache"),
            (b"x-accel-buffering", b"no"),  # nginx and its likes on the way pass on what comes
            *self._response_names.to_clients(stream.metadata()),
        ]
        headers = Headers(pairs)
        return Response(
            200, headers=headers, body=Body.from_iterable(self._pieces(first, stream, exchange, _FORMS[is_for_events]))
        )

    async def _pieces(
        self, message: bytes | None, stream: Stream, exchange: Exchange, form: tuple[bytes, bytes, bytes]
    ) -> AsyncIterator[bytes]:
        """Yield the messages of a stream; what breaks it off comes last, for the status is gone already."""
        beginning, error_beginning, end = form
        write, binding = self._transcoder.writer.write_line, self._match.binding
        try:
            while message is not None:
                if len(message) <= LARGE_BYTES:
                    line = write(binding, message)
                else:
                    line = await asyncio.to_thread(write, binding, message)
                yield beginning + line + end
                async with asyncio.timeout(self._idle_s):
                    message = await stream.read()
        except (CallError, GatewayError, TimeoutError) as error:
            members = self._members(error, exchange.request.id)
            if form is _FORMS[False]:
                members = {"error": members}
            yield error_beginning + json.dumps(members).encode() + end
        finally:
            stream.cancel()

    def _members(self, error: Exception, request_id: str) -> dict[str, object]:
        if isinstance(error, TimeoutError):
            error = GatewayError(ErrorType.UPSTREAM_TIMEOUT, "the service was silent for too long")
        if isinstance(error, CallError):
            return problem_members(error, self._transcoder.pool, request_id)
        assert isinstance(error, GatewayError)  # noqa: S101 - nothing else is caught
        return refusal_members(error, request_id)


_FORMS = {
    # What stands before a message, before an error, and behind both.
    True: (b"data: ", b"event: error\ndata: ", b"\n\n"),
    False: (b"", b"", b"\n"),
}


class _Silence:
    """How long a service may be silent: counted from the last message that it was sent.

    Args:
        limit_s: How long; ``None`` is as long as it likes.
    """

    def __init__(self, limit_s: float | None) -> None:
        self._limit_s = limit_s
        self._timeout: asyncio.Timeout | None = None
        self._has_begun = False

    def begin(self) -> None:
        """It was sent a message, or the last one."""
        self._has_begun = True
        if self._timeout is not None and self._limit_s is not None and not self._timeout.expired():
            self._timeout.reschedule(asyncio.get_running_loop().time() + self._limit_s)

    async def watch(self, reading: Awaitable[bytes | None]) -> bytes | None:
        """Return what is read.

        Raises:
            GatewayError: ``upstream_timeout`` if it takes too long.
        """
        try:
            async with asyncio.timeout(self._limit_s if self._has_begun else None) as self._timeout:
                return await reading
        except TimeoutError as error:
            raise GatewayError(ErrorType.UPSTREAM_TIMEOUT, "the service did not answer in time") from error
        finally:
            self._timeout = None


if TYPE_CHECKING:
    _: type[Call] = StreamCall
