"""gRPC: both directions of a stream at once, trailers, and refusals that a gRPC client understands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import (
    Body,
    ConnectorRegistration,
    ErrorType,
    GatewayError,
    Headers,
    NoConfig,
    PolicyRegistration,
    Response,
    Stage,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway import BuildContext, Exchange, Handler, Instance, Route
    from gateway.interfaces import Connector, Policy

GRPC = "application/grpc"
STATUS = {ErrorType.UNAUTHORIZED: 16, ErrorType.FORBIDDEN: 7, ErrorType.RATE_LIMIT: 8, ErrorType.UPSTREAM_TIMEOUT: 4}
UNAVAILABLE = 14


class GrpcRefusals:
    """Turns refusals into "Trailers-Only" responses; at the EDGE, where refusals are responses already."""

    waits = False

    def wrap(self, call_next: Handler, route: Route) -> Handler:
        async def handler(exchange: Exchange) -> Response:
            response = await call_next(exchange)
            asked = exchange.request.headers.get("content-type") or ""
            error = exchange.error
            if isinstance(error, GatewayError) and asked.startswith(GRPC):
                status = str(STATUS.get(error.type, UNAVAILABLE))
                fields = [("content-type", GRPC), ("grpc-status", status), ("grpc-message", error.message)]
                return Response(200, headers=Headers.of(fields))
            return response

        return handler


class Duplex:
    """Answers while the request is still arriving: the sink of the one body is the producer of the other."""

    def __init__(self, request_body: Body) -> None:
        self.response_body = Body(self)
        self._request_body = request_body

    # Called with what the client sends.

    def body_data(self, chunk: bytes) -> None:
        self.response_body.feed(chunk)

    def body_end(self, trailers: Sequence[tuple[bytes, bytes]]) -> None:
        self.response_body.end([(b"grpc-status", b"0")])

    def body_error(self, error: Exception) -> None:
        self.response_body.fail(error)

    # Called by whoever takes the response.

    def pause_body(self) -> None:
        self._request_body.pause()

    def resume_body(self) -> None:
        self._request_body.resume()

    def abort_body(self) -> None:
        self._request_body.abort()


class EchoConnector:
    """Stands for a connector over HTTP/2: each chunk goes back as it came."""

    waits = False

    async def open(self, instance: Instance, exchange: Exchange) -> Response:
        body = exchange.request.body
        if isinstance(body, Body):
            duplex = Duplex(body)
            body.attach(duplex)
            body = duplex.response_body
        return Response(200, headers=Headers.of([("content-type", GRPC)]), body=body)


def build_refusals(config: NoConfig, context: BuildContext) -> GrpcRefusals:
    return GrpcRefusals()


def build_connector(config: NoConfig, context: BuildContext) -> EchoConnector:
    return EchoConnector()


refusals = PolicyRegistration(name="grpc_refusals", build=build_refusals, stage=Stage.EDGE)
connector = ConnectorRegistration(name="grpc_echo", build=build_connector, protocol="grpc", schemes=("http",))

if TYPE_CHECKING:
    _policy: type[Policy] = GrpcRefusals
    _connector: type[Connector] = EchoConnector
