"""TLS towards services, where single ones are different from the rest."""

import datetime
import logging
import ssl

import pytest
import trustme

from gateway.config import load_configuration
from gateway.errors import ConfigurationError

pytestmark = pytest.mark.anyio

GET = b"GET / HTTP/1.1\r\nHost: gw\r\n\r\n"


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def folder(tmp_path, authority):
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    certificate = authority.issue_cert("gateway.example")
    certificate.private_key_pem.write_to_path(tmp_path / "gateway.key")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "gateway.pem")
    return tmp_path


@pytest.fixture
async def secure_service(service, authority):
    """Start services over TLS: ``await secure_service(certificate, verify_mode=ssl.CERT_REQUIRED)``."""
    started = []

    async def start(certificate, **settings):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        authority.configure_trust(context)
        for name, value in settings.items():
            setattr(context, name, value)
        secure = type(service)()
        await secure.start(ssl=context)
        started.append(secure)
        return secure

    yield start
    for secure in started:
        await secure.stop()


OWN = {"clientCertFile": "gateway.pem", "clientKeyFile": "gateway.key"}


async def test_a_service_has_what_it_says_and_the_rest_from_above(start_gateway, secure_service, folder, authority):
    service = await secure_service(authority.issue_cert("orders.example"), verify_mode=ssl.CERT_REQUIRED)
    base = {"rootCAFile": "ca.pem"}
    services = {"service": {"tls": {"serverName": "orders.example", **OWN}}}
    gateway = await start_gateway(backend={"tls": base, "services": services})
    gateway.publish(service.address, scheme="https")
    assert (await gateway.ask(GET)).status == 200
    assert service.connections[0].writer.get_extra_info("peercert")["subjectAltName"] == (("DNS", "gateway.example"),)


async def test_other_services_do_not_have_it(start_gateway, secure_service, folder, authority, caplog):
    service = await secure_service(authority.issue_cert("127.0.0.1"))
    services = {"another": {"tls": {"insecureSkipVerify": True, "rootCAFile": "ca.pem"}}}
    with caplog.at_level(logging.WARNING, "gateway"):
        gateway = await start_gateway(backend={"services": services})
    assert "service 'another' are not verified" in caplog.text
    gateway.publish(service.address, scheme="https")
    assert (await gateway.ask(GET)).status == 502


async def test_certificates_that_prove_nothing_are_bad_gateways(start_gateway, secure_service, folder, authority):
    now = datetime.datetime.now(datetime.UTC)
    past = {"not_before": now - datetime.timedelta(days=9), "not_after": now - datetime.timedelta(days=1)}
    for certificate in (
        authority.issue_cert("127.0.0.1", **past),
        authority.issue_cert("elsewhere.example"),
        trustme.CA().issue_cert("127.0.0.1"),
    ):
        service = await secure_service(certificate)
        gateway = await start_gateway(backend={"services": {"service": {"tls": {"rootCAFile": "ca.pem"}}}})
        gateway.publish(service.address, scheme="https")
        answer = await gateway.ask(GET)
        assert answer.status == 502
        assert b"certificate" not in answer.body
        assert not service.requests


async def test_a_reload_sees_other_files_and_refuses_broken_ones(start_gateway, secure_service, folder, authority):
    service = await secure_service(authority.issue_cert("127.0.0.1"))
    gateway = await start_gateway(backend={"services": {"service": {"tls": {"rootCAFile": "other.pem"}}}})
    gateway.publish(service.address, scheme="https")
    assert (await gateway.ask(GET)).status == 502

    async def reload():
        await gateway.plane.prepare(load_configuration(folder / "gateway-0.yaml", environ={}))
        await gateway.plane.commit()

    authority.cert_pem.write_to_path(folder / "other.pem")
    await reload()
    assert (await gateway.ask(GET)).status == 200
    (folder / "other.pem").write_text("nonsense")
    with pytest.raises(ConfigurationError, match="rootCAFile"):
        await reload()
    assert (await gateway.ask(GET)).status == 200


async def test_a_reload_that_finds_the_same_files_keeps_connections(start_gateway, secure_service, folder, authority):
    service = await secure_service(authority.issue_cert("127.0.0.1"))
    gateway = await start_gateway(backend={"tls": {"rootCAFile": "ca.pem"}})
    gateway.publish(service.address, scheme="https")
    for _ in range(2):
        assert (await gateway.ask(GET)).status == 200
        await gateway.plane.prepare(load_configuration(folder / "gateway-0.yaml", environ={}))
        await gateway.plane.commit()
    assert len(service.connections) == 1


async def test_suites_and_versions_towards_a_service(start_gateway, secure_service, folder, authority):
    service = await secure_service(authority.issue_cert("127.0.0.1"), minimum_version=ssl.TLSVersion.TLSv1_3)
    tls = {"rootCAFile": "ca.pem", "maxVersion": "1.2"}
    gateway = await start_gateway(backend={"tls": tls})
    gateway.publish(service.address, scheme="https")
    assert (await gateway.ask(GET)).status == 502
    service = await secure_service(authority.issue_cert("127.0.0.1"))
    suites = ["TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"]
    gateway = await start_gateway(backend={"tls": {**tls, "cipherSuites": suites}})
    gateway.publish(service.address, scheme="https")
    assert (await gateway.ask(GET)).status == 200
    assert service.connections[0].writer.get_extra_info("cipher")[0] == "ECDHE-ECDSA-CHACHA20-POLY1305"
