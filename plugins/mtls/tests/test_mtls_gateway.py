"""Client certificates through a whole gateway, over real connections."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import Any

import pytest
import trustme

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def authority():
    return trustme.CA(organization_name="Example", organization_unit_name="Gateways")


@pytest.fixture(scope="module")
def partners():
    return trustme.CA(organization_name="Partners, Inc.")


@pytest.fixture
def listening(tmp_path, authority, partners):
    """What a gateway needs in ``frontend.http``."""
    server = authority.issue_cert("localhost")
    server.private_key_pem.write_to_path(tmp_path / "server.key")
    server.cert_chain_pems[0].write_to_path(tmp_path / "server.pem")
    (tmp_path / "clients.pem").write_bytes(authority.cert_pem.bytes() + partners.cert_pem.bytes())
    tls = {"certFile": "server.pem", "keyFile": "server.key", "clientAuth": "request", "clientCAFile": "clients.pem"}
    return {key: str(tmp_path / value) if key.endswith("File") else value for key, value in tls.items()}


@pytest.fixture
def asked(authority):
    """Ask once over a connection of its own and return the status and the fields of the answer."""

    async def ask(gateway: Any, certificate: Any = None, path: str = "/", field: str = "") -> tuple[int, str]:
        context = ssl.create_default_context()
        authority.configure_trust(context)
        if certificate is not None:
            certificate.configure_cert(context)
        reader, writer = await asyncio.open_connection(
            *gateway.gateway.addresses[0], ssl=context, server_hostname="localhost"
        )
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{field}Connection: close\r\n\r\n".encode())
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return int(answer.split(b" ")[1]), answer.decode()

    return ask


@pytest.fixture
def started(gateway_factory, upstream, listening):
    async def start(mtls: Any = None, rule: Any = None, **auth: Any) -> Any:
        settings = {
            "frontend": {"http": {"tls": listening}},
            "auth": {"required": True, "mtls": mtls or {}, **auth},
        }
        if rule is not None:
            settings["router"] = {"rules": [{"path": "/*", "serviceName": "service"}, {"path": "/x", **rule}]}
        return await gateway_factory(settings, upstream=upstream)

    return start


async def test_a_client_is_who_its_certificate_names(started, asked, upstream, authority):
    gateway = await started({"type": "device"})
    status, _ = await asked(gateway, authority.issue_cert("sensor-7.example", common_name="other"))
    assert status == 200
    (request,) = upstream.requests
    assert request["x-auth-subject"] == "sensor-7.example"
    assert (request["x-auth-type"], request["x-auth-provider"]) == ("device", "mtls")


async def test_without_a_certificate_it_is_401_with_a_challenge(started, asked, upstream):
    gateway = await started()
    status, answer = await asked(gateway)
    assert status == 401
    assert "www-authenticate: ClientCertificate\r\n" in answer
    assert not upstream.requests


async def test_without_a_certificate_the_next_authenticator_is_asked(started, asked, upstream):
    gateway = await started(providers=["mtls", "apikey"], apiKey={"keys": {"shop": {"key": "shop-key-of-the-test"}}})
    status, _ = await asked(gateway, field="X-API-Key: shop-key-of-the-test\r\n")
    assert status == 200
    assert upstream.requests[0]["x-auth-provider"] == "apikey"


async def test_only_subjects_and_issuers_on_the_lists_may_pass(started, asked, authority, partners):
    gateway = await started({"allowedSubjects": ["*.good.example"], "allowedIssuers": ["*O=Example"]})
    assert (await asked(gateway, authority.issue_cert("a.good.example")))[0] == 200
    for refused in (
        authority.issue_cert("good.example"),
        authority.issue_cert("a.good.example.evil"),
        partners.issue_cert("a.good.example"),
    ):
        status, answer = await asked(gateway, refused)
        assert status == 403
        assert "good.example" not in answer


async def test_scopes_go_by_subject(started, asked, authority):
    mtls = {"defaultScopes": ["read"], "scopes": {"admin.*": ["write"]}}
    gateway = await started(mtls, requiredScopes=["read", "write"])
    assert (await asked(gateway, authority.issue_cert("admin.example")))[0] == 200
    assert (await asked(gateway, authority.issue_cert("user.example")))[0] == 403


async def test_a_rule_may_want_another_issuer(started, asked, authority, partners):
    gateway = await started(
        rule={"serviceName": "service", "auth": {"mtls": {"allowedIssuers": ["*Partners\\, Inc.*"]}}}
    )
    ours, theirs = authority.issue_cert("ours.example"), partners.issue_cert("theirs.example")
    assert [(await asked(gateway, each))[0] for each in (ours, theirs)] == [200, 200]
    assert [(await asked(gateway, each, "/x"))[0] for each in (ours, theirs)] == [403, 200]


async def test_a_principal_cannot_be_made_up_in_a_field(started, asked, upstream):
    gateway = await started()
    status, _ = await asked(gateway, field="Client-Cert: :Zm9yZ2Vk:\r\nX-Auth-Subject: admin\r\n")
    assert status == 401
    assert not upstream.requests
