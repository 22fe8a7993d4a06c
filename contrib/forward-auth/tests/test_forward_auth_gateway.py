"""External authorisation through a whole gateway, over real sockets."""

from __future__ import annotations

import asyncio
import logging
import ssl

import pytest
import trustme

from gateway.errors import ConfigurationError
from gateway.testing import Reply

pytestmark = pytest.mark.anyio


@pytest.fixture
async def auth(upstream_factory):
    """The service that decides: it lets pass, until the test says otherwise."""
    return await upstream_factory()


@pytest.fixture
def start(gateway_factory, upstream, auth):
    """Return a function that starts a gateway whose requests are decided by ``auth``."""

    async def start_gateway(gateway=None, rule=None, **block):
        block = {"url": f"http://127.0.0.1:{auth.port}/verify?v=1", **block}
        configuration = {"plugins": {"forward-auth": block}, **(gateway or {})}
        return await gateway_factory(configuration, upstream=upstream, rule=rule)

    return start_gateway


def counted(gateway, outcome):
    for family in gateway.gateway.plane._metrics.snapshot():
        if family.name == "gateway_forward_auth_decisions_total":
            return sum(value for (_, label), value in family.series.items() if label == outcome)
    return 0


async def test_a_2xx_lets_the_request_pass_as_it_was(start, upstream, auth):
    auth.answer = lambda request: Reply(204, body=b"")
    gateway = await start()
    answer = await gateway.ask("POST", "/orders?a=1", body=b"buy", headers={"authorization": "Bearer t"})
    assert answer.text == "ok"
    (received,) = upstream.requests
    assert (received.method, received.target, received.body) == ("POST", "/orders?a=1", b"buy")
    assert received["authorization"] == "Bearer t"
    assert counted(gateway, "allowed") == 1


async def test_the_service_is_told_what_is_asked_for_and_by_whom(start, auth):
    gateway = await start()
    headers = {"host": "shop.example", "cookie": "s=1", "x-internal": "no", "accept": "text/html"}
    await gateway.ask("DELETE", "/orders/7?hard=1", headers=headers)
    (asked,) = auth.requests
    assert (asked.method, asked.target, asked.body) == ("GET", "/verify?v=1", b"")
    assert asked["host"] == f"127.0.0.1:{auth.port}"
    assert asked["x-forwarded-method"] == "DELETE"
    assert asked["x-forwarded-uri"] == "/orders/7?hard=1"
    assert asked["x-forwarded-host"] == "shop.example"
    assert asked["x-forwarded-proto"] == "http"
    assert asked["x-forwarded-for"] == "127.0.0.1"
    assert (asked["cookie"], asked["accept"]) == ("s=1", "text/html")
    assert "x-internal" not in asked


async def test_only_listed_headers_are_sent_and_secrets_can_be_added(start, auth, caplog):
    caplog.set_level(logging.DEBUG)
    gateway = await start(requestHeaders=["X-Api-Key"], addHeaders={"X-Shared": "hush-hush"}, method="POST")
    await gateway.ask("GET", "/", headers={"x-api-key": "k", "cookie": "s=1", "x-shared": "forged"})
    (asked,) = auth.requests
    assert asked.method == "POST"
    assert (asked["x-api-key"], asked["x-shared"], asked["content-length"]) == ("k", "hush-hush", "0")
    assert "cookie" not in asked
    assert "hush-hush" not in caplog.text
    assert "hush-hush" not in repr(gateway.gateway.configuration.raw)


async def test_the_original_method_can_be_used(start, auth):
    gateway = await start(method="original")
    await gateway.ask("PATCH", "/")
    assert auth.requests[0].method == "PATCH"


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (302, {"location": "https://login.example/?rd=x", "set-cookie": "state=1"}),
        (401, {"www-authenticate": 'Basic realm="staff"', "content-type": "text/html"}),
        (403, {}),
        (429, {"retry-after": "7"}),
    ],
)
async def test_other_answers_go_to_the_client_as_they_are(start, upstream, auth, status, headers):
    fields = {**headers, "connection": "x-hop", "x-hop": "1"}
    auth.answer = lambda request: Reply(status, headers=fields, body=b"<p>no</p>")
    gateway = await start()
    answer = await gateway.ask("GET", "/")
    assert (answer.status, answer.body) == (status, b"<p>no</p>")
    assert headers.items() <= dict(answer.fields).items()
    assert "x-hop" not in answer
    assert not upstream.requests
    assert counted(gateway, "denied") == 1


async def test_every_cookie_of_a_refusal_reaches_the_client(start, auth):
    auth.answer = lambda request: Reply(302, headers=[("set-cookie", "a=1"), ("set-cookie", "b=2")], body=b"")
    gateway = await start()
    assert (await gateway.ask("GET", "/")).all("set-cookie") == ["a=1", "b=2"]


async def test_a_head_request_is_refused_without_a_body(start, auth):
    auth.answer = lambda request: Reply(403, body=b"no")
    gateway = await start()
    async with gateway.client() as client:
        assert (await client.ask("HEAD", "/")).status == 403
        assert (await client.ask("GET", "/")).body == b"no", "and the connection goes on"


# What the service and the client are told.


async def test_fields_of_the_answer_reach_the_service_and_forged_ones_do_not(start, upstream, auth):
    auth.answer = lambda request: Reply(200, headers={"remote-user": "jo", "x-other": "1"})
    gateway = await start(responseHeaders=["Remote-User", "Remote-Groups"])
    forged = [("Remote-User", "root"), ("remote_user", "root"), ("REMOTE-GROUPS", "admin")]
    await gateway.ask("GET", "/", headers=forged)
    (received,) = upstream.requests
    assert received.all("remote-user") == ["jo"]
    assert "remote_user" not in received
    assert "remote-groups" not in received
    assert "x-other" not in received


async def test_forged_fields_do_not_reach_the_service_that_decides_either(start, auth):
    gateway = await start(responseHeaders=["Remote-User"], requestHeaders=["Remote-User"])
    await gateway.ask("GET", "/", headers={"remote-user": "root"})
    assert "remote-user" not in auth.requests[0]


async def test_fields_of_the_answer_can_go_to_the_client(start, auth):
    auth.answer = lambda request: Reply(200, headers=[("set-cookie", "s=2"), ("x-auth", "yes")])
    gateway = await start(clientHeaders=["Set-Cookie"])
    answer = await gateway.ask("GET", "/")
    assert (answer["set-cookie"], answer.get("x-auth")) == ("s=2", None)


async def test_the_answer_can_say_who_is_calling(start, upstream, auth):
    auth.answer = lambda request: Reply(200, headers={"remote-user": "jo", "remote-groups": "read, write"})
    principal = {"subject": "Remote-User", "scopes": "Remote-Groups"}
    gateway = await start({"auth": {"identityHeaders": {"subject": "X-Auth-Subject"}}}, principal=principal)
    await gateway.ask("GET", "/", headers={"x-auth-subject": "root"})
    assert upstream.requests[0].all("x-auth-subject") == ["jo"]


@pytest.mark.parametrize("headers", [[], [("remote-user", "")], [("remote-user", "jo"), ("remote-user", "root")]])
async def test_an_answer_that_does_not_say_who_is_calling_refuses(start, upstream, auth, headers):
    auth.answer = lambda request: Reply(200, headers=headers)
    gateway = await start(principal={"subject": "Remote-User"})
    assert (await gateway.ask("GET", "/")).status == 503
    assert not upstream.requests


# Bodies.


async def test_the_body_can_be_sent_and_still_reaches_the_service(start, upstream, auth):
    gateway = await start(method="POST", maxBodySize="1KB")
    async with gateway.client() as client:
        assert (await client.ask("PUT", "/", body=b"x" * 1024)).status == 200
        assert (await client.ask("PUT", "/", headers={"transfer-encoding": "chunked"}, body=b"y" * 1000)).status == 200
    assert [len(request.body) for request in auth.requests] == [1024, 1000]
    assert [request.body for request in upstream.requests] == [b"x" * 1024, b"y" * 1000]


async def test_a_body_that_is_too_large_for_it_is_refused_with_413(start, upstream, auth):
    gateway = await start(method="POST", maxBodySize="1KB")
    assert (await gateway.ask("PUT", "/", body=b"x" * 1025)).status == 413
    chunked = {"transfer-encoding": "chunked"}
    assert (await gateway.ask("PUT", "/", headers=chunked, body=b"x" * 100_000)).status == 413
    assert not auth.requests
    assert not upstream.requests


# Failure.


@pytest.mark.parametrize(
    "reply",
    [
        Reply(500),
        Reply(503, headers={"x-internal": "secret"}, body=b"stack trace"),
        Reply(body=b"", drop=True),
        Reply(403, body=b"x" * 70_000),
        Reply(403, body=[b"x" * 70_000]),
        Reply(200, body=b"half of it", drop=True),
    ],
)
async def test_no_decision_refuses_with_503(start, upstream, auth, reply):
    auth.answer = lambda request: reply
    gateway = await start()
    answer = await gateway.ask("GET", "/")
    assert (answer.status, answer.json()["plugin"]) == (503, "forward-auth")
    assert b"stack" not in answer.body
    assert "x-internal" not in answer
    assert not upstream.requests
    assert counted(gateway, "error") == 1


async def test_a_service_that_is_away_refuses_with_503_until_it_is_back(start, upstream, auth):
    gateway = await start()
    await auth.stop()
    assert (await gateway.ask("GET", "/")).status == 503
    await auth.start()
    assert (await gateway.ask("GET", "/")).status == 200
    assert len(upstream.requests) == 1


async def test_a_slow_service_refuses_when_its_time_is_over(start, upstream, auth):
    auth.answer = lambda request: Reply(200, delay_s=5)
    gateway = await start(timeout="50ms")
    assert (await gateway.ask("GET", "/")).status == 503
    assert counted(gateway, "timeout") == 1
    assert not upstream.requests


async def test_connections_are_kept_and_one_that_went_stale_is_replaced(start, auth):
    gateway = await start()
    for _ in range(5):
        await gateway.ask("GET", "/")
    assert auth.connections == 1
    await auth.stop()
    await auth.start()
    assert (await gateway.ask("GET", "/")).status == 200


async def test_who_waits_for_a_connection_waits_no_longer_than_the_time_out(start, auth):
    auth.answer = lambda request: Reply(200, delay_s=5)
    gateway = await start(maxConnections=1, timeout="500ms")
    answers = await asyncio.gather(*(gateway.ask("GET", "/") for _ in range(5)))
    assert [answer.status for answer in answers] == [503] * 5
    # Who came a moment after the first may have its connection for the rest of the time.
    assert len(auth.requests) < 5


async def test_a_client_that_goes_away_leaves_nothing_behind(start, upstream, auth):
    asked = asyncio.Event()
    let_go = asyncio.Event()

    async def answer(request):
        asked.set()
        await let_go.wait()
        return Reply()

    auth.answer = answer
    gateway = await start()
    async with gateway.client() as client:
        asking = asyncio.ensure_future(client.begin("GET", "/"))
        await asked.wait()
        asking.cancel()
    await gateway.eventually(lambda: not gateway.gateway.plane.in_flight())
    let_go.set()
    assert not upstream.requests


async def test_the_service_is_asked_over_tls(gateway_factory, upstream, upstream_factory, tmp_path):
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    (tmp_path / "ca.pem").write_bytes(authority.cert_pem.bytes())
    auth = await upstream_factory(tls=server)
    url = f"https://127.0.0.1:{auth.port}/"
    trusting = await gateway_factory(
        {"plugins": {"forward-auth": {"url": url, "tls": {"caFile": "ca.pem"}}}}, upstream=upstream
    )
    assert (await trusting.ask("GET", "/")).status == 200
    doubting = await gateway_factory({"plugins": {"forward-auth": {"url": url}}}, upstream=upstream)
    assert (await doubting.ask("GET", "/")).status == 503


# Where it applies.


async def test_a_rule_can_do_without_or_ask_elsewhere(start, upstream_factory, auth):
    auth.answer = lambda request: Reply(403)
    other = await upstream_factory()
    gateway = await start(rule={"plugins": {"forward-auth": {"url": f"http://127.0.0.1:{other.port}/"}}})
    assert (await gateway.ask("GET", "/")).status == 200
    gateway = await start(rule={"plugins": {"forward-auth": {"enabled": False}}})
    assert (await gateway.ask("GET", "/")).status == 200
    assert not auth.requests


async def test_its_failure_can_let_nobody_pass(start):
    with pytest.raises(ConfigurationError, match="would let anybody in"):
        await start(onError="allow")


# What it let pass is remembered.


async def test_a_decision_is_remembered_for_the_same_request(start, upstream, auth):
    auth.answer = lambda request: Reply(200, headers={"remote-user": "jo"})
    gateway = await start(cache={"ttl": "1m"}, responseHeaders=["Remote-User"])
    same = {"authorization": "Bearer a", "host": "x"}
    for _ in range(3):
        await gateway.ask("GET", "/a", headers=same)
    assert len(auth.requests) == 1
    assert [request["remote-user"] for request in upstream.requests] == ["jo"] * 3
    assert (counted(gateway, "allowed"), counted(gateway, "cached")) == (1, 2)
    for method, target, headers in (
        ("GET", "/b", same),
        ("GET", "/a?x=1", same),
        ("PUT", "/a", same),
        ("GET", "/a", {**same, "authorization": "Bearer b"}),
        ("GET", "/a", {**same, "cookie": "s=1"}),
        ("GET", "/a", {**same, "host": "y"}),
    ):
        before = len(auth.requests)
        await gateway.ask(method, target, headers=headers)
        assert len(auth.requests) == before + 1, (method, target, headers)


async def test_a_decision_can_depend_on_credentials_only(start, auth):
    gateway = await start(cache={"ttl": 60, "by": []}, requestHeaders=["Authorization"])
    for target in ("/a", "/b?c"):
        await gateway.ask("GET", target, headers={"authorization": "Bearer a", "cookie": target})
    assert len(auth.requests) == 1
    await gateway.ask("GET", "/a")
    assert len(auth.requests) == 2


@pytest.mark.parametrize(
    "reply", [Reply(403), Reply(200, headers={"set-cookie": "s=1"}), Reply(200, headers={"cache-control": "no-store"})]
)
async def test_refusals_cookies_and_what_forbids_it_are_not_remembered(start, auth, reply):
    auth.answer = lambda request: reply
    gateway = await start(cache={"ttl": 60})
    for _ in range(2):
        await gateway.ask("GET", "/")
    assert len(auth.requests) == 2


# What cannot be meant.


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        ({"url": "auth:9091"}, "not a URL"),
        ({"url": "ftp://auth/"}, "not a URL"),
        ({"url": "http://auth/#x"}, "not a URL"),
        ({"url": "http://auth/ x"}, "not a URL"),
        ({"url": "http://[::1/"}, "not a URL"),
        ({"url": "http://me:secret@auth/"}, "addHeaders"),
        ({"method": "get"}, "not a method"),
        ({"method": "CONNECT"}, "not a method"),
        ({"requestHeaders": ["a b"]}, "not the name of a header"),
        ({"requestHeaders": ["Host"]}, "cannot be passed on"),
        ({"responseHeaders": ["Transfer-Encoding"]}, "cannot be passed on"),
        ({"addHeaders": {"x-a": "a\r\nb: c"}}, "line break"),
        ({"maxBodySize": 10}, "carries no body"),
        ({"maxBodySize": 10, "method": "POST", "cache": {"ttl": 1}}, "cannot be remembered"),
        ({"tls": {"caFile": "ca.pem"}}, "no effect on an http URL"),
        ({"url": "https://auth/", "tls": {"certFile": "a"}}, "belong together"),
        ({"url": "https://auth/", "tls": {"caFile": "missing.pem"}}, "could not be built"),
        ({"timeout": 0}, "too small"),
        ({"cache": {}}, "ttl"),
        ({"principal": {}}, "subject"),
    ],
)
async def test_what_cannot_be_meant_stops_the_start(start, block, problem):
    with pytest.raises(ConfigurationError, match=problem) as caught:
        await start(**block)
    assert "secret" not in str(caught.value)
