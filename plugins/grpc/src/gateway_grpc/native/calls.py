"""Calls of clients, passed on to instances."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import Body, ErrorType, GatewayError, Headers
from gateway_grpc.content_types import NATIVE, content_type_of, is_native
from gateway_grpc.native.request import check_messages
from gateway_grpc.native.response import NO_STATUS, ServiceMessages
from gateway_grpc.native.timer import CallTimer, remaining_s
from gateway_grpc.status import GrpcStatus, http_status_of, status_of_http
from gateway_grpc.status_fields import STATUS, code_of, status_fields

if TYPE_CHECKING:
    from gateway import Exchange, Instance, Response
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

        What the service refused at once has the status of HTTP that stands for its own, so that whatever looks at
        attempts sees what it is; clients see 200.

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
        if left_s is None:
            return self._answer(await opening, exchange, None)
        timer = CallTimer(left_s)
        return self._answer(await timer.opened(opening), exchange, timer)

    def _answer(self, response: Response, exchange: Exchange, timer: CallTimer | None) -> Response:
        code = code_of(response.headers.values().get(STATUS))
        is_grpc = is_native(content_type_of(response.headers))
        if is_grpc and code is None and isinstance(response.body, Body):
            passed_on = ServiceMessages(response.body, exchange, self._receive_limit_bytes, timer, self._counter)
            response.body = passed_on.body
            return response
        if timer is not None:
            timer.stop()
        if not is_grpc:
            code = GrpcStatus.UNKNOWN if response.status == OK else status_of_http(response.status)
            _become(response, code, f"the service answered with HTTP status {response.status}, not with gRPC")
        elif code is None:
            code = GrpcStatus.UNKNOWN
            _become(response, code, NO_STATUS)
        response.status = http_status_of(code)
        self._counter.count(exchange.route.id, code)
        return response


def _become(response: Response, code: GrpcStatus, message: str) -> None:
    """Have a response say a status, and nothing else."""
    response.discard()
    response.headers = Headers([(b"content-type", NATIVE.encode()), *status_fields(code, message)])
    response.body = b""
