"""What every connector promises, kept by this one; and every policy, kept by the one for request limits."""

from __future__ import annotations

from gateway.testing import HttpConnectorContract, PolicyContract


class TestConnector(HttpConnectorContract):
    plugin = "gateway_http.plugin"


class TestRequestLimits(PolicyContract):
    plugin = "gateway_http.plugin"
    offer = "requestlimits"

    def config(self):
        return {"maxRequestSize": "10MB"}

    def off(self):
        return {}, self.route()
