"""Versions of TLS as they are written, and the cipher suites that go with them."""

from __future__ import annotations

import re
import ssl
from typing import Annotated, Literal

from pydantic import BeforeValidator, WithJsonSchema

from gateway.tls.cipher_suites import TLS13_SUITES

__all__ = ["VERSIONS", "TlsVersion", "check_suites", "check_versions"]

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
"""What the ssl module calls them."""


def _parse_version(value: object) -> object:
    """Take 1.2, which YAML makes a number of, and ``TLS1.2``, ``TLSv1.2`` and ``VersionTLS12``."""
    found = re.fullmatch(r"(?:VERSION)?(?:TLS)?[V_ ]?1[._]?([0-3])", str(value).strip().upper())
    if found is None:
        return value
    if found[1] in "01":
        msg = f"{value!r} is not spoken any more (RFC 8996); write '1.2' or '1.3'"
        raise ValueError(msg)
    return f"1.{found[1]}"


TlsVersion = Annotated[
    Literal["1.2", "1.3"], BeforeValidator(_parse_version), WithJsonSchema({"enum": ["1.2", "1.3", 1.2, 1.3]})
]
"""A version, as whatever text or number it is written."""


def check_versions(low: str, high: str) -> None:
    """Check ``minVersion`` and ``maxVersion``.

    Raises:
        ValueError: If there is nothing between them.
    """
    if high < low:
        msg = f"maxVersion {high!r} is below minVersion {low!r}; swap them"
        raise ValueError(msg)


def check_suites(suites: tuple[str, ...], min_version: str) -> None:
    """Check ``cipherSuites``.

    Args:
        suites: By OpenSSL's names; without any, all that are good count.
        min_version: What ``minVersion`` says.

    Raises:
        ValueError: If no context could be as they say.
    """
    newer = set(suites) & set(TLS13_SUITES.values())
    if newer and len(newer) < len(TLS13_SUITES):
        msg = (
            f"cipherSuites has of TLS 1.3 only {', '.join(sorted(newer))}, but its suites cannot be chosen among; "
            "list all three or none of them"
        )
        raise ValueError(msg)
    older = set(suites) - newer
    if older and min_version == "1.3":
        msg = "cipherSuites has suites of TLS 1.2, which minVersion '1.3' excludes; remove one of the two"
        raise ValueError(msg)
    if suites and not older and min_version == "1.2":
        msg = "cipherSuites has no suite of TLS 1.2; add one, or write minVersion '1.3'"
        raise ValueError(msg)
