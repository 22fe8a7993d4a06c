"""What the gateway does to a good exchange: framing, connection fields, forwarding fields, ids, tunnels, time-outs."""

import re
import threading
import time

import pytest
from tests.conformance.client import Client
from tests.conformance.service import Service

GET = b"GET /x HTTP/1.1\r\nHost: gw\r\n\r\n"
TRUSTED = "127.0.0.1"
UPGRADE = b"Host: gw\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"


class Scripts:
    """Scripts of the service, and the events by which tests follow them."""

    def __init__(self):
        self.first_piece_taken = threading.Event()
        self.gone = threading.Event()
        self.started = threading.Event()

    def two_pieces(self, connection, request):
        connection.read_body(request)
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n5\r\nfirst\r\n")
        self.first_piece_taken.wait(5)
        connection.send(b"6\r\nsecond\r\n0\r\nX-T: end\r\n\r\n")

    def hang(self, connection, request):
        connection.read_body(request)
        request.is_complete = False
        self.started.set()
        connection.wait_closed()
        self.gone.set()

    @staticmethod
    def hop_by_hop(connection, request):
        connection.read_body(request)
        connection.send(
            b"HTTP/1.1 200 OK\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n"
            b"Proxy-Authenticate: Basic\r\nProxy-Connection: x\r\nUpgrade: h2c\r\nX-End: 1\r\nContent-Length: 0\r\n\r\n"
        )

    @staticmethod
    def tunnel(connection, request):
        connection.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nhello")
        while True:
            connection.send(connection.receive_some().upper())


@pytest.fixture(scope="module")
def scripts():
    return Scripts()


@pytest.fixture(scope="module")
def service(scripts):
    service = Service(
        {
            "/two-pieces": scripts.two_pieces,
            "/hang": scripts.hang,
            "/hop-by-hop": Scripts.hop_by_hop,
            "/tunnel": Scripts.tunnel,
        }
    )
    yield service
    service.close()


def settings(service):
    instances = [{"address": "127.0.0.1", "port": service.port}]
    return {
        "registry": {"static": {"services": [{"name": "up", "instances": instances}]}},
        "router": {
            "rules": [
                {"path": "/*", "serviceName": "up"},
                {"path": "/tunnel", "serviceName": "up", "allowUpgrade": ["echo"]},
            ]
        },
    }


@pytest.fixture(scope="module")
def gateway(start_gateway, service):
    with start_gateway(http={"readTimeout": 1}, **settings(service)) as port:
        yield port


@pytest.fixture(scope="module")
def trusting_gateway(start_gateway, service):
    with start_gateway(http={"trustedProxies": [TRUSTED]}, **settings(service)) as port:
        yield port


@pytest.fixture
def client(gateway, service):
    service.forget()
    with Client(gateway) as client:
        yield client


def test_answer_streams_with_trailers(client, scripts):
    client.send(b"GET /two-pieces HTTP/1.1\r\nHost: gw\r\nTE: trailers\r\n\r\n")
    while b"first" not in client.buffer:
        assert client.receive()
    assert b"second" not in client.buffer
    scripts.first_piece_taken.set()
    answer = client.read_answer()
    assert (answer.body, answer.trailers) == (b"firstsecond", {"x-t": "end"})


def test_chunked_upload_streams_with_trailers(client, service):
    client.send(b"POST /up HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
    give_up = time.monotonic() + 0.9
    while not service.requests_to("/up") and time.monotonic() < give_up:
        time.sleep(0.005)
    (request,) = service.requests_to("/up")
    assert not request.is_complete
    client.send(b"6\r\nsecond\r\n0\r\nX-T: end\r\n\r\n")
    assert client.read_answer().body == b"firstsecond"
    assert request.values(b"transfer-encoding") == [b"chunked"]
    assert [(name.lower(), value) for name, value in request.trailers] == [(b"x-t", b"end")]


def test_200_pipelined_requests_are_answered_in_order(client):
    body = b"".join(b"POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: 3\r\n\r\n%03d" % n for n in range(200))
    client.send(body)
    assert [client.read_answer().body for _ in range(200)] == [b"%03d" % n for n in range(200)]
    assert not client.buffer


def test_200_pipelined_gets_are_each_forwarded_once(client, service):
    client.send(b"".join(b"GET /p%d HTTP/1.1\r\nHost: gw\r\n\r\n" % n for n in range(200)))
    assert [client.read_answer().status for _ in range(200)] == [200] * 200
    assert sorted(request.target for request in service.requests) == sorted(b"/p%d" % n for n in range(200))


def test_expect_continue(client):
    client.send(b"POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
    assert client.read_answer().status == 100
    assert client.ask(b"abc").body == b"abc"


def test_http_1_0_closes(client):
    assert client.ask(b"GET /x HTTP/1.0\r\nHost: gw\r\n\r\n").status == 200
    assert client.read_to_end() == b""


def test_http_1_0_with_keep_alive_stays(client):
    data = b"GET /x HTTP/1.0\r\nHost: gw\r\nConnection: keep-alive\r\n\r\n"
    answer = client.ask(data)
    assert answer.fields["connection"] == "keep-alive"
    assert client.ask(data).status == 200


def test_http_1_0_gets_no_chunks(client, scripts):
    scripts.first_piece_taken.set()
    answer = client.ask(b"GET /two-pieces HTTP/1.0\r\nHost: gw\r\n\r\n")
    assert "transfer-encoding" not in answer.fields
    assert answer.body == b"firstsecond"


def test_hop_by_hop_fields_end_at_the_gateway(client, service):
    fields = (
        b"Connection: X-Hop, Keep-Alive\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nProxy-Authorization: x\r\n"
        b"Proxy-Connection: x\r\nTE: gzip\r\nX-End: 1\r\n"
    )
    answer = client.ask(b"GET /hop-by-hop HTTP/1.1\r\nHost: gw\r\n" + fields + b"\r\n")
    (request,) = service.requests_to("/hop-by-hop")
    names = {name.lower() for name, _ in request.fields}
    assert b"x-end" in names
    assert not names & {b"x-hop", b"keep-alive", b"proxy-authorization", b"proxy-connection", b"te"}
    assert "x-end" in answer.fields
    assert not answer.fields.keys() & {"x-hop", "keep-alive", "proxy-authenticate", "proxy-connection", "upgrade"}


SPOOFED = (
    b"GET /f HTTP/1.1\r\nHost: gw\r\nX-Forwarded-For: 192.0.2.9\r\nX-Forwarded-Proto: https\r\n"
    b"X-Forwarded-Host: public\r\nForwarded: for=192.0.2.9\r\n\r\n"
)


def test_forwarding_fields_of_strangers_are_replaced(client, service):
    client.ask(SPOOFED)
    (request,) = service.requests_to("/f")
    assert request.values(b"x-forwarded-for") == [b"127.0.0.1"]
    assert request.values(b"x-forwarded-proto") == [b"http"]
    assert request.values(b"x-forwarded-host") == [b"gw"]
    assert request.values(b"forwarded") == [b"for=127.0.0.1;proto=http;host=gw"]
    assert request.values(b"via") == [b"1.1 gateway"]


def test_forwarding_fields_of_trusted_proxies_are_continued(trusting_gateway, service):
    service.forget()
    with Client(trusting_gateway) as client:
        client.ask(SPOOFED)
    (request,) = service.requests_to("/f")
    assert request.values(b"x-forwarded-for") == [b"192.0.2.9, 127.0.0.1"]
    assert request.values(b"x-forwarded-proto") == [b"https"]
    assert request.values(b"x-forwarded-host") == [b"public"]
    assert request.values(b"forwarded")[0].startswith(b"for=192.0.2.9, for=127.0.0.1")


def test_request_id_is_kept_and_returned(client, service):
    answer = client.ask(b"GET /id HTTP/1.1\r\nHost: gw\r\nX-Request-ID: my-id.1\r\n\r\n")
    assert answer.fields["x-request-id"] == "my-id.1"
    assert service.requests_to("/id")[0].values(b"x-request-id") == [b"my-id.1"]


@pytest.mark.parametrize("value", [b"", b"a b", b"<script>", b"x" * 500])
def test_malformed_request_id_is_replaced(client, service, value):
    answer = client.ask(b"GET /id HTTP/1.1\r\nHost: gw\r\nX-Request-ID: " + value + b"\r\n\r\n")
    assert re.fullmatch("[0-9a-f]{32}", answer.fields["x-request-id"])
    assert service.requests_to("/id")[0].values(b"x-request-id") == [answer.fields["x-request-id"].encode()]


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"junk\r\n\r\n", b"GET /%00 HTTP/1.1\r\nHost: gw\r\n\r\n"])
def test_refusals_have_a_request_id(client, data):
    assert re.fullmatch("[0-9a-f]{32}", client.ask(data).fields["x-request-id"])


def test_client_that_leaves_cancels_the_request(gateway, scripts):
    with Client(gateway) as client:
        client.send(b"GET /hang HTTP/1.1\r\nHost: gw\r\n\r\n")
        assert scripts.started.wait(2)
    assert scripts.gone.wait(1)


def test_upgrade_becomes_a_tunnel_where_it_is_allowed(client):
    answer = client.ask(b"GET /tunnel HTTP/1.1\r\n" + UPGRADE)
    assert (answer.status, answer.fields["upgrade"]) == (101, "echo")
    client.send(b"abc")
    while client.buffer != b"helloABC":
        assert client.receive()


def test_upgrade_is_not_passed_on_elsewhere(client, service):
    answer = client.ask(b"GET /x HTTP/1.1\r\n" + UPGRADE)
    assert answer.status != 101
    assert not any(request.values(b"upgrade") for request in service.requests)
