"""The example configurations that people begin with do what they show."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import ssl
import time
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from plugins.docker.tests.fake_engine import FakeEngine, container
from tests.documentation.users_service import UserService
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway.cli import main
from gateway.testing import Reply, websocket_echo

pytestmark = pytest.mark.anyio


def answering(text):
    return lambda request: Reply(body=text)


async def test_base_forwards_what_has_a_route(start_example, upstream):
    gateway = await start_example("base/gateway", {"example-service": [upstream]})
    assert (await gateway.ask("GET", "/api/example/hello")).status == 200
    assert (await gateway.ask("GET", "/other")).status == 404
    assert [request.target for request in upstream.requests] == ["/api/example/hello"]


async def test_auth_wants_a_token_or_a_key(start_example, upstream):
    rsa = RSAKey.generate_key(2048, {"kid": "one"})
    upstream.answer = lambda request: Reply.json({"keys": [rsa.as_dict(private=False)]})
    issuers: list[Any] = []

    def change(block):
        issuers.extend(block["auth"]["jwt"]["issuers"])
        issuers[0]["jwksUrl"] = f"http://127.0.0.1:{upstream.port}/jwks.json"

    gateway = await start_example("examples/auth", change=change)
    people, programs = issuers

    async def ask(method="GET", path="/orders/1", **headers):
        answer = await gateway.ask(method, path, headers={name.replace("_", "-"): headers[name] for name in headers})
        received = answer.json().get("headers", {})
        return answer.status, {name.lower(): value for name, value in received.items()}

    def token(issuer, key, **header):
        now_s = int(time.time())
        claims = {"iss": issuer["issuer"], "aud": "shop", "sub": "ada", "exp": now_s + 60, "iat": now_s}
        return "Bearer " + jwt.encode(header, {**claims, "realm_access": {"roles": ["buyer"]}}, key)

    assert (await ask())[0] == 401
    assert (await ask(path="/public"))[0] == 200
    assert (await ask(x_api_key="a-wrong-one-0123456789"))[0] == 401
    status, received = await ask(x_api_key="change-me-0123456789", x_auth_subject="root")
    assert (status, received["x-auth-subject"]) == (200, "web-shop")
    assert "x-api-key" not in received
    assert (await ask(authorization="ApiKey foo"))[0] == 200
    assert (await ask("POST", authorization="ApiKey foo"))[0] == 403
    assert (await ask("POST", x_api_key="change-me-0123456789"))[0] == 200
    secret = OctKey.import_key(programs["secret"])
    for bearer in (token(people, rsa, alg="RS256", kid="one"), token(programs, secret, alg="HS256")):
        status, received = await ask(authorization=bearer)
        assert (status, received["x-auth-subject"], received["x-auth-roles"]) == (200, "ada", '["buyer"]')
        assert "authorization" not in received
    assert (await ask(authorization=token(people, secret, alg="HS256")))[0] == 401


async def test_tls_speaks_tls_on_both_sides_and_tells_the_service_who_called(
    start_example, upstream_factory, tmp_path, capsys
):
    assert main(["dev-certs", "--out", str(tmp_path / "certs")]) == 0  # as the example says

    def context(purpose, name, authority="ca"):
        made = ssl.create_default_context(purpose, cafile=tmp_path / "certs" / f"{authority}.pem")
        if name:
            made.load_cert_chain(tmp_path / "certs" / f"{name}.pem", tmp_path / "certs" / f"{name}-key.pem")
        return made

    tls = context(ssl.Purpose.CLIENT_AUTH, "server")
    tls.verify_mode = ssl.CERT_REQUIRED
    orders = await upstream_factory(tls=tls)

    def change(block):
        block["frontend"]["http"]["tls"]["port"] = 0

    gateway = await start_example("examples/tls", {"orders": [orders]}, change)
    assert (await gateway.ask("GET", "/orders/1")).status == 200
    for name in ("", "client"):
        secure = gateway.client(listener=1, tls=context(ssl.Purpose.SERVER_AUTH, name))
        async with secure as client:
            assert (await client.ask("GET", "/orders/1")).status == 200
    assert ["client-cert" in request for request in orders.requests] == [False, False, True]


async def test_websocket_echoes_on_its_own_port(start_example, upstream_factory):
    echoes = [await upstream_factory() for _ in range(2)]
    for echo in echoes:
        echo.answer = websocket_echo
    gateway = await start_example("examples/websocket", {"echo": echoes})
    (_, http_port), (_, port) = gateway.gateway.addresses
    page: Any = "http://localhost:3000"
    elsewhere: Any = "http://elsewhere.example"
    async with open_websocket(f"ws://127.0.0.1:{port}/ws/echo", origin=page) as client:
        await client.send("hello")
        assert await client.recv() == "hello"
        await client.send("x" * (1024**2 + 1))
        with pytest.raises(ConnectionClosed) as closed:
            await client.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009
    with pytest.raises(InvalidStatus, match="403"):
        await open_websocket(f"ws://127.0.0.1:{port}/ws/echo", origin=elsewhere)
    async with contextlib.AsyncExitStack() as chats:
        for _ in range(5):
            await chats.enter_async_context(open_websocket(f"ws://127.0.0.1:{port}/ws/chat/1", origin=page))
        with pytest.raises(InvalidStatus, match="429"):
            await open_websocket(f"ws://127.0.0.1:{port}/ws/chat/1", origin=page)
    assert http_port != port
    assert (await gateway.ask("GET", "/ws/chat/page")).status == 400  # that of the service: it knows only handshakes


async def test_sse_passes_events_on_at_once_and_shares_a_stream(start_example, upstream):
    more = asyncio.Event()

    async def events():
        yield b"data: one\n\n"
        await more.wait()
        yield b"data: two\n\n"

    upstream.answer = lambda request: Reply(headers={"content-type": "text/event-stream"}, body=events())
    gateway = await start_example("examples/sse", {"events": [upstream]})
    async with gateway.stream("GET", "/events") as stream:
        pieces = aiter(stream.pieces())
        assert b"data: one" in await anext(pieces)  # while the service still has something to say
        more.set()
        assert b"data: two" in b"".join([piece async for piece in pieces])

    more.clear()
    async with gateway.stream("GET", "/ticker") as one, gateway.stream("GET", "/ticker") as other:
        both = [aiter(one.pieces()), aiter(other.pieces())]
        more.set()
        for pieces in both:
            assert b"data: two" in b"".join([piece async for piece in pieces])
    assert [request.target for request in upstream.requests] == ["/events", "/ticker"]


async def test_grpc_makes_calls_of_paths(start_example):
    with UserService() as one, UserService() as two:
        gateway = await start_example("examples/grpc", {"users": [one, two]})

        async def ask(method, path, body=None):
            headers = {"content-type": "application/json"} if body is not None else {}
            answer = await gateway.ask(method, path, headers=headers, body=json.dumps(body).encode() if body else b"")
            return answer.json()

        assert await ask("GET", "/users/7") == {"id": "7", "full_name": "GetUser"}
        assert await ask("DELETE", "/users/7") == {"id": "7", "full_name": "DeleteUser"}
        changed = await ask("PATCH", "/users/7", {"full_name": "Ada"})
        assert changed == {"id": "7", "full_name": "UpdateUser Ada"}
        by_name = await ask("POST", "/api/users.v1.UserService/GetUser", {"id": "8"})
        assert by_name == {"id": "8", "fullName": "GetUser"}


async def test_docker_finds_services_by_the_labels_of_containers(start_example, upstream):
    engine = FakeEngine()
    addresses = {"shop": {"IPAddress": "127.0.0.1", "GlobalIPv6Address": ""}}
    labels = {"gateway.service": "orders", "gateway.port": str(upstream.port)}
    engine.containers = [container(1, labels=labels, NetworkSettings={"Networks": addresses})]
    await engine.start()
    try:
        gateway = await start_example("examples/docker", change=lambda block: at(block, engine.host))
        assert (await gateway.ask("GET", "/orders/1")).status == 200
    finally:
        await engine.stop()


def at(block, host):
    block["registry"]["docker"]["host"] = host


async def test_session_affinity_keeps_a_client_on_its_instance(start_example, upstream_factory):
    shops = [await upstream_factory() for _ in range(2)]
    for name, shop in zip(("one", "two"), shops, strict=True):
        shop.answer = answering(name)
    gateway = await start_example("examples/session-affinity", {"shop": shops})
    first = await gateway.ask("GET", "/shop/1")
    cookie = first["set-cookie"].partition(";")[0]
    assert cookie.startswith("GATEWAY_SESSION=")
    again = [await gateway.ask("GET", "/shop/1", headers={"cookie": cookie}) for _ in range(6)]
    assert {answer.text for answer in again} == {first.text}
    sessions = {
        session: {(await gateway.ask("GET", "/api/1", headers={"x-session-id": session})).text for _ in range(3)}
        for session in map(str, range(20))
    }
    assert all(len(instances) == 1 for instances in sessions.values())
    assert set().union(*sessions.values()) == {"one", "two"}


async def test_ratelimit_refuses_what_is_too_much(start_example):
    gateway = await start_example("examples/ratelimit")
    guesses = [await gateway.ask("POST", "/login") for _ in range(8)]
    assert [answer.status for answer in guesses] == [200] * 5 + [429] * 3
    assert 0 < int(guesses[-1]["retry-after"]) <= 60
    assert (await gateway.ask("GET", "/orders/1"))["x-ratelimit-limit"] == "200"
    reports = [(await gateway.ask("GET", "/reports", headers={"x-tenant": "a"})).status for _ in range(4)]
    assert (reports[0], 429 in reports) == (200, True)
    assert "x-ratelimit-limit" not in await gateway.ask("GET", "/health")


async def test_circuit_breaker_opens_and_leaves_the_service_alone(start_example, upstream_factory):
    orders, payments = [await upstream_factory() for _ in range(2)], await upstream_factory()
    for each in (*orders, payments):
        each.answer = lambda request: Reply(503)
    gateway = await start_example("examples/circuit-breaker", {"orders": orders, "payments": [payments]})
    for path, failures, longest_s in (("/payments/1", 3, 10), ("/orders/1", 5, 30)):
        answers = [await gateway.ask("GET", path) for _ in range(failures + 2)]
        assert {answer.status for answer in answers} == {503}
        assert ["retry-after" in answer for answer in answers] == [False] * failures + [True] * 2
        assert 0 < int(answers[-1]["retry-after"]) <= longest_s
    assert len(payments.requests) == 3
    assert sum(len(each.requests) for each in orders) == 5


async def test_retry_tries_another_instance(start_example, upstream_factory):
    broken, good, payments = [await upstream_factory() for _ in range(3)]
    broken.answer = payments.answer = lambda request: Reply(503)
    services = {"orders": [broken, good], "payments": [payments]}
    gateway = await start_example("examples/retry", services, change=no_pauses)
    assert {(await gateway.ask("GET", "/orders/1")).status for _ in range(6)} == {200}
    assert broken.requests
    assert {(await gateway.ask("GET", "/reports/1")).status for _ in range(4)} == {200, 503}
    assert (await gateway.ask("POST", "/payments/1")).status == 503
    assert len(payments.requests) == 1
    assert (await gateway.ask("POST", "/payments/1", headers={"idempotency-key": "1"})).status == 503
    assert len(payments.requests) == 1 + 2


def no_pauses(block):
    block["retry"]["initialDelay"] = 1


async def test_telemetry_exports_to_the_collector_and_shows_metrics(start_example, upstream_factory):
    orders, collector = await upstream_factory(), await upstream_factory()

    def change(block):
        for signal in (block["telemetry"]["tracing"], block["telemetry"]["metrics"]):
            signal["endpoint"] = f"localhost:{collector.port}"
        block["telemetry"]["tracing"]["batchTimeout"] = 0.05
        block["telemetry"]["metrics"]["interval"] = 1

    gateway = await start_example("examples/telemetry", {"orders": [orders]}, change)
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    assert (await gateway.ask("GET", "/orders/1", headers=headers)).status == 200
    assert orders.requests[0]["traceparent"].split("-")[1] == trace
    assert 'gateway_http_requests_total{method="GET",path="/orders/:id"' in (await gateway.ask("GET", "/metrics")).text
    await gateway.eventually(lambda: {"/v1/traces", "/v1/metrics"} <= {each.target for each in collector.requests})
    bodies = {request.target: gzip.decompress(request.body) for request in collector.requests}
    (resource,) = ExportTraceServiceRequest.FromString(bodies["/v1/traces"]).resource_spans
    attributes = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert (attributes["service.name"], attributes["service.version"]) == ("edge", "1.0")
    assert trace in {span.trace_id.hex() for scope in resource.scope_spans for span in scope.spans}
    assert ExportMetricsServiceRequest.FromString(bodies["/v1/metrics"]).resource_metrics
