"""What every policy promises, kept by this one in each scope."""

from __future__ import annotations

from gateway.testing import PolicyContract


class TestByRoute(PolicyContract):
    plugin = "gateway_circuitbreaker.plugin"
    scope = "route"

    def config(self):
        return {"maxFailures": 100, "timeout": "1s", "scope": self.scope}


class TestByService(TestByRoute):
    scope = "service"


class TestByInstance(TestByRoute):
    scope = "instance"
