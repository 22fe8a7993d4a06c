"""What every discovery provider promises, kept by this one with an API server that changes its mind and fails."""

from __future__ import annotations

import pytest
from plugins.kubernetes.tests.objects_for_tests import endpoint_slice, service

from gateway.testing import DiscoveryContract


class TestKubernetes(DiscoveryContract):
    plugin = "gateway_kubernetes.plugin"
    offer = "kubernetes"

    @pytest.fixture(autouse=True)
    def _server(self, api, kubeconfig, anyio_backend):
        self.api = api
        self.kubeconfig = kubeconfig(api.url)
        self.api.apply(service(), endpoint_slice("10.0.0.1", "10.0.0.2"))
        self.api.apply(service("users"), endpoint_slice("10.0.0.9", of="users"))

    def config(self):
        return {"kubeconfig": self.kubeconfig, "timeout": "1s"}

    def services(self):
        return {"orders", "users"}

    async def change(self):
        self.api.apply(endpoint_slice("10.0.0.2"))
        return True

    async def fail(self):
        resources = ("services", "endpointslices")
        self.api.behaviours = {f"{what} {each}": hang_up for each in resources for what in ("list", "watch")}
        self.api.cut()
        return True

    async def mend(self):
        self.api.behaviours.clear()


async def hang_up(asked, writer):
    writer.transport.abort()
