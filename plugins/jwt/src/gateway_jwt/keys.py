"""Keys that tokens are verified with, from PEM, JWK, JWKS or a secret."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, OctKey, OKPKey, RSAKey

from gateway_jwt.strict_json import parse_object

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from joserfc.jwk import Key

__all__ = ["MAX_KEYS", "VerificationKey", "keys_of_jwks", "keys_of_text", "secret_key"]

MAX_KEYS = 100
"""Keys of one set that are used."""

RSA_BITS = range(2048, 8192 + 1)
"""RFC 7518 section 3.3 demands 2048; beyond 8192 a verification takes milliseconds."""
MAX_RSA_EXPONENT = 2**32

_CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
_SECRET_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
"""As long as the hash, RFC 7518 section 3.2."""
_RSA = frozenset(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"))
_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationKey:
    """A key and what it may verify.

    Attributes:
        id: Its ``kid``; ``None`` if it has none.
        algorithms: The algorithms it is good for.
        key: The key.
    """

    id: str | None
    algorithms: frozenset[str]
    key: Key


def secret_key(secret: bytes, algorithms: Sequence[str]) -> VerificationKey:
    """Return the key that a shared secret is.

    Raises:
        ValueError: If it is too short for one of the algorithms, or is the public key of something else.
    """
    if b"-----BEGIN" in secret or secret.lstrip().startswith((b"{", b"ssh-", b"ecdsa-")):
        msg = "the secret is a key of another kind, which others may know; take random bytes"
        raise ValueError(msg)
    for algorithm in algorithms:
        if len(secret) < _SECRET_BYTES[algorithm]:
            msg = f"the secret is shorter than the {_SECRET_BYTES[algorithm]} bytes that {algorithm} needs"
            raise ValueError(msg)
    try:
        key = OctKey.import_key(secret)
    except (ValueError, JoseError):
        msg = "the secret is a public key, which others know; take random bytes"
        raise ValueError(msg) from None
    return VerificationKey(id=None, algorithms=frozenset(algorithms), key=key)


def keys_of_text(text: bytes) -> tuple[VerificationKey, ...]:
    """Return the keys of PEM blocks, of a JWK or of a JWKS.

    Raises:
        ValueError: If there is none, or one that is no public key; the message holds nothing of it.
    """
    if text.lstrip().startswith(b"{"):
        try:
            document = parse_object(text)
        except ValueError:
            msg = "the key is no JSON Web Key; write a JWK, a JWKS or PEM"
            raise ValueError(msg) from None
        return keys_of_jwks(document if "keys" in document else {"keys": [document]})
    keys = tuple(_of_pem(found[1].decode("ascii"), found[0]) for found in _PEM.finditer(text))
    if not keys:
        msg = "there is no public key in it; write PEM (-----BEGIN PUBLIC KEY-----), a JWK or a JWKS"
        raise ValueError(msg)
    return keys


def keys_of_jwks(document: dict[str, Any]) -> tuple[VerificationKey, ...]:
    """Return the public keys of a JSON Web Key Set that can verify signatures; others are left out.

    As RFC 7517 section 5 says, a key that is not understood does not spoil the set.

    Raises:
        ValueError: If it is no set, or no key of it can be used.
    """
    entries = document.get("keys")
    if not isinstance(entries, list):
        msg = "it is no JSON Web Key Set: there is no list 'keys'"
        raise ValueError(msg)  # noqa: TRY004 - what is wrong is a value
    keys = tuple(_usable(entries))
    if not keys:
        msg = "none of its keys can verify a signature"
        raise ValueError(msg)
    return keys


def _usable(entries: list[Any]) -> Iterator[VerificationKey]:
    for entry in entries[:MAX_KEYS]:
        # "oct" too: a secret that is published is none.
        if not isinstance(entry, dict) or entry.get("kty") not in ("RSA", "EC", "OKP"):
            continue
        operations = entry.get("key_ops", ["verify"])
        if entry.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
            continue
        kid = entry.get("kid")
        # Only what a key consists of: not "d", which is nobody's business, nor what joserfc would judge differently.
        public = {name: entry[name] for name in ("kty", "n", "e", "crv", "x", "y") if name in entry}
        try:
            key = JWKRegistry.import_key(public)
            algorithms = _algorithms_of(key)
        except (JoseError, ValueError, TypeError, KeyError, UnsupportedAlgorithm):
            continue
        if "alg" in entry:
            algorithms &= {str(entry["alg"])}
        if algorithms:
            yield VerificationKey(id=kid if isinstance(kid, str) else None, algorithms=algorithms, key=key)


def _of_pem(label: str, block: bytes) -> VerificationKey:
    if "PRIVATE" in label:
        msg = "it is a private key; give the public one, which is all that is needed"
        raise ValueError(msg)
    try:
        if label == "CERTIFICATE":
            public: Any = load_pem_x509_certificate(block).public_key()
        else:
            public = load_pem_public_key(block)
    except (ValueError, UnsupportedAlgorithm):
        msg = f"the PEM block {label!r} is no public key and no certificate"
        raise ValueError(msg) from None
    kinds: tuple[type[RSAKey | ECKey | OKPKey], ...] = (RSAKey, ECKey, OKPKey)
    for kind in kinds:
        if kind.binding.check_cryptography_key(public):
            key = kind(public, public)
            return VerificationKey(id=None, algorithms=_algorithms_of(key), key=key)
    msg = f"keys of the kind {type(public).__name__} sign no tokens; give RSA, EC, Ed25519 or Ed448"
    raise ValueError(msg)


def _algorithms_of(key: Key) -> frozenset[str]:
    """Return what a public key can verify.

    Raises:
        ValueError: If it is too weak, too slow or of a curve that is not used.
    """
    public = key.public_key
    if isinstance(public, RSAPublicKey):
        if public.key_size not in RSA_BITS or public.public_numbers().e >= MAX_RSA_EXPONENT:
            msg = f"an RSA key of {public.key_size} bits is not taken; use 2048 to 8192, with an ordinary exponent"
            raise ValueError(msg)
        return _RSA
    if isinstance(public, EllipticCurvePublicKey) and isinstance(key, ECKey):
        if key.curve_name in _CURVES:
            return frozenset((_CURVES[key.curve_name],))
    elif isinstance(key, OKPKey) and key.curve_name in ("Ed25519", "Ed448"):
        return frozenset(("EdDSA", key.curve_name))
    msg = "keys of this curve sign no tokens; use P-256, P-384, P-521, Ed25519 or Ed448"
    raise ValueError(msg)
