"""What every discovery provider promises, kept by this one."""

from __future__ import annotations

from gateway.testing import DiscoveryContract


class TestStatic(DiscoveryContract):
    plugin = "gateway_static.plugin"

    def config(self):
        orders = [{"address": "10.0.0.1", "port": 8080}, {"address": "10.0.0.2", "port": 8080, "weight": 3}]
        users = [{"address": "users.internal", "port": 443}]
        return {"services": [{"name": "orders", "instances": orders}, {"name": "users", "instances": users}]}

    def services(self):
        return {"orders", "users"}
