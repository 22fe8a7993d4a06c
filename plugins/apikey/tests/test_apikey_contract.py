"""What every authenticator promises, kept by this one: keys in a field, in the query and as hashes."""

from __future__ import annotations

import hashlib

from gateway import Headers, Request
from gateway.testing import AuthenticatorContract

KEY = "k3y-of-the-orders-team"


class TestKeysInAField(AuthenticatorContract):
    plugin = "gateway_apikey.plugin"

    def config(self):
        return {"keys": {"orders": {"key": KEY, "subject": "orders-team", "scopes": ["read"]}}}

    def valid_request(self):
        return self.with_key(KEY)

    def invalid_request(self, number):
        return self.with_key(f"another-key-{number}")

    def with_key(self, key):
        request = self.anonymous_request()
        request.headers.add("x-api-key", key)
        return request


class TestHashedKeysInTheQuery(TestKeysInAField):
    def config(self):
        hashed = {"key": hashlib.sha256(KEY.encode()).hexdigest()}
        return {"keys": {"orders": hashed}, "hashKeys": True, "queryParam": "api_key"}

    def with_key(self, key):
        return Request("GET", "/", query=f"a=1&api_key={key}", headers=Headers(), client="10.0.0.1")
