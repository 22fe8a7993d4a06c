"""Keys, tokens and an issuer that publishes keys."""

from __future__ import annotations

import json
import ssl
import time
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from joserfc import jws, jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from gateway.testing import Reply

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "s3cret-" * 10
ISSUER = "https://issuer.example"


@dataclass
class Keys:
    """A key of each kind."""

    rsa: RSAKey
    other_rsa: RSAKey
    p256: ECKey
    p384: ECKey
    p521: ECKey
    ed25519: OKPKey
    ed448: OKPKey
    secret: OctKey

    def for_algorithm(self, algorithm: str) -> Key:
        if algorithm.startswith("HS"):
            return self.secret
        named: dict[str, Key] = {"ES256": self.p256, "ES384": self.p384, "ES512": self.p521, "Ed448": self.ed448}
        return named.get(algorithm, self.ed25519 if algorithm.startswith("Ed") else self.rsa)


@pytest.fixture(scope="session")
def keys() -> Keys:
    return Keys(
        rsa=RSAKey.generate_key(2048, {"kid": "one"}),
        other_rsa=RSAKey.generate_key(2048, {"kid": "two"}),
        p256=ECKey.generate_key("P-256"),
        p384=ECKey.generate_key("P-384"),
        p521=ECKey.generate_key("P-521"),
        ed25519=OKPKey.generate_key("Ed25519"),
        ed448=OKPKey.generate_key("Ed448"),
        secret=OctKey.import_key(SECRET),
    )


def pem(key: Any) -> str:
    """Return the public key."""
    text: bytes = key.as_pem(private=False)
    return text.decode()


def claims_of(**claims: Any) -> dict[str, Any]:
    """Return claims that are valid; ``None`` leaves one out."""
    made = {"sub": "jo", "iss": ISSUER, "exp": int(time.time()) + 600, **claims}
    return {name: value for name, value in made.items() if value is not None}


def token(key: Any, algorithm: str = "RS256", *, header: dict[str, Any] | None = None, **claims: Any) -> str:
    """Return a signed token."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)  # EdDSA has successors since RFC 9864
        return jwt.encode({"alg": algorithm, **(header or {})}, claims_of(**claims), key, algorithms=[algorithm])


def signed(key: Any, payload: bytes, header: dict[str, Any] | None = None) -> str:
    """Return anything at all, signed with RS256."""
    return jws.serialize_compact(header or {"alg": "RS256"}, payload, key, algorithms=["RS256"])


def bearing(text: str) -> dict[str, str]:
    """Return the fields of a request with a token."""
    return {"authorization": f"Bearer {text}"}


class Jwks:
    """An issuer's published keys, over TLS.

    Attributes:
        keys: What is published.
        reply: Answers instead, if it is set.
    """

    def __init__(self, server: Any, ca_file: Path) -> None:
        self.server = server
        self.ca_file = str(ca_file)
        self.keys: list[Any] = []
        self.reply: Reply | None = None
        server.answer = self._answer

    def _answer(self, request: Any) -> Reply:
        return self.reply if self.reply is not None else Reply.json({"keys": self.keys})

    def publish(self, *keys: Any) -> None:
        self.keys = [key.as_dict(private=False, use="sig") for key in keys]

    @property
    def url(self) -> str:
        return f"https://localhost:{self.server.port}/jwks.json"

    @property
    def fetches(self) -> int:
        return len(self.server.requests)

    def settings(self, **more: Any) -> dict[str, Any]:
        """Return the configuration of a gateway that believes it."""
        block = {"issuer": ISSUER, "jwksUrl": self.url, "jwksCAFile": self.ca_file, "jwksRefetchInterval": 0.1, **more}
        return {"auth": {"required": True, "jwt": block}}


@pytest.fixture
async def jwks(upstream_factory, tmp_path):
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    server = await upstream_factory(tls=context)
    server.host = "localhost"
    return Jwks(server, ca_file)


@pytest.fixture
def kit():
    """The functions above, for tests: files of tests cannot import one another."""

    class Kit:
        SECRET = SECRET
        ISSUER = ISSUER
        pem = staticmethod(pem)
        token = staticmethod(token)
        signed = staticmethod(signed)
        bearing = staticmethod(bearing)
        claims_of = staticmethod(claims_of)
        json = json

    return Kit
