"""What every discovery provider and every connector promises, kept by the service that runs inside the gateway."""

from __future__ import annotations

import contextlib

from gateway import Endpoint, Headers, Request
from gateway.testing import ConnectorContract, DiscoveryContract


class TestProvider(DiscoveryContract):
    plugin = "gateway_demo.plugin"

    def services(self):
        return {"demo"}

    async def test_what_it_publishes_makes_sense(self):
        """Its instance is in the gateway itself, and has no port."""
        async with self._watched() as watched:
            ((instance,),) = (await watched.next()).values()
            assert (instance.scheme, instance.port) == ("demo", 0)


class TestConnector(ConnectorContract):
    plugin = "gateway_demo.plugin"

    @contextlib.asynccontextmanager
    async def serving(self):
        yield Endpoint(scheme="demo", address="in-process", port=0)

    def request(self, number):
        return Request("GET", f"/bytes/{number}", headers=Headers.of([("host", "demo.test")]))

    def answer(self, number):
        return bytes(range(number))
