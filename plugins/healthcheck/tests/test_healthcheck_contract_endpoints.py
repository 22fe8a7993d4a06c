"""What every endpoint under ``/_gateway`` promises, kept by these."""

from __future__ import annotations

from gateway import HealthCheckerRegistration
from gateway.testing import AdminRouteContract


class HealthContract(AdminRouteContract):
    plugin = "gateway_healthcheck.plugin"

    def config(self):
        return {"details": True, "active": {"interval": "1h"}}

    async def prepare(self, bench):
        """Build the checker that they tell of."""
        await bench.build(self.offered(HealthCheckerRegistration, "health"), self.config())


class TestSummary(HealthContract):
    offer = "health-summary"


class TestServices(HealthContract):
    offer = "health-services"


class TestService(HealthContract):
    offer = "health-service"

    def params(self):
        return {"name": "orders"}
