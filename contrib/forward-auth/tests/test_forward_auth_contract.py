"""What every policy promises, kept by this one with a service that lets everybody pass."""

from __future__ import annotations

import pytest

from gateway.testing import PolicyContract, Reply


class AskingContract(PolicyContract):
    plugin = "gateway_forward_auth.plugin"

    @pytest.fixture(autouse=True)
    def _auth(self, upstream, anyio_backend):

        def let_pass(request):
            upstream.requests.clear()  # what a service remembers is not what the policy remembers
            return Reply(204, body=b"")

        upstream.answer = let_pass
        self.url = f"http://127.0.0.1:{upstream.port}/verify"


class TestAsking(AskingContract):
    remembered = 150  # each of them is asked about over HTTP

    def config(self):
        return {"url": self.url, "timeout": "5s", "addHeaders": {"x-gateway-token": "only-between-the-two-of-us"}}


class TestRemembering(AskingContract):
    remembered = 200

    def config(self):
        return {"url": self.url, "timeout": "5s", "cache": {"ttl": "1m", "maxEntries": 50}}
