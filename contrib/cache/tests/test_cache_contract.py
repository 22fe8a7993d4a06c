"""What every policy promises, kept by this one, where it stores and where it does not."""

from __future__ import annotations

import pytest

from gateway import Route
from gateway.testing import PolicyContract

REMEMBERED = 1000


@pytest.fixture(autouse=True)
def marks_are_few(monkeypatch):
    """It remembers for half a minute that an answer was not for all, of so many; to reach that many takes seconds."""
    monkeypatch.setattr("gateway_cache.flights.MAX_MARKS", REMEMBERED // 2)


class TestCacheThatStoresNothing(PolicyContract):
    plugin = "gateway_cache.plugin"
    offer = "cache"
    remembered = REMEMBERED

    def off(self):
        return {}, Route(id="route", path="/*", service="service", protocol="websocket")


class TestCacheThatStores(PolicyContract):
    plugin = "gateway_cache.plugin"
    offer = "cache"
    remembered = REMEMBERED

    def config(self):
        return {"maxObjectSize": "100KB"}

    def response(self, body):
        response = super().response(body)
        response.headers.add("cache-control", "max-age=60")
        return response
