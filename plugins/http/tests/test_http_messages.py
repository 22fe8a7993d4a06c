"""Messages through the whole gateway: what arrives, in which framing, and what ends at the gateway."""

import asyncio

import pytest

from gateway.testing import Reply

pytestmark = pytest.mark.anyio

GET = b"GET / HTTP/1.1\r\nHost: gw\r\n\r\n"
HEAD = b"HEAD / HTTP/1.1\r\nHost: gw\r\n\r\n"


def answering(*answers):
    """Return a script that gives these answers in turn, the last one again and again."""
    left = list(answers)
    return lambda request: left.pop(0) if len(left) > 1 else left[0]


async def test_a_request_and_its_answer_pass(gateway, service):
    service.answer = lambda request: b"HTTP/1.1 201 Created\r\nLocation: /a\r\ncontent-length: 5\r\n\r\nhello"
    answer = await gateway.ask(b"POST /a%20b?x=1&y HTTP/1.1\r\nHost: Shop.Example:80\r\nContent-Length: 3\r\n\r\nabc")
    assert (answer.status, answer["location"], answer.body) == (201, "/a", b"hello")
    (request,) = service.requests
    assert (request.method, request.target, request["host"]) == ("POST", "/a%20b?x=1&y", "Shop.Example:80")
    assert request.body == b"abc"


async def test_repeated_fields_keep_their_number_and_order(gateway, service):
    service.answer = lambda request: (
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nX-A: 1\r\nSet-Cookie: b=2\r\ncontent-length: 0\r\n\r\n"
    )
    answer = await gateway.ask(b"GET / HTTP/1.1\r\nX-B: 1\r\nHost: gw\r\nX-B: 2\r\nX-C:\r\n\r\n")
    assert answer.all("set-cookie") == ["a=1", "b=2"]
    assert service.requests[0].all("x-b") == ["1", "2"]
    assert service.requests[0]["x-c"] == ""


async def test_values_pass_as_they_are_but_for_the_white_space_around_them(gateway, service):
    await gateway.ask(b"GET / HTTP/1.1\r\nHost: gw \t\r\nX-A: \t a \t b\xe9 \t\r\nCookie:x=1\r\n\r\n")
    (request,) = service.requests
    assert (request["host"], request["x-a"], request["cookie"]) == ("gw", "a \t b\xe9", "x=1")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY", "PROPFIND"])
async def test_methods_pass(gateway, service, method):
    assert (await gateway.ask(f"{method} / HTTP/1.1\r\nHost: gw\r\n\r\n".encode())).status == 200
    assert service.requests[0].method == method


# Connections.


async def test_connections_are_kept_on_both_sides(gateway, service):
    client = await gateway.connect()
    for number in range(3):
        assert (await client.ask(b"GET /%d HTTP/1.1\r\nHost: gw\r\n\r\n" % number)).status == 200
    assert service.targets == ["/0", "/1", "/2"]
    assert len(service.connections) == 1


@pytest.mark.parametrize("value", [b"close", b"Close", b"keep-alive, close", b"close, TE"])
async def test_a_client_that_asks_to_close_is_closed_after_its_answer(gateway, value):
    client = await gateway.connect()
    answer = await client.ask(b"GET / HTTP/1.1\r\nHost: gw\r\nConnection: %b\r\n\r\n" % value)
    assert (answer.status, answer["connection"]) == (200, "close")
    assert await client.is_closed()


async def test_a_service_that_closes_does_not_close_the_client(gateway, service):
    service.answer = lambda request: b"HTTP/1.1 200 OK\r\nConnection: close\r\ncontent-length: 2\r\n\r\nok"
    client = await gateway.connect()
    for _ in range(2):
        answer = await client.ask(GET)
        assert (answer.status, answer.body) == (200, b"ok")
        assert "connection" not in answer
    assert len(service.connections) == 2


async def test_hundreds_of_pipelined_requests_are_answered_in_order(gateway, service):
    service.answer = lambda request: (
        b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b"
        % (
            len(request.target) + len(request.body),
            request.target.encode() + request.body,
        )
    )
    client = await gateway.connect()
    requests = [
        b"GET /%d HTTP/1.1\r\nHost: gw\r\n\r\n",
        b"POST /%d HTTP/1.1\r\nHost: gw\r\nContent-Length: 5\r\n\r\nplain",
        b"POST /%d HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nchu\r\n4\r\nnked\r\n0\r\n\r\n",
    ]
    bodies = [b"", b"plain", b"chunked"]
    await client.send(b"".join(requests[number % 3] % number for number in range(600)))
    for number in range(600):
        assert (await client.receive()).body == b"/%d" % number + bodies[number % 3]
    assert len(service.requests) == 600


async def test_pipelined_requests_run_one_at_a_time(gateway, service, eventually):
    release = asyncio.Event()

    async def answer(request, connection):
        await release.wait()
        return b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

    service.answer = answer
    client = await gateway.connect()
    await client.send(GET * 3)
    await eventually(lambda: service.requests)
    await asyncio.sleep(0.02)
    assert len(service.requests) == 1
    release.set()
    assert [(await client.receive()).status for _ in range(3)] == [200, 200, 200]


async def test_empty_lines_before_a_request_are_skipped(gateway):
    # RFC 9112 section 2.2.
    client = await gateway.connect()
    assert (await client.ask(b"\r\n" + GET)).status == 200
    assert (await client.ask(b"\r\n\r\n\r\n" + GET)).status == 200
    await client.send_in_pieces([b"\r", b"\n", b"\r\n", GET[:5], GET[5:]])
    assert (await client.receive()).status == 200


# Bodies.


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 300_000])
async def test_bodies_of_known_length(gateway, service, size):
    body = bytes(range(256)) * (size // 256 + 1)
    service.answer = lambda request: (
        b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b"
        % (
            len(request.body),
            request.body,
        )
    )
    client = await gateway.connect()
    answer = await client.ask(b"PUT / HTTP/1.1\r\nHost: gw\r\nContent-Length: %d\r\n\r\n%b" % (size, body[:size]))
    assert answer.body == body[:size]
    assert answer["content-length"] == str(size)
    assert service.requests[0]["content-length"] == str(size)
    assert await client.is_open()


async def test_a_small_chunked_request_is_sent_with_its_length(gateway, service):
    await gateway.ask(
        b"POST / HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )
    (request,) = service.requests
    assert (request.body, request["content-length"]) == (b"abcde", "5")
    assert "transfer-encoding" not in request


async def test_a_chunked_request_streams_in_chunks(gateway, service, eventually):
    client = await gateway.connect()
    await client.send(b"POST / HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n")
    await client.send(b"3\r\nabc\r\n")
    await eventually(lambda: service.requests and service.requests[0].body == b"abc")
    await client.send(b"2\r\nde\r\n0\r\n\r\n")
    assert (await client.receive()).status == 200
    (request,) = service.requests
    assert (request.body, request["transfer-encoding"]) == (b"abcde", "chunked")
    assert "content-length" not in request


async def test_a_chunked_answer_streams(gateway, service):
    go_on = asyncio.Event()

    async def answer(request, connection):
        connection.writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await go_on.wait()
        return b"2\r\nde\r\n0\r\n\r\n"

    service.answer = answer
    client = await gateway.connect()
    await client.send(GET)
    head = await client.receive_head()
    assert head["transfer-encoding"] == "chunked"
    assert await client.reader.readexactly(8) == b"3\r\nabc\r\n"
    go_on.set()
    assert await client.reader.readexactly(12) == b"2\r\nde\r\n0\r\n\r\n"
    assert await client.is_open()


@pytest.mark.parametrize("in_pieces", [False, True])
async def test_trailers_pass_both_ways(gateway, service, in_pieces):
    answered = (
        b"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2\r\nok\r\n0\r\nX-Sum: 7\r\nX-Sum: 8\r\n\r\n"
    )

    async def answer(request, connection):
        if in_pieces:
            for number in range(len(answered) - 1):
                connection.writer.write(answered[number : number + 1])
                await asyncio.sleep(0)
            return answered[-1:]
        return answered

    service.answer = answer
    asked = (
        b"POST / HTTP/1.1\r\nHost: gw\r\nTrailer: X-End\r\nTE: trailers\r\nConnection: TE\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-End: yes\r\n\r\n"
    )
    client = await gateway.connect()
    await client.send_in_pieces([asked[i : i + 1] for i in range(len(asked))] if in_pieces else [asked])
    received = await client.receive()
    assert (received.body, received.trailers, received["trailer"]) == (b"ok", [("x-sum", "7"), ("x-sum", "8")], "X-Sum")
    (request,) = service.requests
    assert (request.body, request.trailers, request["trailer"]) == (b"abc", [("x-end", "yes")], "X-End")
    assert (request["te"], request["connection"]) == ("trailers", "te")
    assert await client.is_open()


@pytest.mark.parametrize(
    "trailer",
    [
        *("Content-Length: 5", "Transfer-Encoding: chunked", "Host: evil", "Authorization: x", "Connection: close"),
        *(
            "X-Forwarded-For: 1.2.3.4",
            "Cookie: a",
            "Set-Cookie: a=b",
            "Content-Type: a/b",
            "TE: trailers",
            "Trailer: x",
        ),
    ],
)
async def test_trailers_that_could_be_taken_for_more_are_dropped(gateway, service, trailer):
    # RFC 9110 section 6.5.1.
    service.answer = lambda request: (
        f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n{trailer}\r\nX-A: 1\r\n\r\n".encode()
    )
    answer = await gateway.ask(
        b"POST / HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n%b\r\nX-A: 1\r\n\r\n"
        % trailer.encode()
    )
    assert answer.trailers == [("x-a", "1")]
    assert service.requests[0].trailers == [("x-a", "1")]


async def test_a_get_may_have_a_body(gateway, service):
    await gateway.ask(b"GET / HTTP/1.1\r\nHost: gw\r\nContent-Length: 3\r\n\r\nabc")
    assert (service.requests[0].method, service.requests[0].body) == ("GET", b"abc")


# Answers without content.


@pytest.mark.parametrize("length", [b"content-length: 1000\r\n", b"", b"Transfer-Encoding: chunked\r\n"])
async def test_head_is_answered_without_content(gateway, service, length):
    # RFC 9110 section 9.3.2.
    service.answer = answering(
        b"HTTP/1.1 200 OK\r\n" + length + b"\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    )
    client = await gateway.connect()
    answer = await client.ask(HEAD)
    assert answer.status == 200
    assert answer.all("content-length") == (["1000"] if length.startswith(b"content-length") else [])
    assert "transfer-encoding" not in answer
    assert (await client.ask(GET)).body == b"ok"
    assert len(service.connections) == 1


async def test_content_that_a_service_sends_with_head_is_dropped_with_its_connection(gateway, service):
    service.answer = lambda request: (
        b"HTTP/1.1 200 OK\r\ncontent-length: 38\r\n\r\nHTTP/1.1 666 Evil\r\ncontent-length:0\r\n\r\n"
    )
    client = await gateway.connect()
    assert (await client.ask(HEAD)).status == 200
    service.answer = lambda request: b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    assert (await client.ask(GET)).body == b"ok"
    assert len(service.connections) == 2


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("field", [b"", b"content-length: 10\r\n"])
async def test_204_and_304_have_no_content(gateway, service, status, field):
    # RFC 9110 sections 15.3.5 and 15.4.5, RFC 9112 section 6.3.
    service.answer = answering(
        b"HTTP/1.1 %d X\r\nETag: a\r\n%b\r\n" % (status, field), b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    )
    client = await gateway.connect()
    answer = await client.ask(GET)
    assert (answer.status, answer["etag"]) == (status, "a")
    assert answer.all("content-length") == (["10"] if field and status == 304 else [])
    assert (await client.ask(GET)).body == b"ok"


async def test_an_unregistered_status_passes(gateway, service):
    service.answer = lambda request: b"HTTP/1.1 599 Odd\r\ncontent-length: 3\r\n\r\nodd"
    answer = await gateway.ask(GET)
    assert (answer.status, answer.body) == (599, b"odd")


async def test_an_answer_is_dated_if_the_service_did_not(gateway, service):
    # RFC 9110 section 6.6.1.
    assert (await gateway.ask(GET))["date"].endswith(" GMT")
    service.answer = lambda request: (
        b"HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\ncontent-length: 0\r\n\r\n"
    )
    assert (await gateway.ask(GET))["date"] == "Thu, 01 Jan 1970 00:00:00 GMT"


# Interim answers.


async def test_interim_answers_pass(gateway, service):
    # RFC 8297 and RFC 9110 section 15.2.
    service.answer = lambda request: (
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: x\r\nX: 1\r\n\r\n"
        b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    )
    client = await gateway.connect()
    for _ in range(2):
        answer = await client.ask(GET)
        assert [(interim.status, interim.fields) for interim in answer.interim] == [
            (103, [("link", "</a>")]),
            (102, []),
        ]
        assert (answer.status, answer.body) == (200, b"ok")
    assert len(service.connections) == 1


async def test_interim_answers_pass_at_once(gateway, service):
    go_on = asyncio.Event()

    async def answer(request, connection):
        connection.writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        await go_on.wait()
        return b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"

    service.answer = answer
    client = await gateway.connect()
    await client.send(GET)
    assert (await client.receive_head()).status == 103
    go_on.set()
    assert (await client.receive()).status == 200


# Expect.


POST_EXPECTING = b"POST / HTTP/1.1\r\nHost: gw\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"


async def test_a_client_that_waits_is_told_to_go_on_when_its_body_is_wanted(gateway, service):
    # RFC 9110 section 10.1.1.
    client = await gateway.connect()
    await client.send(POST_EXPECTING)
    assert (await client.receive_head()).status == 100
    await client.send(b"abc")
    assert (await client.receive()).status == 200
    (request,) = service.requests
    assert request.body == b"abc"
    assert "expect" not in request
    assert await client.is_open()


async def test_a_client_that_does_not_wait_is_not_told(gateway, service):
    client = await gateway.connect()
    answer = await client.ask(POST_EXPECTING + b"abc")
    assert (answer.status, answer.interim) == (200, [])
    await client.send(POST_EXPECTING.replace(b"Length: 3", b"Length: 300000") + bytes(100))
    await client.send(bytes(299_900))
    answer = await client.receive()
    assert (answer.status, answer.interim) == (200, [])
    assert len(service.requests[1].body) == 300_000


async def test_a_refusal_comes_without_asking_for_the_body(start_gateway, service):
    gateway = await start_gateway(service, rule={"path": "/elsewhere"})
    client = await gateway.connect()
    answer = await client.ask(POST_EXPECTING)
    assert (answer.status, answer.interim, answer["connection"]) == (404, [], "close")
    assert await client.is_closed()
    assert not service.requests


async def test_a_body_that_is_too_large_is_refused_without_asking_for_it(start_gateway, service):
    gateway = await start_gateway(service, http={"maxRequestSize": 2})
    answer = await gateway.ask(POST_EXPECTING)
    assert (answer.status, answer.interim) == (413, [])
    assert not service.requests


async def test_http_1_0_is_not_told_to_go_on(gateway, service):
    client = await gateway.connect()
    await client.send(POST_EXPECTING.replace(b"HTTP/1.1", b"HTTP/1.0"))
    await asyncio.sleep(0.01)
    answer = await client.ask(b"abc")
    assert (answer.status, answer.interim) == (200, [])


async def test_garbled_expectations_end_at_the_gateway(gateway, service):
    answer = await gateway.ask(POST_EXPECTING.replace(b"100-continue", b"y 100-continue") + b"abc")
    assert answer.status == 200
    assert "expect" not in service.requests[0]


# HTTP/1.0.


async def test_http_1_0_is_closed_unless_it_asks_otherwise(gateway, service):
    client = await gateway.connect()
    answer = await client.ask(b"GET / HTTP/1.0\r\nHost: gw\r\nConnection: keep-alive\r\n\r\n")
    assert (answer.status, answer["connection"]) == (200, "keep-alive")
    answer = await client.ask(b"GET / HTTP/1.0\r\n\r\n")
    assert (answer.status, answer["connection"]) == (200, "close")
    assert await client.is_closed()
    assert service.requests[0]["host"] == "gw"
    assert service.requests[1]["host"] == "{}:{}".format(*service.address)
    assert service.requests[0]["via"] == "1.0 gateway"


async def test_http_1_0_gets_streams_until_the_connection_is_closed(gateway, service):
    service.answer = lambda request: (
        b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n2\r\nde\r\n0\r\nX-A: 1\r\n\r\n"
    )
    answer = await gateway.ask(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert (answer.body, answer.interim, answer["connection"]) == (b"abcde", [], "close")
    assert "transfer-encoding" not in answer


async def test_a_service_of_http_1_0_ends_its_answer_by_closing(gateway, service):
    service.answer = lambda request: b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nuntil the end"
    client = await gateway.connect()
    answer = await client.ask(GET)
    assert (answer.body, answer["transfer-encoding"]) == (b"until the end", "chunked")
    assert await client.is_open()


@pytest.mark.parametrize(("field", "connections"), [(b"", 2), (b"Connection: keep-alive\r\n", 1)])
async def test_a_service_of_http_1_0_is_kept_if_it_says_so(gateway, service, field, connections):
    service.answer = lambda request: b"HTTP/1.0 200 OK\r\n%bcontent-length: 2\r\n\r\nok" % field
    client = await gateway.connect()
    for _ in range(2):
        assert (await client.ask(GET)).body == b"ok"
    assert len(service.connections) == connections


# Fields that end at the gateway, and those that it adds.


async def test_fields_of_the_connection_end_at_the_gateway(gateway, service):
    # RFC 9110 section 7.6.1.
    service.answer = lambda request: (
        b"HTTP/1.1 200 OK\r\nConnection: X-Mine, keep-alive\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\n"
        b"Proxy-Authenticate: Basic\r\nUpgrade: h2c\r\nX-Request-ID: theirs\r\nX-Yours: 1\r\ncontent-length: 0\r\n\r\n"
    )
    answer = await gateway.ask(
        b"GET / HTTP/1.1\r\nHost: gw\r\nConnection: X-Mine, keep-alive, te\r\nX-Mine: 1\r\nKeep-Alive: 5\r\n"
        b"Proxy-Connection: close\r\nProxy-Authorization: Basic x\r\nTE: gzip\r\nUpgrade: h2c\r\nX-Yours: 1\r\n\r\n"
    )
    (request,) = service.requests
    assert {name for name, _ in request.fields} == {
        *("host", "x-yours", "x-request-id", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"),
        *("forwarded", "via"),
    }
    assert [name for name, _ in answer.fields] == ["x-yours", "date", "x-request-id", "content-length"]
    assert answer["x-request-id"] == request["x-request-id"] != "theirs"


async def test_fields_that_others_rely_on_cannot_be_nominated_away(gateway, service):
    await gateway.ask(
        b"GET / HTTP/1.1\r\nHost: gw\r\nConnection: host, cookie, authorization, via, x-forwarded-for, x-request-id\r\n"
        b"Cookie: a\r\nAuthorization: b\r\nVia: 1.1 edge\r\n\r\n"
    )
    (request,) = service.requests
    assert (request["host"], request["cookie"], request["authorization"]) == ("gw", "a", "b")
    assert request.all("via") == ["1.1 edge", "1.1 gateway"]
    assert request["x-forwarded-for"] == "127.0.0.1"
    assert request["x-request-id"]


@pytest.mark.parametrize(
    "name", ["X_Forwarded_For", "x-forwarded_for", "Content_Length", "Transfer_Encoding", "X_Request_ID"]
)
async def test_lookalikes_of_special_fields_are_dropped(gateway, service, name):
    await gateway.ask(f"GET / HTTP/1.1\r\nHost: gw\r\n{name}: 7\r\nX_Other: 1\r\n\r\n".encode())
    (request,) = service.requests
    assert name.lower() not in request
    assert request["x_other"] == "1"


async def test_services_are_told_where_a_request_came_from(start_gateway, service):
    gateway = await start_gateway(service, http={"trustedProxies": ["127.0.0.0/8"], "via": "edge"})
    await gateway.ask(
        b"GET / HTTP/1.1\r\nHost: gw:80\r\nX-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\n"
        b"X-Forwarded-Host: shop.example\r\nForwarded: for=203.0.113.7;proto=https\r\nVia: 1.0 cache\r\n\r\n"
    )
    (request,) = service.requests
    assert request["x-forwarded-for"] == "203.0.113.7, 127.0.0.1"
    assert (request["x-forwarded-proto"], request["x-forwarded-host"]) == ("https", "shop.example")
    assert request["forwarded"] == 'for=203.0.113.7;proto=https, for=127.0.0.1;proto=http;host="gw:80"'
    assert request.all("via") == ["1.0 cache", "1.1 edge"]


async def test_strangers_are_not_believed(gateway, service):
    await gateway.ask(
        b"GET / HTTP/1.1\r\nHost: gw\r\nX-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\n"
        b"X-Real-IP: 1.1.1.1\r\nForwarded: for=203.0.113.7\r\nX-Forwarded-Host: evil\r\n\r\n"
    )
    (request,) = service.requests
    assert (request["x-forwarded-for"], request["x-forwarded-proto"]) == ("127.0.0.1", "http")
    assert (request["x-forwarded-host"], request["forwarded"]) == ("gw", "for=127.0.0.1;proto=http;host=gw")
    assert "x-real-ip" not in request


async def test_the_host_of_the_instance_is_sent_where_the_clients_is_not_preserved(start_gateway, service):
    gateway = await start_gateway(service, rule={"preserveHost": False})
    await gateway.ask(GET)
    (request,) = service.requests
    assert (request["host"], request["x-forwarded-host"]) == ("{}:{}".format(*service.address), "gw")


async def test_a_request_id_is_made_kept_and_returned(gateway, service):
    client = await gateway.connect()
    made = [(await client.ask(GET))["x-request-id"] for _ in range(2)]
    assert made == [request["x-request-id"] for request in service.requests]
    assert len(set(made)) == 2
    assert all(len(each) == 32 for each in made)
    kept = await client.ask(b"GET / HTTP/1.1\r\nHost: gw\r\nX-Request-ID: order-7/a:b\r\n\r\n")
    assert kept["x-request-id"] == service.requests[2]["x-request-id"] == "order-7/a:b"


@pytest.mark.parametrize("field", [b"X-Request-ID: a b", b"X-Request-ID:", b"X-Request-ID: " + b"a" * 129])
async def test_a_request_id_that_is_not_well_formed_is_replaced(gateway, service, field):
    answer = await gateway.ask(b"GET / HTTP/1.1\r\nHost: gw\r\n%b\r\n\r\n" % field)
    assert len(answer["x-request-id"]) == 32
    assert service.requests[0]["x-request-id"] == answer["x-request-id"]


async def test_two_request_ids_are_none(gateway, service):
    answer = await gateway.ask(b"GET / HTTP/1.1\r\nHost: gw\r\nX-Request-ID: a\r\nX-Request-ID: b\r\n\r\n")
    assert len(answer["x-request-id"]) == 32


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /elsewhere HTTP/1.1\r\nHost: gw\r\nX-Request-ID: mine\r\n\r\n", 404),
        (b"GET /there HTTP/1.1\r\nHost: a\r\nHost: b\r\nX-Request-ID: mine\r\n\r\n", 400),
        (b"GET /there HTTP/1.1\r\nX-Request-ID: mine\r\n\r\n", 400),
    ],
)
async def test_errors_have_the_request_id_too(start_gateway, service, request_bytes, status):
    gateway = await start_gateway(service, rule={"path": "/there"})
    answer = await gateway.ask(request_bytes)
    assert (answer.status, answer["x-request-id"]) == (status, "mine")
    assert b'"requestId": "mine"' in answer.body


# Targets.


@pytest.mark.parametrize("host", [b"Host: shop.example\r\n", b"Host: shop.example:80\r\n", b"Host: SHOP.example\r\n"])
async def test_a_target_in_absolute_form(gateway, service, host):
    # RFC 9112 section 3.2.2.
    answer = await gateway.ask(b"GET http://shop.example/a?b=c HTTP/1.1\r\n%b\r\n" % host)
    assert answer.status == 200
    (request,) = service.requests
    assert (request.target, request["host"]) == ("/a?b=c", "shop.example")


async def test_a_target_in_absolute_form_without_a_path(gateway, service):
    assert (await gateway.ask(b"GET HTTP://gw?x HTTP/1.1\r\nHost: gw\r\n\r\n")).status == 200
    assert (await gateway.ask(b"GET http://shop HTTP/1.0\r\n\r\n")).status == 200
    assert service.targets == ["/?x", "/"]
    assert service.requests[1]["host"] == "shop"


async def test_options_of_the_gateway_itself_are_answered_by_it(gateway, service):
    # RFC 9110 section 9.3.7.
    client = await gateway.connect()
    answer = await client.ask(b"OPTIONS * HTTP/1.1\r\nHost: gw\r\n\r\n")
    assert (answer.status, answer.body) == (200, b"")
    answer = await client.ask(b"OPTIONS /a HTTP/1.1\r\nHost: gw\r\nMax-Forwards: 0\r\n\r\n")
    assert (answer.status, answer.body) == (200, b"")
    answer = await client.ask(b"OPTIONS * HTTP/1.1\r\nHost: gw\r\nContent-Length: 5\r\n\r\nhello")
    assert (answer.status, answer.body) == (200, b"")
    assert not service.requests
    assert await client.is_open()


async def test_max_forwards_counts_down(gateway, service):
    # RFC 9110 section 7.6.2.
    for method in (b"OPTIONS", b"TRACE", b"GET"):
        await gateway.ask(method + b" /a HTTP/1.1\r\nHost: gw\r\nMax-Forwards: 3\r\n\r\n")
    assert [request["max-forwards"] for request in service.requests] == ["2", "2", "3"]
    assert (await gateway.ask(b"TRACE /a HTTP/1.1\r\nHost: gw\r\nMax-Forwards: 0\r\n\r\n")).status == 405
    assert len(service.requests) == 3


BEHIND = """
from gateway import policy


@policy
async def behind(exchange, next):
    response = await next(exchange)
    if exchange.request.path == "/added":
        response.headers.extend_lines(frozenset({b"x-added"}), b"x-added: 1\\r\\n")
    if exchange.request.path == "/framing":
        names = frozenset({b"content-length", b"x-added"})
        response.headers.extend_lines(names, b"content-length: 99\\r\\nx-added: 2\\r\\n")
    return response
"""


async def test_fields_behind_those_that_responses_share_are_sent_but_framing_is_the_connections(
    gateway_factory, upstream, tmp_path
):
    plugin = tmp_path / "behind.py"
    plugin.write_text(BEHIND)
    upstream.answer = lambda request: Reply(body=b"ok", headers=[("date", "Mon, 23 Nov 2026 08:00:00 GMT")])
    gateway = await gateway_factory({}, upstream=upstream, plugin_files=[plugin])
    for path, added in (("/added", ["1"]), ("/framing", ["2"]), ("/", [])):
        answer = await gateway.ask("GET", path)
        assert (answer.status, answer.body) == (200, b"ok")
        assert answer.all("x-added") == added
        assert answer.all("content-length") == ["2"]


PROMISING = """
from gateway import Body, Response, policy


async def pieces(count):
    for _ in range(count):
        yield b"12345"


@policy
async def promising(exchange, next):
    count = int(exchange.request.path.strip("/"))
    return Response(200, body=Body.from_iterable(pieces(count), length=10))
"""


@pytest.mark.parametrize(("pieces", "is_whole"), [(1, False), (2, True), (3, False)])
async def test_a_body_that_is_not_as_long_as_a_plugin_promised_is_cut(
    gateway_factory, upstream, tmp_path, pieces, is_whole
):
    plugin = tmp_path / "promising.py"
    plugin.write_text(PROMISING)
    gateway = await gateway_factory({}, upstream=upstream, plugin_files=[plugin])
    reader, writer = await asyncio.open_connection(*gateway.gateway.addresses[0])
    writer.write(b"GET /%d HTTP/1.1\r\nHost: gw\r\n\r\n" % pieces)
    assert b"content-length: 10\r\n" in await reader.readuntil(b"\r\n\r\n")
    async with asyncio.timeout(30):
        if is_whole:
            assert await reader.readexactly(10) == b"12345" * 2
            writer.write(b"GET /2 HTTP/1.1\r\nHost: gw\r\nConnection: close\r\n\r\n")
        rest = await reader.read()
    # Nothing beyond the length: a client would take it for the beginning of the next answer.
    assert rest.endswith(b"12345" * 2) if is_whole else rest in (b"", b"12345", b"12345" * 2)
    writer.close()
