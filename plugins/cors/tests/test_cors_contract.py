"""What every policy promises, kept by this one."""

from __future__ import annotations

from gateway.testing import PolicyContract


class TestCors(PolicyContract):
    plugin = "gateway_cors.plugin"

    def config(self):
        return {"allowedOrigins": ["https://app.example"], "allowCredentials": True}

    def request(self, number):
        request = super().request(number)
        request.headers.add("origin", "https://app.example")
        return request
