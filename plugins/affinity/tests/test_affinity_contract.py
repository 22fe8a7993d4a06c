"""What every balancer promises, kept by this one, whatever tells sessions apart."""

from __future__ import annotations

from gateway import Request
from gateway.testing import BalancerContract


class TestCookie(BalancerContract):
    plugin = "gateway_affinity.plugin"

    def config(self):
        return {"secret": "a secret of at least thirty-two bytes"}


class TestHeader(BalancerContract):
    plugin = "gateway_affinity.plugin"

    def config(self):
        return {"source": "header"}

    def request(self, number):
        request = super().request(number)
        request.headers.add("x-session-id", f"session-{number}")
        return request


class TestQuery(TestHeader):
    def config(self):
        return {"source": "query"}

    def request(self, number):
        return Request("GET", "/", query=f"session_id={number}", client="10.0.0.1")
