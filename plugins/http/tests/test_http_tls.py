"""TLS on both sides. Who is verified how is tested here; everything else about messages is the same as without."""

import asyncio
import logging
import ssl
import time

import pytest
import trustme

pytestmark = pytest.mark.anyio

GET = b"GET / HTTP/1.1\r\nHost: gw\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def files(authority, tmp_path_factory):
    """PEM files: of the authority, of the gateway as a server, and of the gateway as a client."""
    folder = tmp_path_factory.mktemp("tls")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    for name, identity in (("server", "127.0.0.1"), ("client", "gateway.example")):
        certificate = authority.issue_cert(identity)
        certificate.private_key_pem.write_to_path(folder / f"{name}.key")
        certificate.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")
    return folder


def serving(files, **more):
    return {"certFile": str(files / "server.pem"), "keyFile": str(files / "server.key"), **more}


@pytest.fixture
def trusting(authority):
    """What a client needs that trusts the authority."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return {"ssl": context, "server_hostname": "127.0.0.1"}


# Towards clients.


@pytest.fixture
async def secure(start_gateway, service, files):
    return await start_gateway(service, http={"tls": serving(files)})


async def test_clients_over_tls(secure, service, trusting):
    client = await secure.connect(**trusting)
    for _ in range(3):
        assert (await client.ask(GET)).status == 200
    assert service.requests[0]["x-forwarded-proto"] == "https"
    assert service.requests[0]["forwarded"] == "for=127.0.0.1;proto=https;host=gw"
    assert client.writer.get_extra_info("ssl_object").version() == "TLSv1.3"


async def test_plain_and_tls_at_once(start_gateway, service, files, trusting):
    gateway = await start_gateway(service, http={"tls": serving(files, port=0)})
    plain, secure = gateway.plane.addresses()
    assert (await gateway.ask(GET, address=plain)).status == 200
    assert (await gateway.ask(GET, address=secure, **trusting)).status == 200
    assert [request["x-forwarded-proto"] for request in service.requests] == ["http", "https"]


async def test_bodies_over_tls(secure, service, trusting):
    service.answer = lambda request: (
        b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b"
        % (
            len(request.body),
            request.body,
        )
    )
    body = bytes(range(256)) * 4000
    client = await secure.connect(**trusting)
    for _ in range(2):
        answer = await client.ask(b"POST / HTTP/1.1\r\nHost: gw\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        assert answer.body == body


async def test_a_stream_until_the_end_ends_at_once_over_tls(secure, service, trusting):
    service.answer = lambda request: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    started_s = time.monotonic()
    answer = await secure.ask(b"GET / HTTP/1.0\r\n\r\n", **trusting)
    assert answer.body == b"ok"
    assert time.monotonic() - started_s < 2


async def test_a_refusal_during_an_upload_arrives_over_tls(start_gateway, service, files, trusting):
    gateway = await start_gateway(service, http={"tls": serving(files)}, rule={"path": "/elsewhere"})
    client = await gateway.connect(**trusting)
    await client.send(b"POST / HTTP/1.1\r\nHost: gw\r\nContent-Length: 3000000\r\n\r\n" + bytes(500_000))
    answer = await client.receive()
    assert (answer.status, answer["connection"]) == (404, "close")


async def test_a_tunnel_over_tls(start_gateway, service, files, trusting):
    async def shout(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
        while data := await reader.read(65536):
            writer.write(data.upper())

    service.talk = shout
    gateway = await start_gateway(service, http={"tls": serving(files)}, rule={"allowUpgrade": True})
    client = await gateway.connect(**trusting)
    answer = await client.ask(b"GET / HTTP/1.1\r\nHost: gw\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
    assert answer.status == 101
    await client.send(b"hello" * 20_000)
    assert await client.reader.readexactly(100_000) == b"HELLO" * 20_000
    await client.close()


async def test_plain_bytes_to_the_tls_port_harm_nobody(secure, trusting):
    plain = await secure.connect()
    await plain.send(GET)
    # An alert, if anything, and no answer.
    assert not (await plain.reader.read()).startswith(b"HTTP")
    assert (await secure.ask(GET, **trusting)).status == 200


async def test_tls_to_the_plain_port_is_refused(gateway, service, trusting):
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await gateway.connect(**trusting)
    assert not service.requests


async def test_a_scheme_that_is_not_served_here_is_refused(secure, gateway, trusting):
    assert (await secure.ask(b"GET http://gw/ HTTP/1.1\r\nHost: gw\r\n\r\n", **trusting)).status == 400
    assert (await secure.ask(b"GET https://gw/ HTTP/1.1\r\nHost: gw:443\r\n\r\n", **trusting)).status == 200


async def test_idle_connections_over_tls_are_closed(secure, trusting):
    client = await secure.connect(**trusting)
    await client.ask(GET)
    secure.let_pass(76)
    assert await client.is_closed()


# Towards services.


@pytest.fixture
async def secure_service(service, authority):
    """A service over TLS, whose name is localhost and whose address is 127.0.0.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "service.example").configure_cert(context)
    secure = type(service)()
    secure.asked_names = []
    context.sni_callback = lambda sock, name, context: secure.asked_names.append(name)
    secure.context = context
    await secure.start(ssl=context)
    yield secure
    await secure.stop()


async def to(start_gateway, service, **tls):
    gateway = await start_gateway(backend={"tls": tls})
    gateway.publish(service.address, scheme="https")
    return gateway


async def test_a_service_is_verified_by_the_authorities_that_are_configured(start_gateway, secure_service, files):
    gateway = await to(start_gateway, secure_service, rootCAFile=str(files / "ca.pem"))
    client = await gateway.connect()
    for _ in range(2):
        assert (await client.ask(GET)).status == 200
    assert len(secure_service.connections) == 1


async def test_a_service_that_cannot_be_verified_is_a_bad_gateway(start_gateway, secure_service, caplog):
    gateway = await to(start_gateway, secure_service)
    with caplog.at_level(logging.WARNING, "gateway"):
        answer = await gateway.ask(GET)
    assert answer.status == 502
    assert b"certificate" not in answer.body
    assert "CERTIFICATE_VERIFY_FAILED" in caplog.text
    assert not secure_service.requests


async def test_verification_can_be_turned_off(start_gateway, secure_service, caplog):
    with caplog.at_level(logging.WARNING, "gateway"):
        gateway = await to(start_gateway, secure_service, insecureSkipVerify=True)
    assert "not verified" in caplog.text
    assert (await gateway.ask(GET)).status == 200


async def test_the_name_that_is_asked_for_is_verified(start_gateway, secure_service, files):
    trust = {"rootCAFile": str(files / "ca.pem")}
    gateway = await to(start_gateway, secure_service, **trust, serverName="service.example")
    assert (await gateway.ask(GET)).status == 200
    gateway = await to(start_gateway, secure_service, **trust, serverName="other.example")
    assert (await gateway.ask(GET)).status == 502
    assert secure_service.asked_names == ["service.example", "other.example"]


async def test_the_gateway_shows_its_certificate(start_gateway, secure_service, files, authority):
    authority.configure_trust(secure_service.context)
    secure_service.context.verify_mode = ssl.CERT_REQUIRED
    trust = {"rootCAFile": str(files / "ca.pem")}
    own = {"clientCertFile": str(files / "client.pem"), "clientKeyFile": str(files / "client.key")}
    gateway = await to(start_gateway, secure_service, **trust, **own)
    assert (await gateway.ask(GET)).status == 200
    subject = secure_service.connections[0].writer.get_extra_info("peercert")["subjectAltName"]
    assert subject == (("DNS", "gateway.example"),)
    gateway = await to(start_gateway, secure_service, **trust)
    assert (await gateway.ask(GET)).status == 502


async def test_a_service_that_does_not_speak_tls_is_a_bad_gateway(start_gateway, service):
    gateway = await to(start_gateway, service, insecureSkipVerify=True)
    assert (await gateway.ask(GET)).status == 502
    service.violations.clear()  # a handshake is no request


async def test_a_service_that_hangs_in_the_handshake_is_a_gateway_timeout(start_gateway, service):
    async def hang(reader, writer):
        await asyncio.sleep(60)

    service.talk = hang
    gateway = await start_gateway(backend={"dialTimeout": 0.2})
    gateway.publish(service.address, scheme="https")
    assert (await gateway.ask(GET)).status == 504


async def test_large_bodies_to_a_service_over_tls(start_gateway, secure_service, files):
    secure_service.answer = lambda request: (
        b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b"
        % (
            len(request.body),
            request.body,
        )
    )
    gateway = await to(start_gateway, secure_service, rootCAFile=str(files / "ca.pem"))
    body = bytes(range(256)) * 8000
    answer = await gateway.ask(b"PUT / HTTP/1.1\r\nHost: gw\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    assert answer.body == body
