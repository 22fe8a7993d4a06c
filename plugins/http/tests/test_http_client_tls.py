"""TLS towards clients: which certificate is shown, who must show one, reloads, and what strangers may send."""

import asyncio
import base64
import contextlib
import datetime
import logging
import os
import socket
import ssl
import warnings

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.config import load_configuration
from gateway.errors import ConfigurationError

pytestmark = pytest.mark.anyio

PEM = serialization.Encoding.PEM
LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
TURNED_AWAY = (ssl.SSLError, ConnectionError)
"""An alert gets lost where the loop cuts the connection right behind it."""
YESTERDAY = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)


def get(host="gw", *fields):
    lines = ["GET / HTTP/1.1", f"Host: {host}", *fields]
    return "\r\n".join([*lines, "", ""]).encode()


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def clients_authority():
    return trustme.CA(organization_name="Partners")


@pytest.fixture(scope="module")
def partner(clients_authority):
    return clients_authority.issue_cert("partner.example", common_name="partner")


@pytest.fixture
def folder(tmp_path, authority, clients_authority):
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    clients_authority.cert_pem.write_to_path(tmp_path / "clients.pem")
    return tmp_path


@pytest.fixture
def pair(folder, authority):
    """Write a certificate: ``pair("shop", "shop.example")`` returns its keys of the configuration."""

    def write(name, *names, issuer=authority, **options):
        certificate = issuer.issue_cert(*names, **options)
        certificate.private_key_pem.write_to_path(folder / f"{name}.key")
        (folder / f"{name}.pem").write_bytes(b"".join(pem.bytes() for pem in certificate.cert_chain_pems))
        return {"certFile": f"{name}.pem", "keyFile": f"{name}.key"}

    return write


@pytest.fixture
def asking(authority):
    """What a client needs: ``asking("shop.example", shows=certificate)``."""

    def options(name="127.0.0.1", *, shows=None, **settings):
        context = ssl.create_default_context()
        authority.configure_trust(context)
        if shows is not None:
            shows.configure_cert(context)
        for key, value in settings.items():
            setattr(context, key, value)
        return {"ssl": context, "server_hostname": name}

    return options


async def shown(gateway, options):
    """Return the DNS names of the certificate that a client is shown."""
    client = await gateway.connect(**options)
    certificate = client.writer.get_extra_info("peercert")
    await client.close()
    return [name for kind, name in certificate["subjectAltName"] if kind == "DNS"]


def failures(gateway):
    """Return the handshakes that failed, by reason."""
    families = {family.name: family for family in gateway.plane._metrics.snapshot()}
    return {labels[0]: value for labels, value in families["gateway_tls_handshake_failures_total"].series.items()}


async def reload(gateway, path):
    """Read the configuration again, as after a signal."""
    await gateway.plane.prepare(load_configuration(path, environ={}))
    await gateway.plane.commit()


async def refused_in_handshake(gateway, options):
    """Tell whether a client is turned away before it can ask; with TLS 1.3 it learns so when it reads."""
    try:
        client = await gateway.connect(**options)
        await client.ask(get())
    except (*TURNED_AWAY, EOFError):
        return True
    return False


# Several certificates.


@pytest.fixture
async def names(start_gateway, service, pair):
    certificates = [
        pair("shop", "shop.example", "www.shop.example"),
        pair("wild", "*.wild.example"),
        {**pair("other", "anything.example"), "hosts": ["Said.Example."]},
    ]
    return await start_gateway(service, http={"tls": {**pair("first", "first.example"), "certificates": certificates}})


async def test_the_certificate_is_that_of_the_name_that_is_asked_for(names, asking):
    expected = {
        "shop.example": ["shop.example", "www.shop.example"],
        "www.shop.example": ["shop.example", "www.shop.example"],
        "SHOP.example": ["shop.example", "www.shop.example"],
        "a.wild.example": ["*.wild.example"],
        "said.example": ["anything.example"],
        "anything.example": ["first.example"],  # hosts replaces what the certificate says
        "first.example": ["first.example"],
        "wild.example": ["first.example"],
        "a.b.wild.example": ["first.example"],
        "unknown.example": ["first.example"],
        "127.0.0.1": ["first.example"],  # an address is no name to ask for (RFC 6066 section 3)
    }
    found = {}
    for name in expected:
        options = asking(name)
        options["ssl"].check_hostname = False
        found[name] = await shown(names, options)
    assert found == expected


async def test_unknown_names_are_refused_if_the_listener_is_strict(start_gateway, service, pair, asking):
    tls = {"certificates": [pair("shop", "shop.example")], "sniStrict": True}
    gateway = await start_gateway(service, http={"tls": tls})
    assert await shown(gateway, asking("shop.example")) == ["shop.example"]
    for name in ("other.example", "127.0.0.1"):
        with pytest.raises(TURNED_AWAY):
            await gateway.connect(**asking(name))
    assert failures(gateway) == {"unknown_name": 2}


async def test_names_a_stranger_makes_up_cost_one_connection(names, asking, eventually):
    """Bytes that are no name at all, sent in a handshake by hand."""
    for name in (b"\xff\xfe.example", b"", b"a" * 255, b"shop.example\x00.evil", b"*.wild.example", b"."):
        reader, writer = await asyncio.open_connection(*names.address)
        writer.write(client_hello(name))
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(reader.read(1), 5)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    assert await shown(names, asking("shop.example")) == ["shop.example", "www.shop.example"]


def client_hello(name):
    """A ClientHello of TLS 1.2 that asks for ``name`` (RFC 5246 section 7.4.1.2, RFC 6066 section 3)."""

    def sized(data, length):
        return len(data).to_bytes(length, "big") + data

    server_name = b"\x00\x00" + sized(sized(b"\x00" + sized(name, 2), 2), 2)
    groups = b"\x00\x0a" + sized(sized(b"\x00\x17", 2), 2)
    signatures = b"\x00\x0d" + sized(sized(b"\x04\x03\x08\x04", 2), 2)
    body = b"\x03\x03" + bytes(32) + b"\x00" + sized(b"\xc0\x2b\xc0\x2f", 2) + b"\x01\x00"
    body += sized(server_name + groups + signatures, 2)
    return b"\x16\x03\x01" + sized(b"\x01" + sized(body, 3), 2)


# What is spoken.


async def test_versions_are_those_of_the_configuration(start_gateway, service, pair, asking):
    server = pair("server", "127.0.0.1")
    old = await start_gateway(service, http={"tls": {**server, "maxVersion": 1.2}})
    client = await old.connect(**asking())
    assert client.writer.get_extra_info("ssl_object").version() == "TLSv1.2"
    new = await start_gateway(service, http={"tls": {**server, "minVersion": "TLS1.3"}})
    with pytest.raises(TURNED_AWAY):
        await new.connect(**asking(maximum_version=ssl.TLSVersion.TLSv1_2))
    assert failures(new) == {"version": 1}


async def test_cipher_suites_are_those_of_the_configuration_in_its_order(start_gateway, service, pair, asking):
    wanted = ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"]
    tls = {**pair("server", "127.0.0.1"), "cipherSuites": wanted, "maxVersion": "1.2"}
    gateway = await start_gateway(service, http={"tls": tls})

    async def chosen(ciphers):
        options = asking()
        options["ssl"].set_ciphers(ciphers)
        client = await gateway.connect(**options)
        return client.writer.get_extra_info("cipher")[0]

    assert (
        await chosen("ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384") == "ECDHE-ECDSA-AES256-GCM-SHA384"
    )
    with pytest.raises(TURNED_AWAY):
        await chosen("ECDHE-ECDSA-CHACHA20-POLY1305")
    gateway = await start_gateway(service, http={"tls": {**tls, "preferServerCipher": False}})
    assert (
        await chosen("ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384") == "ECDHE-ECDSA-AES128-GCM-SHA256"
    )


async def test_defaults_are_what_scanners_call_an_a(start_gateway, service, pair, asking):
    """What sslyze and testssl look at: versions, forward secrecy, authenticated encryption, the server's preference."""
    gateway = await start_gateway(service, http={"tls": pair("server", "127.0.0.1")})
    (listener,) = gateway.adapter.listeners()
    context = listener.tls
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert {cipher["name"][:6] for cipher in context.get_ciphers() if cipher["protocol"] == "TLSv1.2"} == {"ECDHE-"}
    assert all(cipher["aead"] and cipher["strength_bits"] >= 128 for cipher in context.get_ciphers())
    for option in (ssl.OP_NO_RENEGOTIATION, ssl.OP_NO_COMPRESSION, ssl.OP_CIPHER_SERVER_PREFERENCE):
        assert context.options & option
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # old versions are, which is what this is about
        weak = asking(minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1)
    weak["ssl"].set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(TURNED_AWAY):
        await gateway.connect(**weak)
    for ciphers in (
        "AES128-SHA:AES256-SHA",
        "ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA",
        "DHE-RSA-AES128-GCM-SHA256",
    ):
        options = asking(maximum_version=ssl.TLSVersion.TLSv1_2)
        options["ssl"].set_ciphers(ciphers)
        with pytest.raises(TURNED_AWAY):
            await gateway.connect(**options)
    client = await gateway.connect(**asking())
    assert client.writer.get_extra_info("compression") is None


async def test_http_1_is_what_is_chosen_of_what_a_client_offers(start_gateway, service, pair, asking):
    gateway = await start_gateway(service, http={"tls": pair("server", "127.0.0.1")})
    options = asking()
    options["ssl"].set_alpn_protocols(["spdy/3", "http/1.1"])
    client = await gateway.connect(**options)
    assert client.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"


# Certificates of clients.


def verifying(pair, **more):
    return {**pair("server", "127.0.0.1"), "clientCAFile": "clients.pem", "clientAuth": "require", **more}


async def test_a_client_must_show_a_certificate_of_an_authority_that_is_trusted(
    start_gateway, service, folder, pair, asking, partner, authority, clients_authority
):
    gateway = await start_gateway(service, http={"tls": verifying(pair)})
    assert not await refused_in_handshake(gateway, asking(shows=partner))
    expired = clients_authority.issue_cert("old.example", not_before=LONG_AGO, not_after=YESTERDAY)
    stranger = authority.issue_cert("stranger.example")
    self_signed = trustme.CA().issue_cert("partner.example", common_name="partner")
    for shows in (None, expired, stranger, self_signed):
        assert await refused_in_handshake(gateway, asking(shows=shows))
    assert failures(gateway) == {"no_certificate": 1, "bad_certificate": 3}
    assert len(service.requests) == 1


async def test_a_client_may_show_a_certificate_and_then_it_is_verified(
    start_gateway, service, folder, pair, asking, partner, authority
):
    gateway = await start_gateway(service, http={"tls": verifying(pair, clientAuth="request")})
    for shows in (None, partner):
        assert not await refused_in_handshake(gateway, asking(shows=shows))
    assert await refused_in_handshake(gateway, asking(shows=authority.issue_cert("stranger.example")))


async def test_a_refused_client_is_one_line_in_the_log(start_gateway, service, folder, pair, asking, caplog):
    gateway = await start_gateway(service, http={"tls": verifying(pair)})
    with caplog.at_level(logging.DEBUG, "gateway"):
        assert await refused_in_handshake(gateway, asking())
    (line,) = [record for record in caplog.records if record.name == "gateway.tls"]
    assert line.getMessage().startswith("TLS handshake with 127.0.0.1 failed (no_certificate)")
    assert line.exc_info is None


async def test_further_authorities_and_revoked_certificates(
    start_gateway, service, folder, pair, asking, partner, authority, clients_authority
):
    """One more file of authorities, and a list with the number of a certificate that was taken back."""
    write_revocations(folder / "revoked.pem", clients_authority, [])
    more = {"clientCAs": ["clients.pem"], "clientCAFile": "ca.pem"}
    gateway = await start_gateway(service, http={"tls": verifying(pair, **more)})
    for shows in (partner, authority.issue_cert("ours.example")):
        assert not await refused_in_handshake(gateway, asking(shows=shows))
    gateway = await start_gateway(service, http={"tls": verifying(pair, clientCRLFile="revoked.pem")})
    assert not await refused_in_handshake(gateway, asking(shows=partner))
    write_revocations(folder / "revoked.pem", clients_authority, [partner])
    await reload(gateway, folder / "gateway-1.yaml")
    assert await refused_in_handshake(gateway, asking(shows=partner))
    assert not await refused_in_handshake(gateway, asking(shows=clients_authority.issue_cert("next.example")))


def write_revocations(path, issuer, revoked):
    ca = x509.load_pem_x509_certificate(issuer.cert_pem.bytes())
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateRevocationListBuilder().issuer_name(ca.subject).last_update(YESTERDAY)
    builder = builder.next_update(now + datetime.timedelta(days=1))
    for each in revoked:
        number = x509.load_pem_x509_certificate(each.cert_chain_pems[0].bytes()).serial_number
        entry = x509.RevokedCertificateBuilder().serial_number(number).revocation_date(YESTERDAY).build()
        builder = builder.add_revoked_certificate(entry)
    key = serialization.load_pem_private_key(issuer.private_key_pem.bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    path.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(PEM))


async def test_some_names_may_need_a_certificate_whatever_name_the_connection_was_opened_for(
    start_gateway, service, folder, pair, asking, partner
):
    """RFC 9110 section 7.4: who asks for one name and then for another must not come in by the wrong door."""
    certificates = [pair("public", "public.example"), {**pair("api", "api.example"), "clientAuth": "require"}]
    tls = {"certificates": certificates, "clientAuth": "request", "clientCAFile": "clients.pem", "port": 0}
    gateway = await start_gateway(service, http={"tls": tls})
    plain, secure = gateway.plane.addresses()
    assert (await gateway.ask(get("api.example"), address=plain)).status == 421

    async def connected(name, **options):
        return await gateway.connect(address=secure, **asking(name, **options))

    public = await connected("public.example")
    assert (await public.ask(get("public.example"))).status == 200
    assert (await public.ask(get("api.example:8443"))).status == 421
    for host in ("API.example", "api.example."):
        assert (await (await connected("public.example")).ask(get(host))).status == 421
    for target in (b"https://api.example/", b"https://API.example:443/"):
        absolute = await connected("public.example")
        assert (await absolute.ask(b"GET %b HTTP/1.0\r\n\r\n" % target)).status == 421
    anonymous = await connected("api.example")
    assert (await anonymous.ask(get("api.example"))).status == 403
    assert len(service.requests) == 1
    known = await connected("public.example", shows=partner)
    for host in ("api.example", "public.example"):
        assert (await known.ask(get(host))).status == 200


# What services learn (RFC 9440).


def field_of(certificate):
    der = ssl.PEM_cert_to_DER_cert(certificate.cert_chain_pems[0].bytes().decode())
    return f":{base64.b64encode(der).decode()}:"


FORGED = ("Client-Cert: :Zm9yZ2Vk:", "client-cert-chain: :Zm9yZ2Vk:", "Client_Cert: :Zm9yZ2Vk:")


@pytest.mark.parametrize("told", ["none", "certificate", "chain"])
async def test_services_learn_of_the_certificate_and_never_of_one_that_a_client_made_up(
    start_gateway, service, folder, pair, asking, partner, clients_authority, told
):
    http = {"tls": verifying(pair, clientAuth="request"), "forwardClientCert": told}
    gateway = await start_gateway(service, http=http)
    anonymous = await gateway.connect(**asking())
    await anonymous.ask(get("gw", *FORGED))
    known = await gateway.connect(**asking(shows=partner))
    await known.ask(get("gw", *FORGED))
    first, second = service.requests
    assert not [name for name, _ in first.fields if "cert" in name]
    expected = {} if told == "none" else {"client-cert": field_of(partner)}
    if told == "chain":
        der = ssl.PEM_cert_to_DER_cert(clients_authority.cert_pem.bytes().decode())
        expected["client-cert-chain"] = f":{base64.b64encode(der).decode()}:"
    assert {name: value for name, value in second.fields if "cert" in name} == expected


@pytest.mark.parametrize("trusted", [[], ["127.0.0.1"]])
async def test_certificates_from_a_proxy_count_if_it_is_trusted_and_they_are_wanted(start_gateway, service, trusted):
    for told in ("none", "certificate"):
        gateway = await start_gateway(service, http={"trustedProxies": trusted, "forwardClientCert": told})
        await gateway.ask(get("gw", *FORGED))
        await gateway.ask(get("gw", FORGED[0], FORGED[0]))
    off, _, on, twice = service.requests
    assert "client-cert" not in off
    assert "client-cert" not in twice
    assert on.all("client-cert") == ([":Zm9yZ2Vk:"] if trusted else [])


async def test_trailers_cannot_bring_a_certificate(start_gateway, service):
    gateway = await start_gateway(service)
    chunked = b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nClient-Cert: :Zm9yZ2Vk:\r\nx-other: 1\r\n\r\n"
    assert (await gateway.ask(b"POST / HTTP/1.1\r\nHost: gw\r\n" + chunked)).status == 200
    assert dict(service.requests[0].trailers) == {"x-other": "1"}


# Reloads.


async def test_a_reload_shows_new_certificates_and_open_connections_live_on(
    start_gateway, service, folder, pair, asking
):
    certificates = [pair("shop", "shop.example")]
    http = {"tls": {**pair("server", "127.0.0.1", "old.example"), "certificates": certificates}}
    gateway = await start_gateway(service, http=http)
    open_one = await gateway.connect(**asking())
    await open_one.ask(get())
    pair("server", "127.0.0.1", "new.example")
    pair("shop", "shop.example", "more.example")
    await reload(gateway, folder / "gateway-0.yaml")
    assert await shown(gateway, asking()) == ["new.example"]
    assert await shown(gateway, asking("more.example")) == ["shop.example", "more.example"]
    assert await open_one.is_open()


async def test_a_broken_certificate_changes_nothing(start_gateway, service, folder, pair, asking):
    gateway = await start_gateway(service, http={"tls": pair("server", "127.0.0.1", "good.example")})
    for content in (b"", b"-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n", None):
        if content is None:
            os.remove(folder / "server.pem")
        else:
            (folder / "server.pem").write_bytes(content)
        with pytest.raises(ConfigurationError, match=r"server\.pem"):
            await reload(gateway, folder / "gateway-0.yaml")
        assert await shown(gateway, asking()) == ["good.example"]
    pair("server", "127.0.0.1", "mended.example")
    await reload(gateway, folder / "gateway-0.yaml")
    assert await shown(gateway, asking()) == ["mended.example"]


async def test_an_authority_that_is_replaced_counts_no_more_even_for_sessions_that_are_resumed(
    start_gateway, service, folder, pair, asking, partner
):
    gateway = await start_gateway(service, http={"tls": verifying(pair)})
    session, _ = await asyncio.to_thread(resume, gateway.address, asking(shows=partner)["ssl"], None)
    trustme.CA().cert_pem.write_to_path(folder / "clients.pem")
    await reload(gateway, folder / "gateway-0.yaml")
    options = asking(shows=partner)
    assert await refused_in_handshake(gateway, options)
    with pytest.raises(TURNED_AWAY):
        await asyncio.to_thread(resume, gateway.address, asking(shows=partner)["ssl"], None)
    assert session is not None


def resume(address, context, session):
    """Ask once over a connection that may resume a session; returns its session, and whether it did resume."""
    with socket.create_connection(address, 5) as plain:
        context.maximum_version = ssl.TLSVersion.TLSv1_2  # in 1.3 tickets come later, and are harder to get at
        with context.wrap_socket(plain, server_hostname="127.0.0.1", session=session) as secure:
            secure.sendall(get())
            if not secure.recv(100):
                raise ConnectionResetError
            return secure.session, secure.session_reused


async def test_sessions_are_resumed_also_after_a_reload_that_leaves_tls_alone(
    start_gateway, service, folder, pair, asking
):
    gateway = await start_gateway(service, http={"tls": pair("server", "127.0.0.1")})
    context = asking()["ssl"]
    session, is_resumed = await asyncio.to_thread(resume, gateway.address, context, None)
    assert not is_resumed
    path = folder / "gateway-0.yaml"
    path.write_text(path.read_text().replace('"port": 0,', '"port": 0, "idleTimeout": 5,', 1))
    await reload(gateway, path)
    session, is_resumed = await asyncio.to_thread(resume, gateway.address, context, session)
    assert is_resumed


# What strangers and operators get wrong.


async def test_garbage_and_silence_keep_nobody_out(start_gateway, service, pair, asking, eventually):
    """500 clients that begin a handshake and go silent, and some that send anything else."""
    tls = {**pair("server", "127.0.0.1"), "handshakeTimeout": "0.5s"}
    gateway = await start_gateway(service, http={"tls": tls})
    silent = []
    for number in range(500):
        _, writer = await asyncio.open_connection(*gateway.address)
        writer.write(b"\x16\x03\x01\x02\x00\x01" if number % 2 else b"")
        silent.append(writer)
    for garbage in (b"GET / HTTP/1.1\r\nHost: gw\r\n\r\n", os.urandom(2000), b"\x16\x03\x01\xff\xff" + bytes(70_000)):
        _, writer = await asyncio.open_connection(*gateway.address)
        writer.write(garbage)
        silent.append(writer)
    client = await gateway.connect(**asking())
    assert (await client.ask(get())).status == 200
    await eventually(lambda: failures(gateway).get("timeout", 0) >= 500)
    assert failures(gateway)["not_tls"] >= 1
    assert gateway.plane.connections() == 1
    for writer in silent:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_what_came_with_the_end_of_the_handshake_is_not_lost(start_gateway, service, pair, asking):
    """A client may send its request together with the last bytes of its handshake."""
    gateway = await start_gateway(service, http={"tls": pair("server", "127.0.0.1")})
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = asking()["ssl"].wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    reader, writer = await asyncio.open_connection(*gateway.address)
    while True:
        try:
            client.do_handshake()
            break
        except ssl.SSLWantReadError:
            writer.write(outgoing.read())
            incoming.write(await reader.read(65536))
    client.write(get())
    writer.write(outgoing.read())
    answer = b""
    while b"\r\n\r\nok" not in answer:
        try:
            answer += client.read(65536)
        except ssl.SSLWantReadError:
            incoming.write(await asyncio.wait_for(reader.read(65536), 5))
    assert answer.startswith(b"HTTP/1.1 200")
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def test_an_expired_certificate_is_shown_with_a_warning(start_gateway, service, pair, asking, caplog):
    tls = pair("server", "127.0.0.1", not_before=LONG_AGO, not_after=YESTERDAY)
    with caplog.at_level(logging.WARNING, "gateway"):
        gateway = await start_gateway(service, http={"tls": tls})
    assert "has expired" in caplog.text
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        await gateway.connect(**asking())


async def refusal(start_gateway, tls):
    with pytest.raises(ConfigurationError) as refused:
        await start_gateway(http={"tls": tls})
    return str(refused.value)


async def test_files_that_cannot_be_used_stop_the_start(start_gateway, folder, pair):
    good, other = pair("good", "127.0.0.1"), pair("other", "127.0.0.1")
    (folder / "empty.pem").write_bytes(b"")
    encrypt(folder / "good.key", folder / "encrypted.key")
    assert "is not that of the first certificate" in await refusal(start_gateway, {**good, "keyFile": other["keyFile"]})
    assert "is encrypted; decrypt it" in await refusal(start_gateway, {**good, "keyFile": "encrypted.key"})
    assert "holds no PEM certificate" in await refusal(start_gateway, {**good, "certFile": "empty.pem"})
    assert "No such file" in await refusal(start_gateway, {**good, "certFile": "missing.pem"})
    more = {"clientAuth": "require", "clientCAFile": "empty.pem"}
    assert "clientCAFile" in await refusal(start_gateway, {**good, **more})
    nameless = pair("nameless", "10.0.0.1")
    assert "say in 'hosts'" in await refusal(start_gateway, {**good, "certificates": [nameless]})


def encrypt(source, target):
    key = serialization.load_pem_private_key(source.read_bytes(), None)
    sealed = serialization.BestAvailableEncryption(b"secret")
    target.write_bytes(key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, sealed))
