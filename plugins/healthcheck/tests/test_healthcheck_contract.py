"""What health checkers, observers and policies promise, kept by those of this plugin."""

from __future__ import annotations

from gateway import HealthCheckerRegistration, Route
from gateway.testing import ComponentContract, HealthCheckerContract, ObserverContract, PolicyContract

QUICK = {"interval": "100ms", "timeout": "200ms", "jitter": 0, "healthyThreshold": 1, "unhealthyThreshold": 1}


class TestHttpChecks(HealthCheckerContract):
    plugin = "gateway_healthcheck.plugin"
    offer = "health"

    def config(self):
        return {"active": QUICK}


class TestTcpChecks(HealthCheckerContract):
    plugin = "gateway_healthcheck.plugin"
    offer = "health"

    def config(self):
        return {"active": {**QUICK, "type": "tcp"}}

    def asks(self):
        return False


class TestOutliers(ObserverContract):
    plugin = "gateway_healthcheck.plugin"

    def config(self):
        return {"passive": {}}


class TestSummedOutliers(ComponentContract):
    """It asks nobody, and so never finds out by itself what works: of a checker it promises what every offer does."""

    plugin = "gateway_healthcheck.plugin"
    kind = HealthCheckerRegistration
    offer = "health-passive"

    def config(self):
        return {"passive": {}}


class TestEndpoints(PolicyContract):
    """Requests for anything else, on a route that could be asked for them."""

    plugin = "gateway_healthcheck.plugin"

    def config(self):
        return {"healthPath": "/healthz"}

    def off(self):
        return self.config(), Route(id="route", path="/orders/*", service="service")
