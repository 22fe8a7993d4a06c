"""What a service answers in a call, cut into messages."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from gateway import Waiter
from gateway_grpc.channels.channel import CallError
from gateway_grpc.channels.failures import error_of, of_reset, too_large
from gateway_grpc.messages import MAX_FLAG, PREFIX
from gateway_grpc.status import GrpcStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway import Body
    from gateway_grpc.native.timer import CallTimer

__all__ = ["Answers"]

PREFIX_BYTES = PREFIX.size


class Answers:
    """The sink of the body of a response. Read by one task.

    Args:
        body: The body; ``None`` if nothing comes behind the head.
        head: The fields of the response's head.
        limit_bytes: The largest message.
        timer: The call's; ``None`` if it may take as long as it likes.

    Attributes:
        fields: What came beside messages so far: the head, then the trailers too.
    """

    __slots__ = (
        "_body",
        "_error",
        "_is_over",
        "_limit_bytes",
        "_messages",
        "_missing_bytes",
        "_pieces",
        "_timer",
        "_waiter",
        "fields",
    )

    def __init__(
        self,
        body: Body | None,
        head: Sequence[tuple[bytes, bytes]],
        limit_bytes: int,
        timer: CallTimer | None = None,
    ) -> None:
        self._body = body
        self._limit_bytes = limit_bytes
        self._timer = timer
        self._messages: deque[tuple[bool, bytes]] = deque()
        self._pieces: list[bytes] = []  # of a message, or of its prefix
        self._missing_bytes = 0
        self._is_over = body is None
        self._error: Exception | None = None
        self._waiter: Waiter[None] | None = None
        self.fields: Sequence[tuple[bytes, bytes]] = head
        if body is not None:
            body.attach(self)

    @property
    def only(self) -> bytes | None:
        """The message of a call that is over and gave one, not compressed; ``None`` of another call."""
        if self._is_over and self._error is None and len(self._messages) == 1:
            is_compressed, message = self._messages[0]
            return None if is_compressed else message
        return None

    async def next(self) -> tuple[bool, bytes] | None:
        """Return whether the next message is compressed, and the message; ``None`` behind the last.

        Raises:
            CallError: If the call ended with another status than OK.
            GatewayError: If it broke off.
        """
        while not self._messages:
            if self._is_over:
                if self._error is not None:
                    raise self._error
                return None
            self._waiter = Waiter()
            assert self._body is not None  # noqa: S101 - it is not over
            self._body.resume()
            # The body has deadlines: its connection's, and that of the call.
            await self._waiter
        return self._messages.popleft()

    def fail(self, error: Exception) -> None:
        """Cancel the call, and tell who reads why."""
        if not self._is_over:
            self._end(error)
            self._abort()

    def give_up(self) -> None:
        """Cancel the call; harmless when it is over."""
        self._is_over = True
        self._messages.clear()
        self._abort()

    # gateway.body.BodySink.

    def body_data(self, chunk: bytes) -> None:
        """Take the next piece."""
        if self._is_over:
            return
        if self._pieces:
            self._pieces.append(chunk)
            self._missing_bytes -= len(chunk)
            if self._missing_bytes > 0:
                return
            chunk = b"".join(self._pieces)
            self._pieces.clear()
        if self._take(chunk) and self._messages:
            if self._body is not None:
                self._body.pause()
            self._wake()

    def _take(self, data: bytes) -> bool:
        """Take the messages at the beginning of ``data``, and keep the rest; returns whether all of it is gRPC."""
        position, size = 0, len(data)
        while position < size:
            end = begin = position + PREFIX_BYTES
            flag = 0
            if begin <= size:
                flag, length = PREFIX.unpack_from(data, position)
                if flag > MAX_FLAG or length > self._limit_bytes:
                    self._refuse(flag)
                    return False
                end += length
            if end > size:
                self._pieces.append(data[position:])
                self._missing_bytes = end - size
                break
            self._messages.append((flag == MAX_FLAG, data[begin:end]))
            position = end
        return True

    def body_end(self, trailers: Sequence[tuple[bytes, bytes]]) -> None:
        """Take the end."""
        if self._is_over:
            return
        self.fields = [*self.fields, *trailers]
        error = error_of(trailers, self.fields)
        if error is None and self._pieces:
            error = CallError(GrpcStatus.INTERNAL, "the last message of the service is not whole")
        self._end(error)

    def body_error(self, error: Exception) -> None:
        """Take what broke the body off."""
        if self._is_over:
            return
        if self._timer is not None and self._timer.is_due:
            error = self._timer.error()  # the service may see first that the time is over, and cancel the call for it
        self._end(of_reset(error))

    def _refuse(self, flag: int) -> None:
        if flag > MAX_FLAG:
            self.fail(CallError(GrpcStatus.INTERNAL, "the service answered with what is no message of gRPC"))
        else:
            self.fail(too_large(self._limit_bytes))

    def _end(self, error: Exception | None) -> None:
        self._is_over = True
        self._error = error
        self._wake()

    def _abort(self) -> None:
        if self._body is not None:
            self._body.abort()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.set_result(None)
