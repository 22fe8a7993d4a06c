"""What every policy and every connector promises, kept by these for event streams."""

from __future__ import annotations

from gateway import Headers, Response, Route
from gateway.testing import HttpConnectorContract, PolicyContract


class TestStreams(PolicyContract):
    plugin = "gateway_sse.plugin"
    offer = "sse"

    def config(self):
        return {"keepaliveTimeout": "1h", "maxConnections": 1000}

    def off(self):
        return {}, super().route()

    def route(self):
        return Route(id="events", path="/*", service="service", protocol="sse")

    def request(self, number):
        request = super().request(number)
        request.headers.set("accept", "text/event-stream")
        return request

    def response(self, body):
        return Response(200, body=body, headers=Headers.of([("content-type", "text/event-stream")]))

    def body(self):
        return b"".join(b"id: %d\ndata: event %d\n\n" % (number, number) for number in range(6000))


class TestConnector(HttpConnectorContract):
    plugin = "gateway_sse.plugin"
    carrier = "gateway_http.plugin"
