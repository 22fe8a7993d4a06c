"""What every connector promises, kept by that for gRPC with calls of gRPC clients, over the one for HTTP/2."""

from __future__ import annotations

import contextlib

from gateway import Endpoint, Headers, Request
from gateway.testing import ConnectorContract, GrpcEcho


class TestGrpcConnector(ConnectorContract):
    plugin = "gateway_grpc.plugin"
    carrier = "gateway_http2.plugin"

    @contextlib.asynccontextmanager
    async def serving(self):
        with GrpcEcho() as service:
            yield Endpoint(address=service.host, port=service.port)

    def request(self, number):
        fields = [("host", "a"), ("content-type", "application/grpc"), ("te", "trailers")]
        headers = Headers.of(fields)
        return Request("POST", "/echo.Echo/Say", host="a", http_version="2", headers=headers, body=self.answer(number))

    def answer(self, number):
        message = b"message %d" % number
        return b"\x00" + len(message).to_bytes(4) + message

    def nowhere(self):
        return Endpoint(address="127.0.0.1", port=1)
