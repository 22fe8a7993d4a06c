"""What every authenticator promises, kept by this one."""

from __future__ import annotations

import pytest

from gateway.testing import AuthenticatorContract


class TestTokens(AuthenticatorContract):
    plugin = "gateway_jwt.plugin"
    remembered = 500

    @pytest.fixture(autouse=True)
    def _keys(self, keys, kit):
        self.pem = kit.pem(keys.rsa)
        self.token = kit.token(keys.rsa)

    def config(self):
        return {"publicKey": self.pem, "stripToken": True, "cacheEntries": 100}

    def valid_request(self):
        return self.bearing(self.token)

    def invalid_request(self, number):
        head, claims, signature = self.token.split(".")
        return self.bearing(f"{head}.{claims}.{number:08}{signature[8:]}")

    def bearing(self, token):
        request = self.anonymous_request()
        request.headers.add("authorization", f"Bearer {token}")
        return request
