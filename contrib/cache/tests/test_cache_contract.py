"""What every policy promises, kept by this one, where it stores and where it does not."""

from __future__ import annotations

from gateway import Route
from gateway.testing import PolicyContract


class TestCacheThatStoresNothing(PolicyContract):
    plugin = "gateway_cache.plugin"
    offer = "cache"
    remembered = 20_000  # that an answer was not for all, for half a minute

    def off(self):
        return {}, Route(id="route", path="/*", service="service", protocol="websocket")


class TestCacheThatStores(PolicyContract):
    plugin = "gateway_cache.plugin"
    offer = "cache"
    remembered = 100_000

    def config(self):
        return {"maxObjectSize": "100KB"}

    def response(self, body):
        response = super().response(body)
        response.headers.add("cache-control", "max-age=60")
        return response
