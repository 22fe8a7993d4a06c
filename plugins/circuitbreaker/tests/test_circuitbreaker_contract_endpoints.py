"""What every endpoint under ``/_gateway`` promises, kept by these."""

from __future__ import annotations

from gateway import PolicyRegistration, Response, Route
from gateway.testing import AdminRouteContract


class BreakersContract(AdminRouteContract):
    """Of a gateway with one circuit."""

    plugin = "gateway_circuitbreaker.plugin"

    async def prepare(self, bench):
        breaker = await bench.build(self.offered(PolicyRegistration), {"scope": "route"})
        self.handler = breaker.wrap(
            answer, Route(id="orders", path="/orders/*", service="orders")
        )  # a circuit lives as long


class TestList(BreakersContract):
    offer = "breakers"


class TestReset(BreakersContract):
    offer = "breakers-reset"

    def asked(self):
        return self.request(params={}, body=b'{"name": "orders"}')


async def answer(exchange):
    return Response()
