"""What every policy promises, kept by this one."""

from __future__ import annotations

from gateway.testing import PolicyContract


class TestLlmLimits(PolicyContract):
    plugin = "gateway_llm_limits.plugin"

    def request(self, number):
        request = super().request(number)
        request.method, request.body = "POST", b'{"model": "m", "messages": []}'
        return request
