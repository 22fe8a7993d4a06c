"""TLS on both sides: what is spoken, what is verified, and what is refused."""

import contextlib
import json
import os
import signal
import ssl
import subprocess
import sys
import time

import pytest
import trustme
from tests.conformance.client import Client
from tests.conformance.service import IO_TIMEOUT_S, Connection, Service

from gateway.testing import free_port

GET = b"GET /x HTTP/1.1\r\nHost: gw\r\n\r\n"
START_TIMEOUT_S = 15


class TlsService(Service):
    """A service behind TLS; notes the names it is asked by and the certificates it is shown."""

    def __init__(self, context):
        self.names: list[str | None] = []
        self.certificates: list[object] = []
        self._context = context
        context.sni_callback = lambda _sock, name, _context: self.names.append(name)
        super().__init__()

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.settimeout(IO_TIMEOUT_S)
            try:
                secure = self._context.wrap_socket(sock, server_side=True)
            except OSError:
                sock.close()
                continue
            self.certificates.append(secure.getpeercert())
            # One request a connection: the next exchange shakes hands again.
            with contextlib.suppress(OSError):
                Connection(self, secure).run()


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def files(tmp_path_factory, authority):
    """A folder with the gateway's certificate, the authority's, and one of an authority that nobody knows."""
    folder = tmp_path_factory.mktemp("tls")
    write_pair(authority.issue_cert("localhost"), folder, "gateway")
    write_pair(authority.issue_cert("caller@example.org"), folder, "caller")
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    trustme.CA().cert_pem.write_to_path(str(folder / "stranger.pem"))
    return folder


def write_pair(certificate, folder, name):
    (folder / f"{name}.pem").write_bytes(b"".join(pem.bytes() for pem in certificate.cert_chain_pems))
    (folder / f"{name}.key").write_bytes(certificate.private_key_pem.bytes())


def tls_settings(files, **settings):
    return {"certFile": str(files / "gateway.pem"), "keyFile": str(files / "gateway.key"), **settings}


def routed(service, scheme="http", **blocks):
    instances = [{"address": "127.0.0.1", "port": service.port, "scheme": scheme}]
    return {
        "registry": {"static": {"services": [{"name": "up", "instances": instances}]}},
        "router": {"rules": [{"path": "/*", "serviceName": "up"}]},
        **blocks,
    }


def client_tls(authority, **attributes):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    for name, value in attributes.items():
        setattr(context, name, value)
    return context


@contextlib.contextmanager
def secure_client(port, context):
    client = Client(port, timeout_s=5)
    try:
        client.sock = context.wrap_socket(client.sock, server_hostname="localhost")
        yield client
    finally:
        client.sock.close()


def started(folder, http, **blocks):
    """Start a gateway by itself, with its process."""
    config = folder / f"gateway-{http['port']}.yaml"
    config.write_text(json.dumps({"gateway": {"frontend": {"http": {"host": "127.0.0.1", **http}}, **blocks}}))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY")}
    return subprocess.Popen(
        [sys.executable, "-m", "gateway.cli", "-c", str(config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
    )


def stopped(process):
    """Stop it; returns what it said."""
    process.send_signal(signal.SIGTERM)
    try:
        return process.communicate(timeout=10)[0].decode()
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise


def served_certificate(port, context):
    with secure_client(port, context) as client:
        return client.sock.getpeercert(binary_form=True)


def wait_for(condition, timeout_s=START_TIMEOUT_S):
    give_up = time.monotonic() + timeout_s
    while time.monotonic() < give_up:
        with contextlib.suppress(OSError):
            if condition():
                return True
        time.sleep(0.05)
    return False


# Towards clients.


@pytest.fixture(scope="module")
def service():
    service = Service()
    yield service
    service.close()


@pytest.fixture(scope="module")
def both(start_gateway, service, files):
    secure_port = free_port()
    with start_gateway(http={"tls": tls_settings(files, port=secure_port)}, **routed(service)) as port:
        yield port, secure_port


def test_plain_and_tls_at_once(both, service, authority):
    port, secure_port = both
    service.forget()
    with Client(port) as client, secure_client(secure_port, client_tls(authority)) as secure:
        assert client.ask(GET).status == 200
        assert secure.ask(GET).status == 200
        assert client.ask(GET).status == 200
        assert secure.ask(GET).status == 200
    schemes = sorted(request.values(b"x-forwarded-proto")[0] for request in service.requests_to("/x"))
    assert schemes == [b"http", b"http", b"https", b"https"]


def test_newest_version_and_protocol_are_agreed_on(both, authority):
    context = client_tls(authority)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with secure_client(both[1], context) as secure:
        assert (secure.sock.version(), secure.sock.selected_alpn_protocol()) == ("TLSv1.3", "http/1.1")


def test_1_2_is_spoken_by_default(both, authority):
    with secure_client(both[1], client_tls(authority, maximum_version=ssl.TLSVersion.TLSv1_2)) as secure:
        assert secure.sock.version() == "TLSv1.2"
        assert secure.ask(GET).status == 200


def test_a_large_body_over_tls(both, authority):
    body = os.urandom(1024 * 1024)
    with secure_client(both[1], client_tls(authority)) as secure:
        secure.send(b"POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        assert secure.read_answer().body == body


def test_plain_bytes_on_the_tls_port_harm_nobody(both, authority):
    with Client(both[1]) as client:
        client.send(GET)
        assert b"200" not in client.read_to_end()
    with secure_client(both[1], client_tls(authority)) as secure:
        assert secure.ask(GET).status == 200


@pytest.mark.parametrize(
    ("limits", "good", "bad"),
    [
        ({"minVersion": "1.3"}, ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2),
        ({"maxVersion": "1.2"}, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3),
    ],
)
def test_version_limits(start_gateway, service, files, authority, limits, good, bad):
    port = free_port()
    tls = tls_settings(files, port=port, **limits)
    refused = client_tls(authority, minimum_version=bad, maximum_version=bad)
    with start_gateway(http={"tls": tls}, **routed(service)):
        with secure_client(port, client_tls(authority, minimum_version=good, maximum_version=good)) as secure:
            assert secure.ask(GET).status == 200
        with pytest.raises(ssl.SSLError), secure_client(port, refused):
            pass


@pytest.mark.parametrize("setting", ["certFile", "keyFile"])
@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_unusable_file_stops_the_start(tmp_path, files, setting, content):
    path = tmp_path / "broken.pem"
    if content is not None:
        path.write_bytes(content)
    process = started(tmp_path, {"port": free_port(), "tls": tls_settings(files, **{setting: str(path)})})
    said, _ = process.communicate(timeout=START_TIMEOUT_S)
    assert process.returncode == 2
    assert str(path) in said.decode()
    assert "Traceback" not in said.decode()


@contextlib.contextmanager
def tls_gateway(folder, service, authority):
    """A gateway with TLS alone; gives its process, its port, and a list that gets what it said in the end."""
    write_pair(authority.issue_cert("localhost"), folder, "gateway")
    port = free_port()
    context = client_tls(authority)
    process = started(folder, {"port": port, "tls": tls_settings(folder)}, **routed(service))
    said: list[str] = []
    try:
        assert wait_for(lambda: served_certificate(port, context))
        yield process, port, said
    finally:
        said.append(stopped(process))


def test_renewed_certificate_is_served_after_a_reload(tmp_path, service, authority):
    context = client_tls(authority)
    with tls_gateway(tmp_path, service, authority) as (process, port, _):
        before = served_certificate(port, context)
        write_pair(authority.issue_cert("localhost"), tmp_path, "gateway")
        assert served_certificate(port, context) == before
        process.send_signal(signal.SIGHUP)
        assert wait_for(lambda: served_certificate(port, context) != before, 3)
        with secure_client(port, context) as secure:
            assert secure.ask(GET).status == 200


def test_broken_renewal_keeps_the_old_certificate(tmp_path, service, authority):
    context = client_tls(authority)
    with tls_gateway(tmp_path, service, authority) as (process, port, _):
        before = served_certificate(port, context)
        (tmp_path / "gateway.pem").write_bytes(b"no certificate")
        process.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        assert served_certificate(port, context) == before


def test_broken_renewal_is_reported(tmp_path, service, authority):
    with tls_gateway(tmp_path, service, authority) as (process, _, said):
        (tmp_path / "gateway.pem").write_bytes(b"no certificate")
        process.send_signal(signal.SIGHUP)
        time.sleep(0.5)
    assert str(tmp_path / "gateway.pem") in said[0]


# Towards services.


def service_tls(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


@pytest.fixture
def secure_service(authority):
    service = TlsService(service_tls(authority.issue_cert("127.0.0.1", "up.test")))
    yield service
    service.close()


def asked(start_gateway, service, **tls):
    with (
        start_gateway(**routed(service, "https", backend={"http": {"keepAlive": False, "tls": tls}})) as port,
        Client(port, timeout_s=5) as client,
    ):
        return client.ask(GET)


def test_instance_is_verified(start_gateway, secure_service, files):
    assert asked(start_gateway, secure_service, rootCAFile=str(files / "authority.pem")).status == 200
    assert secure_service.certificates == [None]


@pytest.mark.parametrize(
    "tls", [{}, {"rootCAFile": "stranger.pem"}, {"rootCAFile": "authority.pem", "serverName": "x"}]
)
def test_instance_that_cannot_be_verified_is_refused(start_gateway, secure_service, files, tls):
    if "rootCAFile" in tls:
        tls = {**tls, "rootCAFile": str(files / tls["rootCAFile"])}
    answer = asked(start_gateway, secure_service, **tls)
    assert answer.status == 502
    assert not secure_service.requests
    assert b"certificate" not in answer.body.lower()  # what is wrong is the operator's business, not the client's


def test_certificate_of_another_name_is_refused(start_gateway, authority, files):
    service = TlsService(service_tls(authority.issue_cert("elsewhere.test")))
    try:
        assert asked(start_gateway, service, rootCAFile=str(files / "authority.pem")).status == 502
        assert not service.requests
    finally:
        service.close()


def test_verification_can_be_turned_off(start_gateway, secure_service):
    assert asked(start_gateway, secure_service, insecureSkipVerify=True).status == 200


def test_server_name_is_asked_for_and_verified(start_gateway, secure_service, files):
    tls = {"rootCAFile": str(files / "authority.pem"), "serverName": "up.test"}
    assert asked(start_gateway, secure_service, **tls).status == 200
    assert secure_service.names == ["up.test"]


def test_address_is_no_server_name(start_gateway, secure_service, files):
    assert asked(start_gateway, secure_service, rootCAFile=str(files / "authority.pem")).status == 200
    assert secure_service.names == [None]  # an IP address is not allowed there (RFC 6066 section 3)


@pytest.fixture
def demanding_service(authority):
    context = service_tls(authority.issue_cert("127.0.0.1"))
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    service = TlsService(context)
    yield service
    service.close()


def test_client_certificate_is_shown(start_gateway, demanding_service, files):
    tls = {
        "rootCAFile": str(files / "authority.pem"),
        "clientCertFile": str(files / "caller.pem"),
        "clientKeyFile": str(files / "caller.key"),
    }
    assert asked(start_gateway, demanding_service, **tls).status == 200
    (certificate,) = demanding_service.certificates
    assert certificate["subjectAltName"] == (("email", "caller@example.org"),)


def test_missing_client_certificate_is_a_bad_gateway(start_gateway, demanding_service, files):
    assert asked(start_gateway, demanding_service, rootCAFile=str(files / "authority.pem")).status == 502
    assert not demanding_service.requests


def test_service_that_only_speaks_an_old_version_is_refused(start_gateway, authority, files):
    context = service_tls(authority.issue_cert("127.0.0.1"))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    service = TlsService(context)
    try:
        tls = {"rootCAFile": str(files / "authority.pem")}
        assert asked(start_gateway, service, minVersion="1.3", **tls).status == 502
        assert asked(start_gateway, service, **tls).status == 200
    finally:
        service.close()
