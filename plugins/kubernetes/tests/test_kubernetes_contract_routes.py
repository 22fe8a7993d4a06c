"""What every route source and every endpoint promises, kept by these with an API server that changes its mind."""

from __future__ import annotations

import pytest
from plugins.kubernetes.tests.objects_for_tests import endpoint_slice, route, service
from plugins.kubernetes.tests.test_kubernetes_contract import hang_up

from gateway import DiscoveryRegistration
from gateway.testing import AdminRouteContract, RouteSourceContract

OLD, YOUNG = "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"


class TestRoutes(RouteSourceContract):
    plugin = "gateway_kubernetes.plugin"

    @pytest.fixture(autouse=True)
    def _server(self, api, kubeconfig, anyio_backend):
        self.api = api
        self.kubeconfig = kubeconfig(api.url)
        self.api.apply(service(), endpoint_slice("10.0.0.1", "10.0.0.2"))
        self.api.apply(route("young", created=YOUNG), route("old", created=OLD))

    def config(self):
        return {"writeStatus": False}

    def provider_config(self):
        return {"kubeconfig": self.kubeconfig, "timeout": "1s"}

    def paths(self):
        return ["/old/*", "/young/*"]

    async def change(self):
        self.api.apply(route("young", path="/younger/*", created=YOUNG))
        return True

    async def spoil(self):
        self.api.apply(route("spoilt", path=7))
        return True

    async def fail(self):
        self.api.behaviours = {f"{what} gatewayroutes": hang_up for what in ("list", "watch")}
        self.api.cut()
        return True

    async def mend(self):
        self.api.behaviours.clear()


class TestStatus(AdminRouteContract):
    plugin = "gateway_kubernetes.plugin"

    @pytest.fixture(autouse=True)
    def _server(self, api, kubeconfig, anyio_backend):
        self.kubeconfig = kubeconfig(api.url)

    async def prepare(self, bench):
        """Build the provider that it tells of."""
        await bench.build(self.offered(DiscoveryRegistration), {"kubeconfig": self.kubeconfig})
