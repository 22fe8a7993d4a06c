"""What every discovery provider promises, kept by these with an engine that changes its mind and fails."""

from __future__ import annotations

import pytest
from plugins.docker.tests.fake_engine import container

from gateway.testing import DiscoveryContract

USERS = {"gateway.service": "users"}


class TestDocker(DiscoveryContract):
    plugin = "gateway_docker.plugin"
    offer = "docker"

    @pytest.fixture(autouse=True)
    def _engine(self, fake_engine, anyio_backend):
        self.engine = fake_engine
        self.engine.containers = [container(1), container(2), container(3, labels=USERS)]

    def config(self):
        return {"host": self.engine.host, "timeout": "1s", "refreshInterval": "1s"}

    def services(self):
        return {"orders", "users"}

    async def change(self):
        self.engine.containers = [container(1), container(3, labels=USERS)]
        self.engine.emit("die")
        return True

    async def fail(self):
        self.engine.behaviours = dict.fromkeys(("/version", "/containers/json", "/events"), hang_up)
        self.engine.emit_bytes(b"no JSON\n")
        return True

    async def mend(self):
        self.engine.behaviours.clear()


async def hang_up(reader, writer):
    writer.transport.abort()
