"""Services that fail in every way end in 502, 504 or a cut connection, never in something a client could mistake."""

import contextlib
import socket
import time

import pytest
from tests.conformance.client import Client
from tests.conformance.service import Service

TIMEOUT_S = 1
BODY = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 1000


def sends(data, then="close"):
    """A script: read the request, send these bytes, then close, reset or hang."""

    def script(connection, request):
        connection.read_body(request)
        connection.send(data)
        request.is_complete = False  # ends the connection
        if then == "reset":
            time.sleep(0.1)
            connection.reset()
        elif then == "hang":
            connection.wait_closed()

    return script


def endlessly(first, more, pause_s=0.0):
    """A script: send the same again and again until the gateway has enough."""

    def script(connection, request):
        connection.read_body(request)
        connection.send(first)
        for _ in range(20_000):
            connection.send(more)
            time.sleep(pause_s)

    return script


def early_answer(connection, _request):
    connection.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nearly")
    time.sleep(0.3)


OK = b"HTTP/1.1 200 OK\r\n"
BAD_HEADS = {
    "/closes": b"",
    "/garbage": b"\x00\xff\x01 this is not HTTP\r\n\r\n",
    "/ssh": b"SSH-2.0-OpenSSH_9.2\r\n",
    "/half-head": OK + b"Content-Len",
    "/length-with-coding": OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "/coding-with-length": OK + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "/two-lengths": OK + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "/two-equal-lengths": OK + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "/bad-length": OK + b"Content-Length: 0x3\r\n\r\nabc",
    "/huge-length": OK + b"Content-Length: 99999999999999999999999\r\n\r\nabc",
    "/bad-coding": OK + b"Transfer-Encoding: xchunked\r\n\r\nabc",
    "/gzip-chunked": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "/folded": OK + b"X-A: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    "/nul": OK + b"X-A: b\0c\r\nContent-Length: 0\r\n\r\n",
    "/bare-cr": OK + b"X-A: b\rX-C: d\r\nContent-Length: 0\r\n\r\n",
    "/space-before-colon": OK + b"X-A : b\r\nContent-Length: 0\r\n\r\n",
    "/status-99": b"HTTP/1.1 99 Low\r\nContent-Length: 0\r\n\r\n",
    "/status-word": b"HTTP/1.1 two OK\r\nContent-Length: 0\r\n\r\n",
    "/version": b"HTTP/3.7 200 OK\r\nContent-Length: 0\r\n\r\n",
    "/unasked-101": b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nhello",
    "/bad-chunk-at-once": OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
}
SCRIPTS = {
    **{path: sends(data) for path, data in BAD_HEADS.items()},
    "/silent": sends(b"", then="hang"),
    "/silent-in-head": sends(OK + b"X-A:", then="hang"),
    "/silent-in-body": sends(BODY, then="hang"),
    "/resets": sends(b"", then="reset"),
    "/resets-in-body": sends(BODY, then="reset"),
    "/closes-in-body": sends(BODY),
    "/closes-in-chunks": sends(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
    "/two-answers": sends(OK + b"Content-Length: 1\r\n\r\na" + OK + b"Content-Length: 4\r\n\r\nevil", then="hang"),
    "/until-close": sends(OK + b"\r\nall of it"),
    "/endless-informational": endlessly(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
    "/endless-head": endlessly(OK, b"X-A: " + b"b" * 1000 + b"\r\n"),
    "/early": early_answer,
    "/hints": sends(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nok"),
    "/no-content": sends(b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"),
    "/not-modified": sends(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: x\r\n\r\n"),
    "/head": sends(OK + b"Content-Length: 5\r\n\r\n"),
}


@pytest.fixture(scope="module")
def service():
    service = Service(SCRIPTS)
    yield service
    service.close()


@pytest.fixture(scope="module")
def refusing_port():
    # Bound, never listening: connections to it are refused, and nobody else gets it.
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@pytest.fixture(scope="module")
def gateway(start_gateway, service, refusing_port):
    ports = {"up": service.port, "down": refusing_port}
    services = [{"name": name, "instances": [{"address": "127.0.0.1", "port": port}]} for name, port in ports.items()]
    rules = [
        {"path": "/*", "serviceName": "up", "timeout": TIMEOUT_S},
        {"path": "/refuses", "serviceName": "down", "timeout": TIMEOUT_S},
    ]
    with start_gateway(registry={"static": {"services": services}}, router={"rules": rules}) as port:
        yield port


@pytest.fixture
def ask(gateway, service, refusing_port):
    """Send a request to a path; no answer may tell where the service is or what broke inside."""

    def ask(path, method="GET"):
        with Client(gateway) as client:
            answer = client.ask(f"{method} {path} HTTP/1.1\r\nHost: gw\r\n\r\n".encode(), method)
        assert_tells_nothing(answer, service.port, refusing_port)
        return answer

    return ask


def assert_tells_nothing(answer, *ports):
    text = answer.raw_head + answer.body
    for secret in (b"Traceback", b"127.0.0.1", b".py", *(b":%d" % port for port in ports)):
        assert secret not in text


@pytest.mark.parametrize("path", BAD_HEADS)
def test_malformed_answer_is_502(ask, path):
    answer = ask(path)
    # What the head promised may be on its way already when the body turns out to be malformed.
    assert answer.status == 502 or not answer.is_whole


@pytest.mark.parametrize("path", ["/refuses", "/resets", "/endless-head"])
def test_service_that_does_not_answer_is_502(ask, path):
    assert ask(path).status == 502


@pytest.mark.parametrize("path", ["/silent", "/silent-in-head"])
def test_silent_service_is_504(ask, path):
    start = time.monotonic()
    assert ask(path).status == 504
    assert time.monotonic() - start < TIMEOUT_S + 1.2


@pytest.mark.parametrize("path", ["/silent-in-body", "/resets-in-body", "/closes-in-body", "/closes-in-chunks"])
def test_body_that_breaks_off_cuts_the_connection(ask, path):
    answer = ask(path)
    assert answer.status == 502 or not answer.is_whole


def test_endless_interim_responses_end(gateway):
    with Client(gateway) as client:
        client.send(b"GET /endless-informational HTTP/1.1\r\nHost: gw\r\n\r\n")
        answers = [client.read_answer()]
        while answers[-1].status == 103:
            answers.append(client.read_answer())
    assert answers[-1].status == 502
    assert len(answers) < 100


def test_second_answer_nobody_asked_for_is_never_delivered(gateway):
    with Client(gateway) as client:
        first = client.ask(b"GET /two-answers HTTP/1.1\r\nHost: gw\r\n\r\n")
        assert first.status == 502 or first.body == b"a"
        second = client.ask(b"GET /next HTTP/1.1\r\nHost: gw\r\n\r\n")
        assert second.body == b""
        assert not client.buffer


def test_body_until_close_arrives_whole(ask):
    answer = ask("/until-close")
    assert (answer.status, answer.body, answer.is_whole) == (200, b"all of it", True)


def test_answer_during_a_large_upload_arrives(gateway):
    with Client(gateway) as client:
        client.send(b"POST /early HTTP/1.1\r\nHost: gw\r\nContent-Length: 8000000\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(8):
                client.send(b"x" * 100_000)
        answer = client.read_answer()
    assert (answer.status, answer.body) == (413, b"early")


def test_early_hints_are_relayed(gateway):
    with Client(gateway) as client:
        hints = client.ask(b"GET /hints HTTP/1.1\r\nHost: gw\r\n\r\n")
        assert (hints.status, hints.fields["link"]) == (103, "</a>")
        assert client.read_answer().body == b"ok"


def test_interim_responses_are_not_sent_to_http_1_0(gateway):
    with Client(gateway) as client:
        assert client.ask(b"GET /hints HTTP/1.0\r\nHost: gw\r\n\r\n").body == b"ok"


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/no-content", 204), ("GET", "/not-modified", 304), ("HEAD", "/head", 200)]
)
def test_answer_without_a_body_leaves_the_connection_in_step(gateway, method, path, status):
    with Client(gateway) as client:
        answer = client.ask(f"{method} {path} HTTP/1.1\r\nHost: gw\r\n\r\n".encode(), method)
        assert answer.status == status
        if status == 204:
            assert "content-length" not in answer.fields
        assert client.ask(b"GET /next HTTP/1.1\r\nHost: gw\r\n\r\n").status == 200
