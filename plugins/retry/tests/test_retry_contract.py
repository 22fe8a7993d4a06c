"""What every policy promises, kept by this one, with and without deadlines of its own."""

from __future__ import annotations

from gateway.testing import PolicyContract


class TestRetry(PolicyContract):
    plugin = "gateway_retry.plugin"

    def config(self):
        return {"maxAttempts": 2, "initialDelay": 1, "maxDelay": 1}

    def off(self):
        return {"maxAttempts": 1}, self.route()


class TestRetryInTime(TestRetry):
    def config(self):
        return {**super().config(), "perTryTimeout": "5s", "timeout": "9s"}
