"""What a service answers in a call, on its way to the client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import ErrorType, GatewayError
from gateway_grpc.messages import MalformedMessageError, MessageMeter, MessageTooLargeError
from gateway_grpc.relay import Relay
from gateway_grpc.status import GrpcStatus
from gateway_grpc.status_fields import STATUS, code_of, status_fields, status_of_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway import Body, Exchange
    from gateway_grpc.counting import CallCounter
    from gateway_grpc.native.timer import CallTimer

__all__ = ["ServiceMessages"]

NO_STATUS = "the service ended the call without a status"


class ServiceMessages(Relay):
    """Passes messages on; whatever happens on the way, the client gets a status in the end.

    Args:
        source: The body of the response.
        exchange: Is told of what cut it short.
        limit_bytes: The largest message.
        timer: The call's; ``None`` if it may take as long as it likes.
        counter: Counts how it ends.
    """

    __slots__ = ("_counter", "_exchange", "_meter", "_timer")

    def __init__(
        self, source: Body, exchange: Exchange, limit_bytes: int, timer: CallTimer | None, counter: CallCounter
    ) -> None:
        super().__init__(source)
        self._exchange = exchange
        self._meter = MessageMeter(limit_bytes)
        self._timer = timer
        self._counter = counter
        if timer is not None:
            timer.expire = self._expire

    def body_data(self, chunk: bytes) -> None:
        """Pass a piece on."""
        try:
            self._meter.take(chunk)
        except (MessageTooLargeError, MalformedMessageError) as error:
            is_size = isinstance(error, MessageTooLargeError)
            message = "a message of the service is too large" if is_size else "the service answered badly"
            failure = GatewayError(ErrorType.BAD_GATEWAY, message, detail=f"service: {error}")
            self._cut(failure, GrpcStatus.RESOURCE_EXHAUSTED if is_size else GrpcStatus.INTERNAL, message)
        else:
            self.body.feed(chunk)

    def body_end(self, trailers: Sequence[tuple[bytes, bytes]]) -> None:
        """Pass the end on, with the status that clients need."""
        code = code_of(dict(trailers).get(STATUS))
        if code is None:
            code = GrpcStatus.UNKNOWN
            trailers = [*trailers, *status_fields(code, NO_STATUS)]
        elif code is GrpcStatus.OK and not self._meter.is_between:
            code = GrpcStatus.INTERNAL
            trailers = status_fields(code, "the last message of the service is not whole")
        self._count(code)
        super().body_end(trailers)

    def body_error(self, error: Exception) -> None:
        """End with the status of what happened: a stream that is reset tells clients nothing."""
        timer = self._timer
        if timer is not None and timer.is_due:
            error = timer.error()  # the service may see first that the time is over, and cancel the call for it
        self._cut(error, *status_of_error(error))

    def abort_body(self) -> None:
        """Give the source up, which cancels the call."""
        self._count(GrpcStatus.CANCELLED)
        super().abort_body()

    def _expire(self) -> None:
        timer = self._timer
        if timer is not None:
            error = timer.error()
            self._cut(error, *status_of_error(error))

    def _cut(self, error: Exception, code: GrpcStatus, message: str) -> None:
        self._count(code)
        super().abort_body()
        self._exchange.error = error
        self.body.end(status_fields(code, message))

    def _count(self, code: GrpcStatus) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.stop()
        self._counter.count(self._exchange.route.id, code)
