"""Names of cipher suites: as IANA registers them, as OpenSSL spells them, and by number."""

from __future__ import annotations

import difflib
import re
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

__all__ = ["DEFAULT_CIPHERS", "TLS13_SUITES", "CipherSuite", "parse_cipher_suite"]

_SUITES = (
    (0xC02B, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"),
    (0xC02F, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"),
    (0xC02C, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"),
    (0xC030, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384"),
    (0xCCA9, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"),
    (0xCCA8, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305"),
)
"""Forward secrecy and authenticated encryption, the best first: the list of RFC 9325 section 4.2 with ChaCha20, which
is Mozilla's "intermediate" without finite-field Diffie-Hellman."""

TLS13_SUITES = {
    0x1301: "TLS_AES_128_GCM_SHA256",
    0x1302: "TLS_AES_256_GCM_SHA384",
    0x1303: "TLS_CHACHA20_POLY1305_SHA256",
}
"""What OpenSSL speaks in TLS 1.3; the ssl module cannot choose among them, and all are good (RFC 8446 section 9.1)."""

DEFAULT_CIPHERS = tuple(openssl for _, _, openssl in _SUITES)

_KNOWN = {
    **{str(number): openssl for number, _, openssl in _SUITES},
    **{name: openssl for _, *names in _SUITES for name in names for openssl in names[-1:]},
    # Go's names for two of them, without the hash.
    **{iana.removesuffix("_SHA256"): openssl for _, iana, openssl in _SUITES if "CHACHA20" in iana},
    **{str(number): name for number, name in TLS13_SUITES.items()},
    **{name: name for name in TLS13_SUITES.values()},
}
_WEAK = (
    (r"RC4|3DES|DES|NULL|EXPORT|EXP|anon|ADH|AECDH|MD5|IDEA|SEED|RC2", "is broken"),
    (r"CBC|AES(128|256)-SHA(256|384)?$|CAMELLIA.*SHA|ARIA.*CBC", "has no authenticated encryption (CBC)"),
    (r"^(TLS_RSA_WITH|AES(128|256)|RSA|PSK|TLS_PSK|SRP|TLS_SRP)", "has no forward secrecy"),
    (r"DHE-RSA|^TLS_DHE|DHE-DSS|^DHE", "uses finite-field Diffie-Hellman, for which no parameters are loaded"),
    (r"CCM", "is for constrained devices"),
)


def parse_cipher_suite(value: object) -> str:
    """Return OpenSSL's name of a suite, given that, IANA's or the number.

    Raises:
        ValueError: If it is unknown, or not good enough.
    """
    name = str(int(value, 16)) if isinstance(value, str) and re.fullmatch(r"0x[0-9A-Fa-f]{4}", value) else str(value)
    known = _KNOWN.get(name.strip()) or _KNOWN.get(name.strip().upper())
    if known is not None:
        return known
    suggestion = _suggestion(name)
    for pattern, why in _WEAK:
        if re.search(pattern, name):
            msg = f"{value!r} {why} and is not offered; {suggestion}"
            raise ValueError(msg)
    msg = f"{value!r} is not a known cipher suite; {suggestion}"
    raise ValueError(msg)


def _suggestion(name: str) -> str:
    names = [known for known in _KNOWN if not known.isdigit()]
    close = difflib.get_close_matches(name.upper(), names, 1, 0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"write {_SUITES[0][1]!r}, say, or leave 'cipherSuites' out for what is good"


CipherSuite = Annotated[
    str,
    BeforeValidator(parse_cipher_suite),
    WithJsonSchema({"type": ["string", "integer"], "examples": [_SUITES[0][1]]}),
]
"""A suite by OpenSSL's name, as whatever name or number it is written."""
