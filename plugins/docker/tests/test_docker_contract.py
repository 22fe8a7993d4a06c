"""What every discovery provider promises, kept by these with an engine that changes its mind and fails."""

from __future__ import annotations

import pytest
from plugins.docker.tests.fake_engine import container

from gateway.testing import DiscoveryContract

ORDERS = {"gateway.service": "orders"}
USERS = {"gateway.service": "users"}


class EngineContract(DiscoveryContract):
    """Extended for each of the providers that ask an engine."""

    plugin = "gateway_docker.plugin"

    @pytest.fixture(autouse=True)
    def _engine(self, fake_engine, anyio_backend):
        self.engine = fake_engine
        self.engine.containers = [self.container(1, ORDERS), self.container(2, ORDERS), self.container(3, USERS)]

    def container(self, number, labels):
        return container(number, labels=labels)

    def config(self):
        return {"host": self.engine.host, "timeout": "1s", "refreshInterval": "1s"}

    def services(self):
        return {"orders", "users"}

    async def change(self):
        self.engine.containers = [self.container(1, ORDERS), self.container(3, USERS)]
        self.engine.emit("die")
        return True

    async def fail(self):
        self.engine.behaviours = dict.fromkeys(("/version", "/containers/json", "/events"), hang_up)
        self.engine.emit_bytes(b"no JSON\n")
        return True

    async def mend(self):
        self.engine.behaviours.clear()


class TestDocker(EngineContract):
    offer = "docker"


class TestCompose(EngineContract):
    """Services have the names that the Compose project gave them."""

    offer = "docker-compose"

    def container(self, number, labels):
        service = labels["gateway.service"]
        return container(
            number,
            labels={
                "gateway.service": None,
                "com.docker.compose.project": "shop",
                "com.docker.compose.service": service,
            },
        )


class TestComposeFile(DiscoveryContract):
    """Without an engine: services are reached by the names that the file gives them."""

    plugin = "gateway_docker.plugin"
    offer = "compose-file"

    @pytest.fixture(autouse=True)
    def _file(self, tmp_path):
        self.file = tmp_path / "docker-compose.yml"
        self.file.write_text("services: {orders: {ports: [80]}, users: {ports: [80]}}")

    def folder(self):
        return self.file.parent

    def config(self):
        return {"useServiceNames": True, "refreshInterval": "1s"}

    def services(self):
        return {"orders", "users"}

    async def change(self):
        self.file.write_text("services: {orders: {ports: [81]}, users: {ports: [80]}}")
        return True

    async def fail(self):
        self.file.write_text("services: [")
        return True


async def hang_up(reader, writer):
    writer.transport.abort()
