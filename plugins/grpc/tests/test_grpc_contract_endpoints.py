"""What every endpoint under ``/_gateway`` promises, kept by the one that lists descriptors."""

from __future__ import annotations

from gateway.testing import AdminRouteContract


class TestList(AdminRouteContract):
    plugin = "gateway_grpc.plugin"
    offer = "grpc-descriptors"
