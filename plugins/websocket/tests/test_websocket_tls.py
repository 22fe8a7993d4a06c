"""TLS of the port for WebSockets: what `frontend.http.tls` can do, with certificates of its own."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidMessage, InvalidStatus

from gateway.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.testing import RunningGateway

pytestmark = pytest.mark.anyio

TURNED_AWAY = (ssl.SSLError, ConnectionError, InvalidMessage)
"""An alert gets lost where the loop cuts the connection right behind it."""


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def partner(authority: trustme.CA) -> trustme.LeafCert:
    return authority.issue_cert("partner.example", common_name="partner")


@pytest.fixture
def pair(tmp_path: Path, authority: trustme.CA) -> Callable[..., dict[str, Any]]:
    """Write a certificate: ``pair("chat.example")`` returns its keys of the configuration."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))

    def write(name: str, *, file: str = "") -> dict[str, Any]:
        issued = authority.issue_cert(name)
        file = file or name
        issued.private_key_pem.write_to_path(str(tmp_path / f"{file}.key"))
        (tmp_path / f"{file}.pem").write_bytes(b"".join(each.bytes() for each in issued.cert_chain_pems))
        return {"certFile": f"{file}.pem", "keyFile": f"{file}.key"}

    return write


def client(authority: trustme.CA, certificate: trustme.LeafCert | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    if certificate is not None:
        certificate.configure_cert(context)
    return context


async def echoed(gateway: RunningGateway, name: str, tls: ssl.SSLContext, *, host: str = "") -> Any:
    """Send a message through a WebSocket to ``name``; returns the names of the certificate that was shown."""
    port = gateway.gateway.addresses[1][1]
    uri = f"wss://{host or name}:{port}/"
    async with connect(uri, ssl=tls, host="127.0.0.1", port=port, server_hostname=name, proxy=None) as socket:
        await socket.send("hello")
        assert await socket.recv() == "hello"
        return socket.transport.get_extra_info("peercert")["subjectAltName"]


def own(**tls: Any) -> dict[str, Any]:
    return {"host": "127.0.0.1", "port": 0, "tls": tls}


async def test_the_certificate_is_chosen_by_name(
    websocket_gateway: Any, echo_service: Any, pair: Any, authority: trustme.CA
) -> None:
    tls = own(**pair("chat.example"), certificates=[pair("news.example"), pair("*.teams.example", file="teams")])
    gateway = await websocket_gateway(echo_service, tls)
    for name, shown in (("chat.example", ""), ("news.example", ""), ("red.teams.example", "*.teams.example")):
        assert await echoed(gateway, name, client(authority)) == (("DNS", shown or name),)


async def test_unknown_names_may_be_refused(
    websocket_gateway: Any, echo_service: Any, pair: Any, authority: trustme.CA
) -> None:
    gateway = await websocket_gateway(echo_service, own(certificates=[pair("chat.example")], sniStrict=True))
    assert await echoed(gateway, "chat.example", client(authority))
    with pytest.raises(TURNED_AWAY):
        await echoed(gateway, "other.example", client(authority))


async def test_clients_must_show_a_certificate(
    websocket_gateway: Any, echo_service: Any, pair: Any, authority: trustme.CA, partner: trustme.LeafCert
) -> None:
    tls = own(**pair("chat.example"), clientAuth="require", clientCAFile="ca.pem")
    gateway = await websocket_gateway(echo_service, tls)
    with pytest.raises(TURNED_AWAY):
        await echoed(gateway, "chat.example", client(authority))
    assert await echoed(gateway, "chat.example", client(authority, partner))


async def test_who_they_are_is_known_behind_it(
    gateway_factory: Any, upstream: Any, pair: Any, authority: trustme.CA, partner: trustme.LeafCert
) -> None:
    tls = own(**pair("chat.example"), clientAuth="request", clientCAFile="ca.pem")
    frontend = {"websocket": tls, "http": {"forwardClientCert": "certificate"}}
    gateway = await gateway_factory(
        {"frontend": frontend}, upstream=upstream, rule={"path": "/*", "protocol": "websocket"}
    )
    for context, is_known in ((client(authority), False), (client(authority, partner), True)):
        with pytest.raises(InvalidStatus):  # the service speaks no WebSocket
            await echoed(gateway, "chat.example", context)
        assert (upstream.requests[-1].get("client-cert") is not None) is is_known


async def test_some_names_may_be_for_clients_with_a_certificate_alone(
    websocket_gateway: Any, echo_service: Any, pair: Any, authority: trustme.CA, partner: trustme.LeafCert
) -> None:
    guarded = {**pair("partners.example"), "clientAuth": "require"}
    tls = own(**pair("chat.example"), certificates=[guarded], clientAuth="request", clientCAFile="ca.pem")
    gateway = await websocket_gateway(echo_service, tls)
    stranger = client(authority)
    assert await echoed(gateway, "chat.example", stranger)
    assert await echoed(gateway, "partners.example", client(authority, partner))
    for name, host in (("partners.example", ""), ("chat.example", "partners.example")):
        with pytest.raises(InvalidStatus) as refused:
            await echoed(gateway, name, stranger, host=host)
        assert refused.value.response.status_code == 403


async def test_versions_and_suites(websocket_gateway: Any, echo_service: Any, pair: Any, authority: trustme.CA) -> None:
    suite = "ECDHE-RSA-AES256-GCM-SHA384"
    tls = own(**pair("chat.example"), maxVersion="1.2", cipherSuites=["ECDHE-ECDSA-AES256-GCM-SHA384", suite])
    gateway = await websocket_gateway(echo_service, tls)
    assert await echoed(gateway, "chat.example", client(authority))
    newest = client(authority)
    newest.minimum_version = ssl.TLSVersion.TLSv1_3
    with pytest.raises(TURNED_AWAY):
        await echoed(gateway, "chat.example", newest)


async def test_a_new_certificate_counts_at_a_reload(
    websocket_gateway: Any, echo_service: Any, pair: Any, authority: trustme.CA
) -> None:
    gateway = await websocket_gateway(echo_service, own(**pair("chat.example", file="own")))
    assert await echoed(gateway, "chat.example", client(authority))
    pair("news.example", file="own")
    await gateway.gateway.reload()
    assert await echoed(gateway, "news.example", client(authority))


@pytest.mark.parametrize(
    ("tls", "why"),
    [
        ({"clientAuth": "require"}, "needs clientCAFile"),
        ({"clientAuth": "requireAny"}, "prove nothing"),
        ({"minVersion": "1.1"}, "is not spoken any more"),
        ({"minVersion": "1.3", "maxVersion": "1.2"}, "is below minVersion"),
        ({"port": 8443}, "unknown key"),
        ({"keyFile": "ca.pem"}, "are not a certificate and its key"),
        ({"certFile": "missing.pem"}, "cannot be read"),
    ],
)
async def test_what_cannot_be_keeps_the_gateway_from_starting(
    websocket_gateway: Any, echo_service: Any, pair: Any, tls: dict[str, Any], why: str
) -> None:
    with pytest.raises(ConfigurationError, match=why):
        await websocket_gateway(echo_service, own(**{**pair("chat.example"), **tls}))
