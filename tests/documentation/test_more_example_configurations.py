"""The other example configurations do what they show."""

from __future__ import annotations

import json

import httpcore
import pytest

from gateway.testing import Reply

pytestmark = pytest.mark.anyio


async def test_minimal_proxies(start_example, upstream):
    gateway = await start_example("examples/minimal", {"httpbin": [upstream]})
    assert (await gateway.ask("GET", "/get")).text == "ok"


async def test_access_log_has_a_line_for_each_request_without_secrets(start_example, upstream, tmp_path):
    def change(block):
        block["plugins"]["jsonlog"]["output"] = "access.log"

    gateway = await start_example("examples/access-log", {"httpbin": [upstream]}, change)
    await gateway.ask("GET", "/get?page=2&token=secret", headers={"referer": "https://shop.example/"})
    log = tmp_path / "access.log"
    await gateway.eventually(lambda: log.exists() and log.read_text().endswith("\n"))
    assert "secret" not in log.read_text()
    line = json.loads(log.read_text())
    assert (line["status"], line["environment"]) == (200, "development")
    assert "page=2&token=***" in json.dumps(line)
    assert "https://shop.example/" in json.dumps(line)


async def test_load_balancing_is_by_weight_and_by_cookie_and_spares_the_reserve(start_example, upstream_factory):
    heavy, light, reserve, *carts = [await upstream_factory() for _ in range(5)]
    services = {"orders": [heavy, light, reserve], "carts": carts}
    gateway = await start_example("examples/advanced-loadbalancing", services)
    for _ in range(8):
        await gateway.ask("GET", "/orders/1")
    assert [len(each.requests) for each in (heavy, light, reserve)] == [6, 2, 0]
    for _ in range(4):
        await gateway.ask("GET", "/carts/1", headers={"cookie": "cart=7"})
    assert sorted(len(each.requests) for each in carts) == [0, 4]
    await heavy.stop()
    await light.stop()
    statuses = [(await gateway.ask("GET", "/search/1")).status for _ in range(3)]
    assert 502 in statuses  # nothing says yet that they are gone: that is what health checks are for


async def test_cache_answers_what_may_be_given_again(start_example, upstream):
    upstream.answer = lambda request: Reply(headers={"cache-control": "max-age=60"} if "cat" in request.target else {})
    gateway = await start_example("examples/cache", {"shop": [upstream]})
    for path in ("/catalogue/1", "/feed", "/basket/1"):
        for _ in range(3):
            assert (await gateway.ask("GET", path)).status == 200
    asked = [request.target for request in upstream.requests]
    assert [asked.count(path) for path in ("/catalogue/1", "/feed", "/basket/1")] == [1, 1, 3]


async def test_cors_lets_in_origins_that_are_named(start_example, upstream):
    gateway = await start_example("examples/cors", {"httpbin": [upstream]})

    async def preflight(path, origin):
        headers = {"origin": origin, "access-control-request-method": "PUT"}
        return await gateway.ask("OPTIONS", path, headers=headers)

    allowed = await preflight("/get", "https://eu.shop.example")
    assert allowed["access-control-allow-origin"] == "https://eu.shop.example"
    assert allowed["access-control-allow-credentials"] == "true"
    assert "access-control-allow-origin" not in await preflight("/get", "https://elsewhere.example")
    public = await preflight("/public/get", "https://elsewhere.example")
    assert public["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in public
    assert not upstream.requests


async def test_forward_auth_asks_who_may_pass(start_example, upstream_factory):
    orders, judge = await upstream_factory(), await upstream_factory()
    judge.answer = lambda request: Reply(200, headers={"remote-user": "ada"}) if "cookie" in request else Reply(401)

    def change(block):
        block["plugins"]["forward-auth"]["url"] = f"http://127.0.0.1:{judge.port}/verify"

    gateway = await start_example("examples/forward-auth", {"orders": [orders]}, change)
    assert (await gateway.ask("GET", "/orders/1", headers={"remote-user": "root"})).status == 401
    assert (await gateway.ask("GET", "/orders/1", headers={"cookie": "session=1", "remote-user": "root"})).status == 200
    assert (await gateway.ask("GET", "/public/1")).status == 200
    assert orders.requests[0]["remote-user"] == "ada"


async def test_health_takes_out_what_does_not_work(start_example, upstream_factory):
    good, bad, billing = [await upstream_factory() for _ in range(3)]
    bad.answer = lambda request: Reply(503)

    def change(block):
        block["health"]["active"] |= {"interval": 0.1, "timeout": 1}
        block["health"]["checks"]["database"]["config"]["address"] = f"127.0.0.1:{billing.port}"

    gateway = await start_example("examples/health", {"orders": [good, bad], "billing": [billing]}, change)
    # With the fifth question it is known what came of the fourth, which is one more than takes an instance out.
    await gateway.eventually(lambda: len(bad.requests) >= 5)
    assert [(await gateway.ask("GET", "/orders/1")).status for _ in range(6)] == [200] * 6
    assert {request.target for request in billing.requests} == set()
    assert (await gateway.ask("GET", "/health")).status == 200
    assert (await gateway.ask("GET", "/live")).status == 200


async def test_http2_is_on_the_port_of_http1(start_example, upstream):
    gateway = await start_example("examples/http2", {"old": [upstream]})
    for http2 in (False, True):
        async with httpcore.AsyncConnectionPool(http1=not http2, http2=http2) as client:
            answer = await client.request("GET", f"{gateway.url}/x")
            assert answer.status == 200
            assert answer.extensions["http_version"] == (b"HTTP/2" if http2 else b"HTTP/1.1")
    assert len(upstream.requests) == 2


async def test_metrics_are_on_a_port_of_their_own(start_example, upstream, free_tcp_port):
    def change(block):
        block["metrics"]["port"] = free_tcp_port

    gateway = await start_example("examples/metrics", {"orders": [upstream]}, change)
    await gateway.ask("GET", "/orders/7")
    async with httpcore.AsyncConnectionPool() as client:
        answer = await client.request("GET", f"http://127.0.0.1:{free_tcp_port}/metrics")
    text = answer.content.decode()
    assert 'gateway_http_requests_total{method="GET",path="/orders/:id",status="200"} 1' in text
    assert 'le="0.005"' in text
    assert (await gateway.ask("GET", "/metrics")).status == 404


async def test_request_limits_are_those_of_the_route(start_example, upstream):
    gateway = await start_example("examples/request-limits", {"httpbin": [upstream]})
    large = bytes(2_000_000)
    assert (await gateway.ask("POST", "/post", body=large)).status == 413
    assert (await gateway.ask("POST", "/upload", body=large)).status == 200
    assert (await gateway.ask("POST", "/anything/search", body=bytes(5000))).status == 413
    assert (await gateway.ask("GET", "/anything/search?" + "q" * 600)).status == 414
    assert [request.target for request in upstream.requests] == ["/anything/upload"]


async def test_llm_limits_count_tokens_of_each_key(start_example, upstream):
    usage = {"prompt_tokens": 60_000, "completion_tokens": 60_000, "total_tokens": 120_000}
    upstream.answer = lambda request: Reply.json({"model": "gpt-9", "choices": [], "usage": usage})

    def change(block):
        block["auth"]["apiKey"]["keys"][0]["key"] = "change-me-change-me"

    gateway = await start_example("examples/llm-limits", {"models": [upstream]}, change)
    body = json.dumps({"model": "gpt-9", "messages": [{"role": "user", "content": "hello"}]}).encode()

    async def ask(**headers):
        fields = {"content-type": "application/json", **{key.replace("_", "-"): headers[key] for key in headers}}
        return (await gateway.ask("POST", "/v1/chat/completions", headers=fields, body=body)).status

    assert await ask() == 401
    assert [await ask(x_api_key="change-me-change-me") for _ in range(2)] == [200, 429]
