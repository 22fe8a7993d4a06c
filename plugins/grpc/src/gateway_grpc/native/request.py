"""What a client sends in a call, on its way to the service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import Body, ErrorType, GatewayError
from gateway_grpc.messages import MalformedMessageError, MessageMeter, MessageTooLargeError, are_whole
from gateway_grpc.relay import Relay

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway import Request

__all__ = ["check_messages"]


def check_messages(request: Request, limit_bytes: int) -> None:
    """See to it that the body of a request is messages, none of them too large: now, or as they come.

    Raises:
        GatewayError: ``bad_request`` or ``payload_too_large`` if that is known already.
    """
    body = request.body
    if not isinstance(body, Body):
        if not are_whole(body, limit_bytes):
            _look(MessageMeter(limit_bytes), body)
            raise _truncated()
    elif not isinstance(body, _CheckedBody):
        request.body = ClientMessages(body, limit_bytes).body


class _CheckedBody(Body):
    """Messages that are looked at; another attempt finds them as the first one left them, which nobody has read of."""

    __slots__ = ()


class ClientMessages(Relay):
    """Passes messages on, as long as they are some.

    Args:
        source: The body of the request.
        limit_bytes: The largest message.
    """

    __slots__ = ("_meter",)

    def __init__(self, source: Body, limit_bytes: int) -> None:
        super().__init__(source, source.length, kind=_CheckedBody)
        self._meter = MessageMeter(limit_bytes)

    def body_data(self, chunk: bytes) -> None:
        """Pass a piece on."""
        try:
            _look(self._meter, chunk)
        except GatewayError as error:
            self.abort_body()
            self.body.fail(error)
        else:
            self.body.feed(chunk)

    def body_end(self, trailers: Sequence[tuple[bytes, bytes]]) -> None:
        """Pass the end on, if it is one."""
        if self._meter.is_between:
            super().body_end(trailers)
        else:
            super().body_error(_truncated())


def _look(meter: MessageMeter, chunk: bytes) -> None:
    try:
        meter.take(chunk)
    except MessageTooLargeError as error:
        raise GatewayError(ErrorType.PAYLOAD_TOO_LARGE, "the message is too large", detail=f"client: {error}") from None
    except MalformedMessageError as error:
        raise GatewayError(ErrorType.BAD_REQUEST, str(error)) from None


def _truncated() -> GatewayError:
    return GatewayError(ErrorType.BAD_REQUEST, "the last message is not whole")
