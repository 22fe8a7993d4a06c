"""``gateway dev-certs``: certificates to try TLS with: an authority, a server and a client."""

from __future__ import annotations

import datetime
import ipaddress
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

__all__ = ["run"]

VALID_FOR = datetime.timedelta(days=365)
SET_BACK = datetime.timedelta(hours=1)
"""For clocks that are late, in containers say."""

FILES = ("ca.pem", "ca-key.pem", "server.pem", "server-key.pem", "client.pem", "client-key.pem")


def run(args: argparse.Namespace) -> int:
    """Write the files and say what to do with them; returns the exit code."""
    try:
        import cryptography  # noqa: F401, PLC0415 - only this command needs it
    except ImportError:
        return _fail("it needs the package 'cryptography':  pip install 'gateway-http[dev-certs]'")
    folder = Path(args.out)
    taken = [name for name in FILES if (folder / name).exists()]
    if taken:
        return _fail(f"{folder} has {', '.join(taken)} already; remove them, or choose another folder with --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_all(folder, args.names, args.client)
    except (OSError, ValueError) as error:
        return _fail(str(error))
    sys.stdout.write(_advice(folder, args.names[0]))
    return 0


def _fail(why: str) -> int:
    sys.stderr.write(f"gateway dev-certs: {why}\n")
    return 1


def _write_all(folder: Path, names: list[str], client: str) -> None:
    from cryptography import x509  # noqa: PLC0415 - only this command needs it
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 - likewise

    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("ca", "server", "client")}
    uri = x509.UniformResourceIdentifier(f"spiffe://gateway.test/{client}")
    made = {
        "ca": _authority(keys["ca"]),
        "server": _issued(keys, "server", names[0], [_name(name) for name in names]),
        "client": _issued(keys, "client", client, [uri]),
    }
    for name, certificate in made.items():
        _write(folder, name, keys[name], certificate)


def _name(text: str) -> x509.GeneralName:
    from cryptography import x509  # noqa: PLC0415 - only this command needs it

    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _authority(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    from cryptography import x509  # noqa: PLC0415 - only this command needs it
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415 - likewise

    return (
        _begun("Gateway development authority", key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(is_authority=True), critical=True)
        .sign(key, hashes.SHA256())
    )


def _issued(
    keys: dict[str, ec.EllipticCurvePrivateKey], purpose: str, common_name: str, names: list[x509.GeneralName]
) -> x509.Certificate:
    from cryptography import x509  # noqa: PLC0415 - only this command needs it
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415 - likewise
    from cryptography.x509.oid import ExtendedKeyUsageOID as Usage  # noqa: PLC0415 - likewise

    purposes = [Usage.SERVER_AUTH if purpose == "server" else Usage.CLIENT_AUTH]
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(keys["ca"].public_key())
    return (
        _begun(common_name, keys[purpose])
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(is_authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(issuer, critical=False)
        .sign(keys["ca"], hashes.SHA256())
    )


def _begun(common_name: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    from cryptography import x509  # noqa: PLC0415 - only this command needs it

    now = datetime.datetime.now(datetime.UTC)
    authority = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Gateway development authority")])
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)]))
        .issuer_name(authority)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SET_BACK)
        .not_valid_after(now + VALID_FOR)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _key_usage(*, is_authority: bool) -> x509.KeyUsage:
    from cryptography import x509  # noqa: PLC0415 - only this command needs it

    return x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write(folder: Path, name: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - only this command needs it

    pem = serialization.Encoding.PEM
    key_pem = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _create(folder / f"{name}-key.pem", key_pem, 0o600)
    _create(folder / f"{name}.pem", certificate.public_bytes(pem), 0o644)


def _create(path: Path, content: bytes, mode: int) -> None:
    """Write a new file; nobody else can read it in between, and none is replaced."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def _advice(folder: Path, name: str) -> str:
    host = f"[{name}]" if ":" in name else name
    return f"""\
{folder} holds certificates for a year, for development only: whoever has ca-key.pem can be anybody.

In gateway.yaml, where paths are relative to it:

gateway:
  frontend:
    http:
      port: 8443
      tls:
        certFile: {folder / "server.pem"}
        keyFile: {folder / "server-key.pem"}
        clientAuth: request            # require: nobody without a certificate
        clientCAFile: {folder / "ca.pem"}

Then:

  curl --cacert {folder / "ca.pem"} https://{host}:8443/
  curl --cacert {folder / "ca.pem"} --cert {folder / "client.pem"} --key {folder / "client-key.pem"} https://{host}:8443/
"""
