"""What every discovery provider promises, kept by this one with a name server that changes its mind and fails."""

from __future__ import annotations

import pytest

from gateway.testing import DiscoveryContract


@pytest.fixture(scope="module")
def anyio_backend():
    """On asyncio: uvloop leaves a socket to the garbage collector if it is cancelled while dnspython opens it."""
    return "asyncio", {"use_uvloop": False}


class TestDns(DiscoveryContract):
    plugin = "gateway_dns.plugin"

    @pytest.fixture(autouse=True)
    def _name_server(self, name_server, anyio_backend):
        self.server = name_server
        self.server.records = ["orders.test. 1 IN A 10.0.0.1", "users.test. 1 IN A 10.0.0.9"]

    def config(self):
        services = [{"name": name, "host": f"{name}.test", "port": 80} for name in ("orders", "users")]
        server = f"127.0.0.1:{self.server.port}"
        return {
            "servers": [server],
            "services": services,
            "timeout": 0.2,
            "minimumTtl": 0.05,
            "maximumTtl": 0.05,
            "retryInterval": 0.05,
        }

    def services(self):
        return {"orders", "users"}

    async def change(self):
        self.server.records[0] = "orders.test. 1 IN A 10.0.0.2"
        return True

    async def fail(self):
        self.behave, self.server.behave = self.server.behave, lambda query, wire: None
        return True

    async def mend(self):
        self.server.behave = self.behave
