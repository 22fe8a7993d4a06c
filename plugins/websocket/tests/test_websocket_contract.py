"""What every connector and every policy promises, kept by these where an exchange is no WebSocket."""

from __future__ import annotations

import contextlib

from gateway import Endpoint, Headers, Request, Route
from gateway.testing import ConnectorContract, PolicyContract, Reply, Upstream


class TestConnector(ConnectorContract):
    """Handshakes that a service refuses: then it is a response like any other."""

    plugin = "gateway_websocket.plugin"
    carrier = "gateway_http.plugin"

    def config(self):
        return {"pingInterval": "10s"}

    @contextlib.asynccontextmanager
    async def serving(self):
        async with Upstream() as upstream:
            upstream.answer = lambda request: Reply(403, body=request.target)
            yield Endpoint(address=upstream.host, port=upstream.port)

    def request(self, number):
        fields = [("host", "a"), ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA=="), ("sec-websocket-version", "13")]
        return Request("GET", f"/{number}", host="a", headers=Headers.of(fields), upgrade="websocket")

    def answer(self, number):
        return f"/{number}".encode()


class TestPolicy(PolicyContract):
    """Other requests of a route that also takes WebSockets."""

    plugin = "gateway_websocket.plugin"

    def config(self):
        return {"maxConnections": 10}

    def off(self):
        return {}, Route(id="route", path="/*", service="service")

    def route(self):
        return Route(id="route", path="/*", service="service", allow_upgrade=frozenset({"websocket"}))
