"""What every policy promises, kept by these where a request is no call, and by one for clients of gRPC."""

from __future__ import annotations

from gateway import Headers, Request, Response, Route
from gateway.testing import PolicyContract

OTHERS = Route(id="route", path="/*", service="service")


class TestClients(PolicyContract):
    """Calls of gRPC clients, which are passed on as they are."""

    plugin = "gateway_grpc.plugin"
    offer = "grpc-clients"

    def off(self):
        return {}, OTHERS

    def route(self):
        return Route(id="route", path="/*", service="service", protocol="grpc")

    def request(self, number):
        fields = [("host", "a"), ("content-type", "application/grpc"), ("te", "trailers")]
        return Request("POST", f"/{number}", host="a", http_version="2", headers=Headers.of(fields))

    def response(self, body):
        return Response(200, body=body, headers=Headers.of([("content-type", "application/grpc")]))


class TestTranscoding(PolicyContract):
    """Calls of gRPC clients on a route whose JSON becomes calls, too."""

    plugin = "gateway_grpc.plugin"
    offer = "grpc"

    def off(self):
        return {}, OTHERS

    def route(self):
        return Route(id="route", path="/*", service="service", protocol="grpc")

    def request(self, number):
        fields = [("host", "a"), ("content-type", "application/grpc"), ("te", "trailers")]
        return Request("POST", f"/{number}", host="a", http_version="2", headers=Headers.of(fields))
