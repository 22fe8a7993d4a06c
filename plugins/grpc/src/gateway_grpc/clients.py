"""The policy ``grpc-clients``: clients of gRPC and gRPC-Web get answers that they understand, refusals too."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from gateway import ErrorType, GatewayError, Headers, Response
from gateway_grpc.content_types import NATIVE, content_type_of, is_web, says_native
from gateway_grpc.counting import CallCounter
from gateway_grpc.grpc_web.call import WebCall
from gateway_grpc.status import GrpcStatus, status_of_http
from gateway_grpc.status_fields import status_fields, status_of_error

if TYPE_CHECKING:
    from gateway import BuildContext, Exchange, Handler, Route
    from gateway_grpc.config import FrontendGrpcConfig

__all__ = ["ClientsPolicy"]

OK = 200
OLD_VERSIONS = frozenset({"1.0", "1.1"})
OF_CONTENT = frozenset({b"content-type", b"content-length", b"content-encoding", b"content-language", b"etag"})
"""What was said of a content that is not sent (RFC 9110 section 8)."""


class ClientsPolicy:
    """Implements ``gateway.interfaces.Policy``, for routes to gRPC services and for requests that match no route.

    Args:
        config: The block ``frontend.grpc``.
        context: The gateway.
    """

    waits = False

    def __init__(self, config: FrontendGrpcConfig, context: BuildContext) -> None:
        self._takes_web = config.enable_web
        self._refusals = _Refusals(CallCounter(context))

    def wrap(self, call_next: Handler, route: Route) -> Handler:
        """Stand before gRPC services, and before nothing."""
        is_served = route.protocol == "grpc"
        if not is_served and route.service:
            return call_next
        return _Clients(call_next, self._refusals, is_served=is_served, takes_web=self._takes_web).handle


class _Clients:
    """Handles the requests of a route."""

    def __init__(self, call_next: Handler, refusals: _Refusals, *, is_served: bool, takes_web: bool) -> None:
        self._next = call_next
        self._refusals = refusals
        self._is_served = is_served
        self._takes_web = takes_web

    async def handle(self, exchange: Exchange) -> Response:
        """Answer an exchange."""
        request = exchange.request
        if says_native(request.headers):
            if self._is_served and request.http_version in OLD_VERSIONS:
                message = "gRPC needs HTTP/2; clients of HTTP/1.1 may use gRPC-Web"
                exchange.error = error = GatewayError(ErrorType.BAD_REQUEST, message)
                return self._refusals.response(exchange, Response(error.type.status))
            response = await self._next(exchange)
            if not says_native(response.headers):
                return self._refusals.response(exchange, response)
            response.status = OK
            return response
        content_type = content_type_of(request.headers)
        if self._takes_web and is_web(content_type):
            return await self._handle_web(exchange, WebCall(content_type, request.headers.get("accept") or ""))
        return await self._next(exchange)

    async def _handle_web(self, exchange: Exchange, call: WebCall) -> Response:
        try:
            call.enter(exchange.request)
        except GatewayError as error:
            exchange.error = error
            response = Response(error.type.status)
        else:
            response = await self._next(exchange)
        if not says_native(response.headers):
            response = self._refusals.response(exchange, response)
        response.status = OK
        call.leave(response)
        return response


class _Refusals:
    """Makes of what is no gRPC what clients of gRPC understand: a response that has nothing but a status."""

    def __init__(self, counter: CallCounter) -> None:
        self._counter = counter

    def response(self, exchange: Exchange, refusal: Response) -> Response:
        """Return the response for ``refusal``, with its fields that are not about content."""
        error = exchange.error
        if isinstance(error, GatewayError):
            code, message = status_of_error(error)
        else:
            code = status_of_http(refusal.status) if refusal.status != OK else GrpcStatus.UNKNOWN
            message = _phrase(refusal.status)
        refusal.discard()
        kept = [pair for pair in refusal.headers.pairs if pair[0] not in OF_CONTENT]
        self._counter.count(exchange.route.id, code)
        return Response(OK, headers=Headers([(b"content-type", NATIVE.encode()), *status_fields(code, message), *kept]))


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"HTTP status {status}"


if TYPE_CHECKING:
    from gateway.interfaces import Policy

    _: type[Policy] = ClientsPolicy
