"""What every endpoint under ``/_gateway`` promises, kept by this one."""

from __future__ import annotations

from gateway.testing import AdminRouteContract


class TestEndpoint(AdminRouteContract):
    plugin = "gateway_prometheus.plugin"
