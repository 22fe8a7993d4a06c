"""What every endpoint under ``/_gateway`` promises, kept by these."""

from __future__ import annotations

from gateway.testing import AdminRouteContract


class TestEndpoint(AdminRouteContract):
    plugin = "gateway_cache.plugin"
    offer = "cache-status"


class TestPurge(AdminRouteContract):
    plugin = "gateway_cache.plugin"
    offer = "cache-purge"

    def asked(self):
        return self.request(params={}, body=b'{"prefix": "/orders"}')


class TestDelete(AdminRouteContract):
    plugin = "gateway_cache.plugin"
    offer = "cache-delete"

    def asked(self):
        return self.request(params={}, query="prefix=/orders")
