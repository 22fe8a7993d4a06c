"""What every route source and every endpoint promises, kept by these with an engine that changes its mind and fails."""

from __future__ import annotations

import importlib

import pytest
from plugins.docker.tests.fake_engine import container
from plugins.docker.tests.test_docker_contract import hang_up

from gateway.pluginhost.collect import build_manager, collect_offers
from gateway.testing import AdminRouteContract, RouteSourceContract

ORDERS = {"gateway.route.path": "/orders/*"}
USERS = {"gateway.service": "users", "gateway.route.path": "/users/*"}
CARTS = {"gateway.service": "carts", "gateway.route.path": "/carts/*"}


class EngineContract(RouteSourceContract):
    """The rules of containers; extended for each of the providers that comes across them."""

    plugin = "gateway_docker.plugin"
    labels: dict = {}  # noqa: RUF012 - replaced, not changed

    @pytest.fixture(autouse=True)
    def _engine(self, fake_engine, anyio_backend):
        self.engine = fake_engine
        self.engine.containers = [self.container(1, ORDERS), self.container(2, ORDERS), self.container(3, USERS)]

    def container(self, number, labels):
        return container(number, labels={**labels, **self.labels})

    def provider_config(self):
        return {"host": self.engine.host, "timeout": "1s", "refreshInterval": "1s"}

    def paths(self):
        return ["/orders/*", "/users/*"]

    async def change(self):
        self.engine.containers = [self.container(1, ORDERS), self.container(4, CARTS)]
        self.engine.emit("die")
        return True

    async def spoil(self):
        broken = {**CARTS, "gateway.route.path": "{never closed"}
        self.engine.containers = [*self.engine.containers, self.container(5, broken)]
        self.engine.emit("start")
        return True

    async def fail(self):
        self.engine.behaviours = dict.fromkeys(("/version", "/containers/json", "/events"), hang_up)
        self.engine.emit_bytes(b"no JSON\n")
        return True

    async def mend(self):
        self.engine.behaviours.clear()


class TestDockerRoutes(EngineContract):
    offer = "docker"


class TestStatus(AdminRouteContract):
    plugin = "gateway_docker.plugin"

    @pytest.fixture(autouse=True)
    def _engine(self, fake_engine, anyio_backend):
        self.engine = fake_engine

    async def prepare(self, bench):
        """Build the provider that it tells of."""
        offers = collect_offers(build_manager(), self.plugin, importlib.import_module(self.plugin))
        (docker,) = (offer for offer in offers if (offer.kind, offer.name) == ("discovery provider", "docker"))
        await bench.build(docker, {"host": self.engine.host})
