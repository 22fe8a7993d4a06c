"""Certificates and keys in PEM files: loaded, described, and told apart from those that replace them."""

from __future__ import annotations

import hashlib
import re
import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

__all__ = ["describe", "dns_names", "file_digests", "load_authorities", "load_chain"]

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_NO_CHECK_TIME = 0x200000
"""``X509_V_FLAG_NO_CHECK_TIME`` of OpenSSL's x509_vfy.h, for which the ssl module has no name."""
_MAX_FLIGHTS = 10


def file_digests(paths: Iterable[Path]) -> tuple[bytes | None, ...]:
    """Return a digest of each file's content; ``None`` for one that cannot be read."""
    return tuple(map(_digest, paths))


def load_chain(tls: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Have ``tls`` show a certificate with its chain.

    Raises:
        ValueError: If a file cannot be read or is not what it should be; names it.
    """
    if b"CERTIFICATE" not in _read(certificate):
        msg = f"{str(certificate)!r} holds no PEM certificate; write the certificate first, then its chain"
        raise ValueError(msg)
    key_pem = _read(key)
    if b"ENCRYPTED" in key_pem:
        # It must fail, not ask on a terminal that nobody watches.
        msg = f"the key {str(key)!r} is encrypted; decrypt it with 'openssl pkey -in old.pem -out new.pem', mode 0600"
        raise ValueError(msg)
    try:
        tls.load_cert_chain(certificate, key, password=lambda: "")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            msg = f"the key {str(key)!r} is not that of the first certificate in {str(certificate)!r}; give its own"
        else:
            msg = f"{str(certificate)!r} and {str(key)!r} are not a certificate and its key: {_why(error)}"
        raise ValueError(msg) from error


def load_authorities(tls: ssl.SSLContext, path: Path, key: str) -> None:
    """Have ``tls`` trust the authorities, or know the revocation lists, in a file.

    Args:
        tls: The context.
        path: A PEM file.
        key: The configuration key it stands under, for messages.

    Raises:
        ValueError: If it cannot be used; names it.
    """
    _read(path)
    try:
        tls.load_verify_locations(path)
    except (OSError, ssl.SSLError) as error:
        msg = f"{key} {str(path)!r} cannot be used: {_why(error)}; it must hold PEM"
        raise ValueError(msg) from error


def describe(shown: ssl.SSLContext, certificate: Path) -> Mapping[str, object]:
    """Return what clients see of a certificate, as ``ssl.SSLSocket.getpeercert`` describes it.

    The ssl module describes certificates of peers only; so a client that trusts nothing else is shown it, in memory.

    Args:
        shown: The context that shows it.
        certificate: Its file.

    Raises:
        ValueError: If it cannot serve as one of a server.
    """
    found = _CERTIFICATE.search(_read(certificate).decode("latin-1"))
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
    try:
        client.load_verify_locations(cadata=found[0] if found is not None else "")
        return _shaken_hands(client, shown)
    except ssl.SSLError as error:
        msg = f"{str(certificate)!r} is no certificate for a server: {_why(error)}"
        raise ValueError(msg) from error


def dns_names(description: Mapping[str, object]) -> tuple[str, ...]:
    """Return the DNS names in a certificate, lower-case, ``*.example.com`` too (RFC 6125 section 6.4)."""
    names = description.get("subjectAltName", ())
    assert isinstance(names, tuple)  # noqa: S101 - so it is documented
    return tuple(name.lower() for kind, name in names if kind == "DNS")


def _shaken_hands(client: ssl.SSLContext, server: ssl.SSLContext) -> Mapping[str, object]:
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(to_client, to_server)
    answering = server.wrap_bio(to_server, to_client, server_side=True)
    waiting = [asking, answering]
    for _ in range(_MAX_FLIGHTS):
        for end in list(waiting):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(end)
        if asking not in waiting:
            return asking.getpeercert() or {}
    msg = "the handshake did not end"
    raise ssl.SSLError(msg)


def _digest(path: Path) -> bytes | None:
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        msg = f"{str(path)!r} cannot be read: {error.strerror}; check the path and its permissions"
        raise ValueError(msg) from error


def _why(error: OSError) -> str:
    reason = getattr(error, "reason", None)
    return str(reason).lower().replace("_", " ") if reason else str(error)
