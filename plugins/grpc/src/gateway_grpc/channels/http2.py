"""Calls over the connections to an instance, as gRPC over HTTP2 has them: a request each."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from gateway import Body, ErrorType, Exchange, GatewayError, Headers, Request
from gateway_grpc.channels.answers import Answers
from gateway_grpc.channels.channel import Answer
from gateway_grpc.channels.compression import ACCEPTED, decompressed
from gateway_grpc.channels.failures import error_of, not_grpc, of_reset
from gateway_grpc.content_types import NATIVE, says_native
from gateway_grpc.deadline import TIMEOUT, timeout_value
from gateway_grpc.messages import PREFIX
from gateway_grpc.native.timer import CallTimer, too_late
from gateway_grpc.status_fields import STATUS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from gateway import Instance, Response
    from gateway.interfaces import Connector
    from gateway_grpc.channels.channel import Channel, Metadata, Stream
    from gateway_grpc.config import BackendGrpcConfig

__all__ = ["Http2Channel"]

OK = 200

_FIELDS = (
    (b"te", b"trailers"),
    (b"content-type", NATIVE.encode()),
    (b"user-agent", b"grpc-python-gateway"),
    (b"grpc-accept-encoding", ACCEPTED),
)


class Http2Channel:
    """Implements ``Channel``.

    Args:
        carrier: Speaks HTTP/2 with the instance.
        instance: The instance.
        exchange: What the client asked, for which calls are made.
        config: The block ``backend.grpc``.
    """

    __slots__ = ("_carrier", "_config", "_exchange", "_instance")

    def __init__(self, carrier: Connector, instance: Instance, exchange: Exchange, config: BackendGrpcConfig) -> None:
        self._carrier = carrier
        self._instance = instance
        self._exchange = exchange
        self._config = config

    async def call(self, path: str, message: bytes, *, metadata: Metadata, timeout_s: float | None) -> Answer:
        """Call a method that takes and gives one message."""
        body = self._framed(message)
        # The carrier waits no longer than that for the beginning of an answer, which mostly is all of it.
        is_bounded = timeout_s is not None and timeout_s == self._exchange.route.timeout_s
        timer = None if timeout_s is None or is_bounded else CallTimer(timeout_s)
        begun_s = time.monotonic()
        response = await self.open(path, body, metadata, timeout_s, timer)
        if timeout_s is not None and is_bounded and isinstance(response.body, Body) and not response.body.is_over:
            timer = CallTimer(begun_s + timeout_s - time.monotonic())
        try:
            answers = self.answers_of(response, timer)
            answer = answers.only
            return Answer(await self._only(answers) if answer is None else answer, answers.fields)
        finally:
            if timer is not None:
                timer.stop()

    async def _only(self, answers: Answers) -> bytes:
        """Return the one message that there is to be."""
        try:
            message = await self.next_of(answers)
            is_more = await answers.next() is not None
        except BaseException:
            answers.give_up()
            raise
        if message is None or is_more:
            answers.give_up()
            count = "no answer" if message is None else "more than one answer"
            raise GatewayError(ErrorType.BAD_GATEWAY, f"the service gave {count}")
        return message

    def stream(
        self,
        path: str,
        messages: bytes | AsyncIterator[bytes],
        *,
        metadata: Metadata,
        timeout_s: float | None,
    ) -> Stream:
        """Make a call of any method."""
        if isinstance(messages, bytes):
            return _Http2Stream(self, path, self._framed(messages), metadata, timeout_s)
        return _Http2Stream(self, path, Body.from_iterable(self._each_framed(messages)), metadata, timeout_s)

    # For calls of both kinds.

    async def open(
        self, path: str, body: bytes | Body, metadata: Metadata, timeout_s: float | None, timer: CallTimer | None
    ) -> Response:
        """Send a request, and return the beginning of its answer.

        Raises:
            CallError: If the service reset the stream.
            GatewayError: If it cannot be reached, refused the stream, breaks off or takes too long.
        """
        exchange = self._exchange
        fields = [*_FIELDS, *metadata]
        if timeout_s is not None:
            fields.append((TIMEOUT, timeout_value(timeout_s)))
        # Of the client's own connection services are told what metadata says of it.
        request = Request("POST", path, headers=Headers(fields), body=body, id=exchange.request.id)
        asked = Exchange(request, _NOBODY)
        asked.route = exchange.route
        opening = self._carrier.open(self._instance, asked)
        try:
            return await (opening if timer is None else timer.opened(opening))
        except GatewayError as error:
            if error.reset_code is None:
                raise
            if timeout_s is not None and time.monotonic() >= asked.started_s + timeout_s:
                # The service may see first that the time is over, and cancel the call for it.
                raise too_late(f"the call took longer than {timeout_s:g} s") from error
            raise of_reset(error) from error
        finally:
            exchange.connect_s += asked.connect_s
            exchange.queue_s += asked.queue_s

    def answers_of(self, response: Response, timer: CallTimer | None) -> Answers:
        """Return what will be read of an answer.

        Raises:
            CallError: If it is over already, or no gRPC.
        """
        headers = response.headers
        head = headers.view()
        if not says_native(headers) or (response.status != OK and STATUS not in headers.values()):
            response.discard()
            raise not_grpc(response.status)
        body: bytes | Body | None = response.body
        if not isinstance(body, Body) or STATUS in headers.values():
            # It has a head alone ("Trailers-Only"), or no trailers where a status could be.
            response.discard()
            error = error_of(head, head)
            if error is not None:
                raise error
            body = None
        answers = Answers(body, head, self._config.receive_limit_bytes, timer)
        if timer is not None:
            timer.expire = lambda: answers.fail(timer.error())
        return answers

    async def next_of(self, answers: Answers) -> bytes | None:
        """Return the next message, decompressed; ``None`` behind the last."""
        found = await answers.next()
        if found is None:
            return None
        is_compressed, message = found
        if not is_compressed:
            return message
        encoding = dict(answers.fields).get(b"grpc-encoding", b"")
        # In a thread, whatever its size: what it will be is not known.
        return await asyncio.to_thread(decompressed, message, encoding, self._config.receive_limit_bytes)

    def _framed(self, message: bytes) -> bytes:
        size = len(message)
        if size > self._config.send_limit_bytes:
            detail = f"a message of {size} bytes is larger than {self._config.send_limit_bytes}"
            raise GatewayError(ErrorType.PAYLOAD_TOO_LARGE, "the message is too large", detail=detail)
        return PREFIX.pack(0, size) + message

    async def _each_framed(self, messages: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for message in messages:
            yield self._framed(message)


class _Http2Stream:
    """Implements ``Stream``."""

    def __init__(
        self, channel: Http2Channel, path: str, body: bytes | Body, metadata: Metadata, timeout_s: float | None
    ) -> None:
        self._channel = channel
        self._path = path
        self._body = body
        self._metadata = metadata
        self._timeout_s = timeout_s
        self._timer: CallTimer | None = None
        self._answers: Answers | None = None

    async def read(self) -> bytes | None:
        """Return the next message of the service; ``None`` behind the last."""
        if self._answers is None:
            self._answers = await self._begin()
        return await self._channel.next_of(self._answers)

    async def _begin(self) -> Answers:
        if self._timeout_s is not None:
            self._timer = CallTimer(self._timeout_s)
        response = await self._channel.open(self._path, self._body, self._metadata, self._timeout_s, self._timer)
        if isinstance(response.body, Body):
            # Streams may rest; who reads them knows for how long.
            response.body.set_idle_timeout(None)
        return self._channel.answers_of(response, self._timer)

    def metadata(self) -> Metadata:
        """Return what came so far, beside messages."""
        return () if self._answers is None else self._answers.fields

    def cancel(self) -> None:
        """Give it up."""
        if self._timer is not None:
            self._timer.stop()
        if self._answers is not None:
            self._answers.give_up()
        if isinstance(self._body, Body) and self._body.is_consumed:
            # Otherwise nothing was read of what it is made of, and another instance may be sent it.
            self._body.abort()


class _Nobody:
    """Implements ``Responder``: a call is answered to who made it, and what comes before that is for nobody."""

    def respond(self, exchange: Exchange, response: Response) -> None:
        """Do nothing."""

    def inform(self, exchange: Exchange, status: int, pairs: Sequence[tuple[bytes, bytes]]) -> None:
        """Do nothing."""


_NOBODY = _Nobody()


if TYPE_CHECKING:
    _: type[Channel] = Http2Channel
    _2: type[Stream] = _Http2Stream
