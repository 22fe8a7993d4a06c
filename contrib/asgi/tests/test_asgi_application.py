"""The application, called directly."""

from __future__ import annotations

import asyncio

import pytest

from gateway.embedding import Gateway
from gateway.testing import Reply
from gateway_asgi import asgi_app

pytestmark = pytest.mark.anyio


async def ask(app, request_of, *arguments, body=b"", **options):
    request = request_of(app, *arguments, **options)
    request.tell(body)
    await request
    return await request.answer()


async def test_a_request_reaches_the_service_and_the_answer_comes_back(serve, request_of, upstream):
    upstream.answer = lambda request: Reply(
        201, headers={"x-a": "1", "date": "Sun, 06 Nov 1994 08:49:37 GMT", "server": "s"}, body=b"made"
    )
    app = await serve()
    headers = [(b"x-b", b"2"), (b"connection", b"x-hop"), (b"x-hop", b"3"), (b"te", b"trailers")]
    answer = await ask(app, request_of, "POST", "/a%20b", headers=headers, body=b"buy", query_string=b"q=1&r")
    status, fields, body = answer
    assert (status, body) == (201, b"made")
    assert (fields[b"x-a"], fields[b"content-length"]) == (b"1", b"4")
    assert b"date" not in fields, "the server writes it"
    assert b"server" not in fields
    (received,) = upstream.requests
    assert (received.method, received.target, received.body) == ("POST", "/a%20b?q=1&r", b"buy")
    assert (received["host"], received["x-b"]) == ("shop.example", "2")
    assert "x-hop" not in received
    assert received["x-forwarded-for"] == "192.0.2.7"
    assert received["x-forwarded-host"] == "shop.example"
    assert "192.0.2.7" in received["forwarded"]
    assert received["via"] == "1.1 gateway"
    assert fields[b"x-request-id"].decode() == received["x-request-id"]


async def test_only_trusted_proxies_are_believed(serve, request_of, upstream):
    forged = [(b"x-forwarded-for", b"203.0.113.9"), (b"x-forwarded-proto", b"https"), (b"x_forwarded_for", b"10.0.0.1")]
    app = await serve()
    await ask(app, request_of, headers=forged)
    app = await serve(trustedProxies=["192.0.2.0/24"], forwarded=False, via="edge")
    await ask(app, request_of, headers=forged)
    doubted, believed = upstream.requests
    assert (doubted["x-forwarded-for"], doubted["x-forwarded-proto"]) == ("192.0.2.7", "http")
    assert (believed["x-forwarded-for"], believed["x-forwarded-proto"]) == ("203.0.113.9, 192.0.2.7", "https")
    assert "x_forwarded_for" not in believed
    assert "forwarded" not in believed
    assert believed["via"] == "1.1 edge"


async def test_date_and_server_of_services_can_be_passed_on(serve, request_of, upstream):
    upstream.answer = lambda request: Reply(headers={"date": "Sun, 06 Nov 1994 08:49:37 GMT", "server": "s"})
    app = await serve(passDate=True)
    _, fields, _ = await ask(app, request_of)
    assert (fields[b"date"], fields[b"server"]) == (b"Sun, 06 Nov 1994 08:49:37 GMT", b"s")


async def test_head_and_204_have_no_content(serve, request_of, upstream):
    app = await serve()
    upstream.answer = lambda request: Reply(headers={"content-length": "5"}, body=b"")
    status, fields, body = await ask(app, request_of, "HEAD")
    assert (status, fields[b"content-length"], body) == (200, b"5", b"")
    upstream.answer = lambda request: Reply(204, body=b"")
    status, fields, body = await ask(app, request_of)
    assert (status, fields.get(b"content-length"), body) == (204, None, b"")


async def test_a_route_that_there_is_not(serve, request_of, configured, upstream):
    configuration = configured(upstream)
    configuration["router"]["rules"][0]["path"] = "/a"
    app = await serve(configuration)
    status, fields, _ = await ask(app, request_of, path="/b")
    assert (status, fields[b"content-type"]) == (404, b"application/problem+json")
    status, _, _ = await ask(app, request_of, "POST", "/_gateway/health")
    assert status in (401, 404, 405)
    assert (await ask(app, request_of, path="/_gateway/health"))[0] == 200


# Streaming.


async def test_a_body_streams_to_the_service_with_back_pressure(serve, request_of, upstream):
    app = await serve()
    request = request_of(app, "PUT", headers=[(b"transfer-encoding", b"chunked")])
    running = asyncio.ensure_future(_awaited(request))
    for _ in range(100):
        request.tell(b"x" * 10_000, more=True)
    request.tell(b"end")
    await running
    assert upstream.requests[0].body == b"x" * 1_000_000 + b"end"
    assert (await request.answer())[0] == 200


async def test_the_client_is_not_read_while_nobody_takes_what_it_sends(serve, request_of, upstream):
    """The service of this test reads nothing but the head."""
    read = 0
    took = asyncio.Event()

    async def serve_slowly(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        await took.wait()
        writer.transport.abort()

    server = await asyncio.start_server(serve_slowly, "127.0.0.1", 0, limit=1000)
    upstream.port = server.sockets[0].getsockname()[1]
    app = await serve()
    request = request_of(app, "PUT")

    async def receive():
        nonlocal read
        read += 1
        await asyncio.sleep(0)
        return {"type": "http.request", "body": b"x" * 1_000_000, "more_body": True}

    running = asyncio.ensure_future(app(request.scope, receive, request._send))
    await asyncio.sleep(0.3)
    before = read
    await asyncio.sleep(0.1)
    assert read == before <= 10
    took.set()
    await running
    server.close()
    assert (await request.answer())[0] in (413, 502)


async def test_an_answer_streams_as_fast_as_the_server_takes_it(serve, request_of, upstream):
    made = 0

    async def pieces():
        nonlocal made
        for _ in range(300):
            made += 1
            yield b"y" * 100_000

    upstream.answer = lambda request: Reply(body=pieces())
    app = await serve()
    request = request_of(app)
    request.tell()
    running = asyncio.ensure_future(_awaited(request))
    await request.sent.get()
    request.may_send.clear()
    await asyncio.sleep(0.3)
    before = made
    await asyncio.sleep(0.1)
    assert made == before < 300
    request.may_send.set()
    await running
    assert len((await request.answer())[2]) > 29_000_000


async def test_the_first_piece_is_sent_before_the_last_is_made(serve, request_of, upstream):
    go_on = asyncio.Event()

    async def pieces():
        yield b"first"
        await go_on.wait()
        yield b"second"

    upstream.answer = lambda request: Reply(body=pieces())
    app = await serve()
    request = request_of(app)
    request.tell()
    running = asyncio.ensure_future(_awaited(request))
    assert (await request.sent.get())["type"] == "http.response.start"
    assert (await request.sent.get())["body"] == b"first"
    go_on.set()
    await running
    assert (await request.answer())[2] == b"second"


# Clients that leave, and services that break off.


async def test_a_client_that_leaves_cancels_what_is_done_for_it(serve, request_of, upstream):
    asked, never = asyncio.Event(), asyncio.Event()

    async def answer(request):
        asked.set()
        await never.wait()
        return Reply()

    upstream.answer = answer
    gateway_app = await serve()
    request = request_of(gateway_app)
    request.tell()
    running = asyncio.ensure_future(_awaited(request))
    await asked.wait()
    request.leave()
    await running
    assert request.sent.empty()
    never.set()


async def test_a_client_that_leaves_in_the_middle_ends_the_answer(serve, request_of, upstream):
    never = asyncio.Event()

    async def pieces():
        yield b"first"
        await never.wait()

    upstream.answer = lambda request: Reply(body=pieces())
    app = await serve()
    request = request_of(app)
    request.tell()
    running = asyncio.ensure_future(_awaited(request))
    await request.sent.get()
    request.leave()
    await running
    never.set()


async def test_a_client_that_leaves_in_the_middle_of_its_request(serve, request_of, upstream):
    app = await serve()
    request = request_of(app, "PUT")
    request.tell(b"half", more=True)
    running = asyncio.ensure_future(_awaited(request))
    await asyncio.sleep(0.05)
    request.leave()
    await running
    assert upstream.requests == []


async def test_who_is_gone_at_once_is_not_answered(serve, request_of, upstream):
    app = await serve()
    request = request_of(app)
    request.leave()
    await request
    assert request.sent.empty()
    assert not upstream.requests


async def test_an_answer_that_breaks_off_breaks_off_for_the_client(serve, request_of, upstream):
    upstream.answer = lambda request: Reply(body=[b"half of it"], drop=True)
    app = await serve()
    request = request_of(app)
    request.tell()
    with pytest.raises(Exception, match=r"closed|broke|connection|before"):
        await request
    messages = [request.sent.get_nowait() for _ in range(request.sent.qsize())]
    assert messages[-1].get("more_body", False), "it was never said to be complete"


async def test_a_client_that_sends_nothing_is_answered_408(serve, request_of, upstream):
    app = await serve(readTimeout="50ms")
    request = request_of(app, "PUT")
    request.tell(b"half", more=True)
    await request
    assert (await request.answer())[0] == 408


async def test_a_client_that_takes_nothing_is_given_up(serve, request_of, upstream):
    upstream.answer = lambda request: Reply(body=[b"x" * 100 for _ in range(10)])
    app = await serve(writeTimeout="50ms")
    request = request_of(app)
    request.tell()
    request.may_send.clear()
    with pytest.raises(TimeoutError):
        await request


# What is refused.


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"headers": [(b"host", b"b")]}, 400),
        ({"path": "/a b"}, 400),
        ({"path": "/a", "query_string": b"a b"}, 400),
        ({"path": "/%zz"}, 400),
        ({"method": "BREW"}, 501),
        ({"method": "CONNECT"}, 501),
        ({"path": "/" + "a" * 9000}, 414),
    ],
)
async def test_what_is_malformed_is_refused(serve, request_of, upstream, options, status):
    app = await serve()
    assert (await ask(app, request_of, **options))[0] == status
    assert not upstream.requests


async def test_without_a_host_there_is_http_1_0_only(serve, request_of, upstream):
    app = await serve()
    request = request_of(app)
    request.scope["headers"] = []
    request.tell()
    await request
    assert (await request.answer())[0] == 400
    request = request_of(app, http_version="1.0")
    request.scope["headers"] = []
    request.tell()
    await request
    assert (await request.answer())[0] == 200


async def test_a_path_without_its_raw_form_is_quoted_again(serve, request_of, upstream):
    app = await serve()
    request = request_of(app, path="/a b/ü?")
    del request.scope["raw_path"]
    request.tell()
    await request
    assert upstream.requests[0].target == "/a%20b/%C3%BC%3F"


@pytest.mark.parametrize("is_announced", [True, False])
async def test_a_body_that_is_too_large_is_refused(serve, request_of, upstream, is_announced):
    app = await serve(maxRequestSize="1KB")
    assert (await ask(app, request_of, "PUT", body=b"x" * 1025))[0] == 413
    request = request_of(app, "PUT", headers=[(b"content-length", b"2000")] if is_announced else [])
    request.tell(b"x" * 1000, more=True)
    request.tell(b"x" * 1000)
    await request
    assert (await request.answer())[0] == 413


async def test_more_requests_at_once_than_allowed_are_refused(serve, request_of, upstream):
    go_on = asyncio.Event()

    async def answer(request):
        await go_on.wait()
        return Reply()

    upstream.answer = answer
    app = await serve(maxRequests=1)
    first = request_of(app)
    first.tell()
    running = asyncio.ensure_future(_awaited(first))
    await asyncio.sleep(0.05)
    assert (await ask(app, request_of))[0] == 503
    go_on.set()
    await running
    assert (await first.answer())[0] == 200


async def test_the_server_as_a_whole_is_asked_about(serve, request_of, upstream):
    app = await serve()
    assert (await ask(app, request_of, "OPTIONS", "*"))[0] == 200
    assert (await ask(app, request_of, "OPTIONS", "/", headers=[(b"max-forwards", b"0")]))[0] == 200
    assert not upstream.requests


async def test_websockets_are_refused(serve):
    app = await serve()
    can_refuse: dict[str, object] = {"websocket.http.response": {}}
    for extensions, types in (
        ({}, ["websocket.close"]),
        (can_refuse, ["websocket.http.response.start", "websocket.http.response.body"]),
    ):
        told: asyncio.Queue = asyncio.Queue()
        sent: asyncio.Queue = asyncio.Queue()
        told.put_nowait({"type": "websocket.connect"})
        await app({"type": "websocket", "path": "/", "headers": [], "extensions": extensions}, told.get, sent.put)
        assert [sent.get_nowait()["type"] for _ in range(sent.qsize())] == types


async def test_what_asgi_does_not_have_yet_is_not_served(serve):
    app = await serve()
    with pytest.raises(NotImplementedError):
        await app({"type": "telepathy"}, None, None)


# Its life.


async def test_without_a_lifespan_it_says_what_is_missing(configured, upstream, request_of):
    app = asgi_app(Gateway.from_mapping(configured(upstream)))
    request = request_of(app)
    request.tell()
    with pytest.raises(RuntimeError, match="lifespan on"):
        await request


async def test_a_configuration_that_cannot_be_served_fails_the_startup(living):
    app = asgi_app(Gateway.from_mapping({"router": {"rulez": []}}))
    with pytest.raises(RuntimeError, match="rulez"):
        async with living(app):
            raise AssertionError


async def test_without_its_block_the_startup_fails(living, configured, upstream):
    configuration = configured(upstream)
    configuration["frontend"] = {"http": {"host": "127.0.0.1", "port": 0}}
    with pytest.raises(RuntimeError, match=r"frontend\.asgi is not on"):
        async with living(asgi_app(Gateway.from_mapping(configuration))):
            raise AssertionError


async def test_a_gateway_that_was_entered_before_is_left_alone(living, configured, upstream, request_of):
    async with Gateway.from_mapping(configured(upstream)) as gateway:
        app = asgi_app(gateway)
        async with living(app):
            assert (await ask(app, request_of))[0] == 200
        assert gateway.is_entered
        assert (await ask(app, request_of))[0] == 200


async def test_what_is_under_way_when_it_stops_is_finished_or_cut(living, configured, upstream, request_of):
    never = asyncio.Event()

    async def pieces():
        yield b"first"
        await never.wait()

    upstream.answer = lambda request: Reply(body=pieces())
    app = asgi_app(Gateway.from_mapping(configured(upstream)))
    request = request_of(app)
    request.tell()
    async with living(app):
        running = asyncio.ensure_future(_awaited(request))
        await request.sent.get()
    with pytest.raises((asyncio.CancelledError, Exception)):
        await running
    never.set()


async def _awaited(request):
    await request


@pytest.mark.parametrize(
    ("block", "problem"), [({"trustedProxies": ["home"]}, "neither an address"), ({"port": 80}, "unknown key")]
)
async def test_what_cannot_be_meant_stops_the_start(serve, block, problem):
    with pytest.raises(RuntimeError, match=problem):
        await serve(**block)
