"""Calls of clients, passed on to instances."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import Body, ErrorType, GatewayError, Headers, Response
from gateway_grpc.content_types import NATIVE, says_native
from gateway_grpc.native.arrived import Arrived
from gateway_grpc.native.request import check_messages
from gateway_grpc.native.response import NO_STATUS, ServiceMessages
from gateway_grpc.native.timer import CallTimer, remaining_s
from gateway_grpc.resets import meaning_of_reset
from gateway_grpc.status import GrpcStatus, http_status_of, status_of_http
from gateway_grpc.status_fields import STATUS, code_of, status_fields

if TYPE_CHECKING:
    from gateway import Exchange, Instance
    from gateway.interfaces import Connector
    from gateway_grpc.config import BackendGrpcConfig
    from gateway_grpc.counting import CallCounter

__all__ = ["NativeCalls"]

OK = 200


class NativeCalls:
    """Passes calls on to instances.

    Args:
        carrier: Speaks HTTP/2 with them.
        config: The block ``backend.grpc``.
        counter: Counts what services answer.
    """

    def __init__(self, carrier: Connector, config: BackendGrpcConfig, counter: CallCounter) -> None:
        self._carrier = carrier
        self._counter = counter
        self._send_limit_bytes = config.send_limit_bytes
        self._receive_limit_bytes = config.receive_limit_bytes

    async def open(self, instance: Instance, exchange: Exchange) -> Response:
        """Begin the call and return its answer.

        What the service refused at once, by a status or a reset, has the status of HTTP that stands for that, so that
        whatever looks at attempts sees what it is; clients see 200.

        Raises:
            GatewayError: If it is no call, is over before it begins, or fails on the way.
        """
        request = exchange.request
        if request.method != "POST":
            message = "methods of gRPC are called with POST"
            raise GatewayError(ErrorType.METHOD_NOT_ALLOWED, message, headers=[(b"allow", b"POST")])
        check_messages(request, self._send_limit_bytes)
        left_s = remaining_s(exchange)
        opening = self._carrier.open(instance, exchange)
        timer = None if left_s is None else CallTimer(left_s)
        try:
            response = await (opening if timer is None else timer.opened(opening))
        except GatewayError as error:
            response = _reset(error, timer)
        return self._answer(response, exchange, timer)

    def _answer(self, response: Response, exchange: Exchange, timer: CallTimer | None) -> Response:
        headers, body = response.headers, response.body
        code = code_of(headers.values().get(STATUS))
        # Of another status than 200 it is gRPC if it says how it ended.
        is_grpc = says_native(headers) and (response.status == OK or code is not None)
        if is_grpc and code is None and isinstance(body, Body):
            response.body = self._messages(body, exchange, timer)
            return response
        if timer is not None:
            timer.stop()
        if not is_grpc:
            code = GrpcStatus.UNKNOWN if response.status == OK else status_of_http(response.status)
            _become(response, code, f"the service answered with HTTP status {response.status}, not with gRPC")
        elif code is None:
            code = GrpcStatus.UNKNOWN
            _become(response, code, NO_STATUS)
        elif isinstance(body, Body):
            # "Trailers-Only": nothing belongs behind it, and nobody would look at that.
            response.discard()
            response.body = b""
        response.status = http_status_of(code)
        self._counter.count(exchange.route.id, code)
        return response

    def _messages(self, body: Body, exchange: Exchange, timer: CallTimer | None) -> Body:
        """Return the messages of a service as the client gets them."""
        if body.is_complete:
            # It is all there, as of most calls with one message: they need nobody who passes them on.
            arrived = Arrived(body)
            if arrived.is_well(self._receive_limit_bytes):
                if timer is not None:
                    timer.stop()
                self._counter.count(exchange.route.id, GrpcStatus.OK)
                return arrived.body
            body = arrived.body
        return ServiceMessages(body, exchange, self._receive_limit_bytes, timer, self._counter).body


def _reset(error: GatewayError, timer: CallTimer | None) -> Response:
    """Return the response for a call whose stream the service reset; another error is raised, for others to mend."""
    meaning = meaning_of_reset(error)
    if meaning is None or error.is_unsent:
        raise error
    if timer is not None and timer.is_due:
        # The service may see first that the time is over, and cancel the call for it.
        raise timer.error() from error
    response = Response(OK)
    _become(response, *meaning)
    return response


def _become(response: Response, code: GrpcStatus, message: str) -> None:
    """Have a response say a status, and nothing else."""
    response.discard()
    response.headers = Headers([(b"content-type", NATIVE.encode()), *status_fields(code, message)])
    response.body = b""
