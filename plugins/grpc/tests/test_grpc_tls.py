"""TLS towards services: whom the gateway believes, and whom it does not."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

import grpc  # type: ignore[import-untyped]  # has no types of its own
import pytest
import trustme

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.testing import Answer, GatewayFactory

pytestmark = pytest.mark.anyio

LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    made = trustme.CA()
    made.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return made


def credentials(certificate: trustme.LeafCert, clients: trustme.CA | None = None) -> Any:
    pair = certificate.private_key_pem.bytes(), b"".join(each.bytes() for each in certificate.cert_chain_pems)
    roots = clients.cert_pem.bytes() if clients is not None else None
    return grpc.ssl_server_credentials([pair], roots, require_client_auth=clients is not None)


async def asked(gateway_factory: GatewayFactory, service: Any, tls: dict[str, Any], **gateway: Any) -> Answer:
    running = await gateway_factory(service.settings(gateway={"backend": {"grpc": {"tls": tls}}, **gateway}))
    answer: Answer = await service.call(running, "Echo")
    return answer


async def test_a_certificate_of_a_trusted_authority(
    gateway_factory: GatewayFactory, serve: Any, authority: trustme.CA
) -> None:
    service = await serve(credentials=credentials(authority.issue_cert("127.0.0.1")))
    assert (await asked(gateway_factory, service, {"rootCAFile": "ca.pem"})).status == 200


async def test_the_name_of_the_certificate_may_be_another(
    gateway_factory: GatewayFactory, serve: Any, authority: trustme.CA
) -> None:
    service = await serve(credentials=credentials(authority.issue_cert("books.internal")))
    tls = {"caFile": "ca.pem", "serverName": "books.internal", "enabled": True}
    service.scheme = "grpc"
    assert (await asked(gateway_factory, service, tls)).status == 200


async def test_new_files_count_at_a_reload(
    gateway_factory: GatewayFactory, serve: Any, authority: trustme.CA, tmp_path: Path
) -> None:
    service = await serve(credentials=credentials(authority.issue_cert("127.0.0.1")))
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "trusted.pem"))
    tls = {"rootCAFile": "trusted.pem"}
    gateway = await gateway_factory(service.settings(gateway={"backend": {"grpc": {"tls": tls}}}))
    assert (await service.call(gateway, "Echo")).status == 502
    authority.cert_pem.write_to_path(str(tmp_path / "trusted.pem"))
    await gateway.gateway.reload()
    assert (await service.call(gateway, "Echo")).status == 200


@pytest.mark.parametrize("what", ["wrong host", "expired", "self-signed", "unknown authority", "no TLS"])
async def test_other_certificates_are_not_believed(
    gateway_factory: GatewayFactory, serve: Any, authority: trustme.CA, what: str
) -> None:
    tls: dict[str, Any] = {"rootCAFile": "ca.pem"}
    if what == "wrong host":
        leaf = authority.issue_cert("other.internal")
    elif what == "expired":
        leaf = authority.issue_cert("127.0.0.1", not_after=LONG_AGO)
    else:
        leaf = trustme.CA().issue_cert("127.0.0.1")
    if what == "self-signed":
        tls = {}
    service = await serve(credentials=None if what == "no TLS" else credentials(leaf))
    service.scheme = "grpcs"
    answer = await asked(gateway_factory, service, tls)
    assert (answer.status, answer.json()["detail"]) == (502, "the service cannot be reached")
    assert not service.received


async def test_the_gateway_shows_its_own_certificate(
    gateway_factory: GatewayFactory, serve: Any, authority: trustme.CA, tmp_path: Path
) -> None:
    service = await serve(credentials=credentials(authority.issue_cert("127.0.0.1"), clients=authority))
    assert (await asked(gateway_factory, service, {"rootCAFile": "ca.pem"})).status == 502
    own = authority.issue_cert("gateway.internal")
    own.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    own.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    tls = {"rootCAFile": "ca.pem", "clientCertFile": "cert.pem", "clientKeyFile": "key.pem"}
    assert (await asked(gateway_factory, service, tls)).status == 200


async def test_one_service_has_tls_of_its_own(
    gateway_factory: GatewayFactory, serve: Any, authority: trustme.CA
) -> None:
    service = await serve(credentials=credentials(authority.issue_cert("books.internal")))
    own = {"rootCAFile": "ca.pem", "serverName": "books.internal"}
    for name, status in (("library", 200), ("another", 502)):
        backend = {"http2": {"services": {name: {"tls": own}}}}
        running = await gateway_factory(service.settings(gateway={"backend": backend}))
        assert (await service.call(running, "Echo")).status == status


@pytest.mark.parametrize(
    ("tls", "said"),
    [
        ({"rootCAFile": "missing.pem"}, "cannot be read: No such file"),
        ({"rootCAFile": "text.pem"}, "cannot be used: .*; it must hold PEM"),
        ({"clientCertFile": "ca.pem"}, "clientCertFile and clientKeyFile belong together"),
        ({"clientCertFile": "ca.pem", "clientKeyFile": "ca.pem"}, "are not a certificate and its key"),
        ({"verify": False}, "unknown key"),
    ],
)
async def test_tls_that_cannot_be_keeps_the_gateway_from_starting(
    gateway_factory: GatewayFactory, service: Any, authority: trustme.CA, tmp_path: Path, tls: dict[str, Any], said: str
) -> None:
    (tmp_path / "text.pem").write_text("hello")
    with pytest.raises(Exception, match=said):
        await asked(gateway_factory, service, tls)
