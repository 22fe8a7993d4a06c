"""What every route source and every endpoint promises, kept by these with an engine that changes its mind and fails."""

from __future__ import annotations

import json

import pytest
from plugins.docker.tests.fake_engine import container
from plugins.docker.tests.test_docker_contract import hang_up

from gateway import DiscoveryRegistration
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


class TestComposeRoutes(EngineContract):
    offer = "docker-compose"
    labels = {"com.docker.compose.project": "shop", "com.docker.compose.service": "orders"}  # noqa: RUF012 - as above


class TestComposeFileRoutes(RouteSourceContract):
    """Rules of labels in a Compose file, whose services are reached by their names."""

    plugin = "gateway_docker.plugin"
    offer = "compose-file"

    @pytest.fixture(autouse=True)
    def _file(self, tmp_path):
        self.file = tmp_path / "docker-compose.yml"
        self.write(orders="/orders/*", users="/users/*")

    def write(self, **paths):
        services = {name: {"ports": [80], "labels": {"gateway.route.path": path}} for name, path in paths.items()}
        self.file.write_text(json.dumps({"services": services}))  # which is YAML, too

    def provider_config(self):
        return {"composeFiles": str(self.file), "useServiceNames": True, "refreshInterval": "1s"}

    def paths(self):
        return ["/orders/*", "/users/*"]

    async def change(self):
        self.write(orders="/orders/*", carts="/carts/*")
        return True

    async def spoil(self):
        self.write(orders="/orders/*", users="/users/*", carts="{never closed")
        return True

    async def fail(self):
        self.file.write_text("services: [")
        return True

    async def mend(self):
        self.write(orders="/orders/*", users="/users/*")


class TestStatus(AdminRouteContract):
    plugin = "gateway_docker.plugin"

    @pytest.fixture(autouse=True)
    def _engine(self, fake_engine, anyio_backend):
        self.engine = fake_engine

    async def prepare(self, bench):
        """Build the provider that it tells of."""
        await bench.build(self.offered(DiscoveryRegistration, "docker"), {"host": self.engine.host})
