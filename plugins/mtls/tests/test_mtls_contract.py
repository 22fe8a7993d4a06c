"""What every authenticator promises, kept by this one."""

from __future__ import annotations

from gateway.testing import AuthenticatorContract

ISSUER = ((("commonName", "Example CA"),),)


class TestCertificates(AuthenticatorContract):
    plugin = "gateway_mtls.plugin"
    remembered = 5000  # certificates; and the metric counts reasons, not callers

    def config(self):
        return {"subjectFrom": ["cn"], "scopes": {"shop": ["read"]}}

    def valid_request(self):
        return self.showing("shop")

    def invalid_request(self, number):
        """Over a connection that outlived its certificate."""
        return self.showing(f"shop-{number}", until="Jan  1 00:00:00 2020 GMT")

    def showing(self, name, until="Jan  1 00:00:00 2099 GMT"):
        """Return a request over a connection whose client showed the certificate of ``name``."""
        request = self.anonymous_request()
        request.origin.peer_certificate = {
            "subject": ((("commonName", name),),),
            "issuer": ISSUER,
            "notAfter": until,
        }
        return request
