"""What every health checker promises, kept by the active one; and every observer, kept by the passive one."""

from __future__ import annotations

from gateway.testing import HealthCheckerContract, ObserverContract

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
