"""What every endpoint under ``/_gateway`` promises, kept by these."""

from __future__ import annotations

import importlib

from gateway.pluginhost.collect import build_manager, collect_offers
from gateway.testing import AdminRouteContract


class HealthContract(AdminRouteContract):
    plugin = "gateway_healthcheck.plugin"

    def config(self):
        return {"details": True, "active": {"interval": "1h"}}

    async def prepare(self, bench):
        """Build the checker that they tell of."""
        offers = collect_offers(build_manager(), self.plugin, importlib.import_module(self.plugin))
        (checker,) = (offer for offer in offers if (offer.kind, offer.name) == ("health checker", "health"))
        await bench.build(checker, self.config())


class TestSummary(HealthContract):
    offer = "health-summary"


class TestServices(HealthContract):
    offer = "health-services"


class TestService(HealthContract):
    offer = "health-service"

    def params(self):
        return {"name": "orders"}
