from __future__ import annotations

import asyncio
import datetime
import gc
import ipaddress
import ssl
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.anyio


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[str, str]:
    """Give the files of a certificate of 127.0.0.1, which is its own authority, and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "redis")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, private = tmp_path / "redis.pem", tmp_path / "redis-key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return str(certificate), str(private)


@pytest.fixture
def tls_redis(redis_factory: Any, unused_port: Any, certificate: tuple[str, str]) -> Any:
    file, key = certificate
    server = redis_factory(f"tls-cert-file {file}", f"tls-key-file {key}", f"tls-ca-cert-file {file}", "tls-port 0")
    port = unused_port()
    server.client.config_set("tls-port", port)
    return port


@pytest.fixture(autouse=True)
async def _abandoned_handshakes_may_fail() -> AsyncIterator[None]:
    """Forgive uvloop the future of a handshake whose ``connect`` was cancelled before it: nobody can retrieve it."""
    loop = asyncio.get_running_loop()
    report = loop.get_exception_handler()

    def forgive(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if report is not None and not ("future" in context and isinstance(context.get("exception"), ssl.SSLError)):
            report(loop, context)

    loop.set_exception_handler(forgive)
    yield
    gc.collect()
    loop.set_exception_handler(report)


@pytest.mark.parametrize("is_mutual", [True, False])
async def test_redis_over_tls(
    limiter_factory: Any, tls_redis: int, certificate: tuple[str, str], surroundings: Any, *, is_mutual: bool
) -> None:
    file, key = certificate
    tls = {"caFile": file} | ({"certFile": file, "keyFile": key} if is_mutual else {})
    limiter = await limiter_factory(
        limits=10, redis={"host": "127.0.0.1", "port": tls_redis, "tls": tls}, onOutage="allow"
    )
    decision = await limiter.acquire("tls", 1)
    # Redis asks for a certificate of ours; without one there is no connection.
    assert decision.remaining == (9 if is_mutual else 10)
    assert surroundings.metric("gateway_ratelimit_store_outages_total", "redis") == (0 if is_mutual else 1)


async def test_a_certificate_of_a_foreign_authority_is_not_trusted(
    limiter_factory: Any, tls_redis: int, certificate: tuple[str, str], surroundings: Any
) -> None:
    file, key = certificate
    tls = {"certFile": file, "keyFile": key}
    block = {"host": "127.0.0.1", "port": tls_redis}
    await limiter_factory(limits=10, redis={**block, "tls": tls})
    assert surroundings.metric("gateway_ratelimit_store_outages_total", "redis") == 1
    blind = await limiter_factory(
        limits=10, redis={**block, "tls": {**tls, "insecureSkipVerify": True}}, onOutage="deny"
    )
    assert (await blind.acquire("tls", 1)).is_allowed
