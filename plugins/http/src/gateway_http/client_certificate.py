"""What services are told of a client's certificate: ``Client-Cert`` and ``Client-Cert-Chain`` (RFC 9440)."""

from __future__ import annotations

import base64
import ssl
import sys
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["certificate_fields"]

MAX_CHAIN = 10
"""Certificates of a chain that are told; OpenSSL verifies up to a hundred, and fields have limits."""


def certificate_fields(
    tls: ssl.SSLObject, told: Literal["none", "certificate", "chain"]
) -> Sequence[tuple[bytes, bytes]]:
    """Return the fields about the verified certificate of a client.

    Args:
        tls: Its connection.
        told: What of it is told.
    """
    certificate = tls.getpeercert(binary_form=True) if told != "none" else None
    if certificate is None:
        return ()
    fields = [(b"client-cert", _item(certificate))]
    if told == "chain" and (chain := _verified_chain(tls)[1:MAX_CHAIN]):
        fields.append((b"client-cert-chain", b", ".join(map(_item, chain))))
    return fields


def _item(certificate: bytes) -> bytes:
    """Return DER as a byte sequence of structured fields (RFC 8941 section 3.3.5)."""
    return b":%b:" % base64.b64encode(certificate)


def _verified_chain(tls: ssl.SSLObject) -> Sequence[bytes]:
    """Return the certificates from the client's own to the authority that is trusted, as DER."""
    if sys.version_info >= (3, 13):
        return tls.get_verified_chain()
    # What 3.13 made public is there before, in what the object wraps; 3.11 and 3.12 change no more.
    inner: Any = tls._sslobj  # type: ignore[attr-defined]  # noqa: SLF001 - see above
    chain: Iterable[Any] | None = inner.get_verified_chain()
    return [ssl.PEM_cert_to_DER_cert(each.public_bytes()) for each in chain or ()]
