"""Retries through a whole gateway, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time

import pytest

from gateway.testing import Reply

pytestmark = pytest.mark.anyio

FAST = {"initialDelay": "1ms", "maxDelay": "2ms"}


def failing(times, status=503, **reply):
    """Answer so many times with a failure, then with 200."""
    left = [times]

    def answer(request):
        if left[0]:
            left[0] -= 1
            return Reply(status, body=b"down", **reply)
        return Reply(body=request.body or b"ok")

    return answer


def counted(gateway, name, **labels):
    """Return what a counter of the gateway shows."""
    for family in gateway.gateway.plane._metrics.snapshot():
        if family.name == name:
            return sum(
                value
                for values, value in family.series.items()
                if labels.items() <= dict(zip(family.label_names, values, strict=True)).items()
            )
    return 0


async def test_a_failed_request_is_tried_again(gateway_factory, upstream):
    upstream.answer = failing(2)
    gateway = await gateway_factory({"retry": FAST}, upstream=upstream)
    assert (await gateway.ask("GET", "/")).text == "ok"
    assert len(upstream.requests) == 3
    assert counted(gateway, "gateway_retry_attempts_total", service="service", reason="status") == 2
    assert counted(gateway, "gateway_retry_recovered_total") == 1


@pytest.mark.parametrize(("tries", "asked"), [(0, 1), (1, 1), (2, 2), (5, 5)])
async def test_max_attempts_counts_all_tries(gateway_factory, upstream, tries, asked):
    upstream.answer = failing(99)
    gateway = await gateway_factory({"retry": {**FAST, "maxAttempts": tries}}, upstream=upstream)
    assert (await gateway.ask("GET", "/")).status == 503
    assert len(upstream.requests) == asked


async def test_the_last_answer_of_the_service_is_returned(gateway_factory, upstream):
    upstream.answer = lambda request: Reply(502, body=f"try {len(upstream.requests)}", headers={"x-why": "broken"})
    gateway = await gateway_factory({"retry": FAST}, upstream=upstream)
    answer = await gateway.ask("GET", "/")
    assert (answer.status, answer.text, answer["x-why"]) == (502, "try 3", "broken")
    assert counted(gateway, "gateway_retry_given_up_total", reason="attempts") == 1


async def test_an_answer_outlives_a_later_try_without_one(gateway_factory, upstream):
    upstream.answer = lambda request: (
        Reply(503, body=b"the service's own words") if len(upstream.requests) == 1 else Reply(body=b"", drop=True)
    )
    gateway = await gateway_factory({"retry": FAST}, upstream=upstream)
    assert (await gateway.ask("GET", "/")).text == "the service's own words"
    assert counted(gateway, "gateway_retry_attempts_total") == 2


async def test_without_any_answer_the_error_is_the_gateways(gateway_factory, upstream):
    upstream.answer = lambda request: Reply(body=b"", drop=True)
    gateway = await gateway_factory({"retry": FAST}, upstream=upstream)
    answer = await gateway.ask("GET", "/")
    assert (answer.status, answer.json()["code"]) == (502, "bad_gateway")
    assert len(upstream.requests) == 3
    assert counted(gateway, "gateway_retry_attempts_total", reason="bad_gateway") == 2


async def test_the_failed_instance_is_avoided(gateway_factory, upstream_factory):
    broken, healthy = await upstream_factory(), await upstream_factory()
    broken.answer = lambda request: Reply(503)
    gateway = await gateway_factory({"retry": FAST}, upstream=[broken, healthy])
    for _ in range(10):
        assert (await gateway.ask("GET", "/")).status == 200
    assert len(healthy.requests) == 10
    assert len(broken.requests) <= 10


async def test_when_all_instances_failed_the_one_before_last_is_asked_again(gateway_factory, upstream_factory):
    services = [await upstream_factory(), await upstream_factory()]
    order: list[int] = []

    def answering(number):
        def answer(request):
            order.append(number)
            return Reply(503)

        return answer

    for number, each in enumerate(services):
        each.answer = answering(number)
    gateway = await gateway_factory({"retry": {**FAST, "maxAttempts": 6}}, upstream=services)
    await gateway.ask("GET", "/")
    assert order in ([0, 1] * 3, [1, 0] * 3)


async def test_idempotent_methods_are_tried_again_and_others_are_not(gateway_factory, upstream):
    gateway = await gateway_factory({"retry": FAST}, upstream=upstream)
    for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS"):
        upstream.answer = failing(1)
        assert (await gateway.ask(method, "/")).status == 200
    upstream.requests.clear()
    for method in ("POST", "PATCH"):
        upstream.answer = failing(1)
        assert (await gateway.ask(method, "/", body=b"buy")).status == 503
    assert len(upstream.requests) == 2
    assert not counted(gateway, "gateway_retry_given_up_total")


async def test_an_idempotency_key_says_that_it_may_be_repeated(gateway_factory, upstream):
    gateway = await gateway_factory({"retry": FAST}, upstream=upstream)
    for field in ("Idempotency-Key", "x-idempotency-key"):
        upstream.requests.clear()
        upstream.answer = failing(1)
        assert (await gateway.ask("POST", "/", body=b"buy", headers={field: "1"})).text == "buy"
        assert [request.body for request in upstream.requests] == [b"buy", b"buy"]


async def test_other_methods_and_keys_can_be_configured(gateway_factory, upstream):
    retry = {**FAST, "methods": ["post"], "idempotencyKeys": "X-Once"}
    gateway = await gateway_factory({"retry": retry}, upstream=upstream)
    for method, headers, asked in (
        ("POST", {}, 2),
        ("GET", {}, 1),
        ("GET", {"x-once": "1"}, 2),
        ("GET", {"idempotency-key": "1"}, 1),
    ):
        upstream.requests.clear()
        upstream.answer = failing(1)
        await gateway.ask(method, "/", headers=headers)
        assert len(upstream.requests) == asked


async def test_a_request_that_nobody_saw_is_repeated_whatever_its_method(gateway_factory, upstream):
    """RFC 9110 section 9.2.2: the gateway knows that it was never applied."""
    gateway = await gateway_factory({"retry": {"initialDelay": "50ms", "jitter": 0}}, upstream=upstream)
    await upstream.stop()
    asking = asyncio.ensure_future(gateway.ask("POST", "/", body=b"buy"))
    await gateway.eventually(lambda: counted(gateway, "gateway_retry_attempts_total", reason="connect"))
    await upstream.start()
    assert (await asking).text == "ok"
    assert [request.body for request in upstream.requests] == [b"buy"]


async def test_only_some_statuses_are_tried_again(gateway_factory, upstream):
    gateway = await gateway_factory({"retry": FAST}, upstream=upstream)
    for status, asked in ((200, 1), (404, 1), (429, 1), (500, 1), (501, 1), (502, 2), (503, 2), (504, 2)):
        upstream.requests.clear()
        upstream.answer = failing(1, status)
        await gateway.ask("GET", "/")
        assert (status, len(upstream.requests)) == (status, asked)


async def test_statuses_and_errors_can_be_configured(gateway_factory, upstream):
    upstream.answer = failing(1, 429)
    gateway = await gateway_factory({"retry": {**FAST, "statuses": [429, "520-526"], "errors": []}}, upstream=upstream)
    assert (await gateway.ask("GET", "/")).status == 200
    upstream.answer = lambda request: Reply(body=b"", drop=True)
    assert (await gateway.ask("GET", "/")).status == 502
    assert counted(gateway, "gateway_retry_attempts_total") == 1


# Bodies.


async def _chunked(gateway, method, body, **fields):
    async with gateway.client() as client:
        return await client.ask(method, "/", headers={"transfer-encoding": "chunked", **fields}, body=body)


async def test_a_body_that_streamed_is_sent_again(gateway_factory, upstream):
    upstream.answer = failing(2)
    gateway = await gateway_factory({"retry": FAST}, upstream=upstream)
    body = bytes(range(256)) * 200
    assert (await _chunked(gateway, "PUT", body)).body == body
    assert [request.body for request in upstream.requests] == [body] * 3


async def test_a_body_over_the_cap_streams_and_is_not_sent_again(gateway_factory, upstream):
    upstream.answer = failing(2)
    gateway = await gateway_factory({"retry": {**FAST, "maxBodySize": "1KB"}}, upstream=upstream)
    for fields in ({"transfer-encoding": "chunked"}, {}):
        upstream.requests.clear()
        answer = await gateway.ask("PUT", "/", headers=fields, body=b"x" * 300_000)
        assert (answer.status, len(upstream.requests)) == (503, 1)
        assert len(upstream.requests[0].body) == 300_000
    assert counted(gateway, "gateway_retry_given_up_total", reason="body") == 2


async def test_a_service_that_answers_before_the_body_is_there_gets_it_again(gateway_factory, upstream):
    """What was kept, and then what the client sends meanwhile."""
    connections = []

    async def serve(reader, writer):
        connections.append(writer)
        if len(connections) == 1:
            await reader.readuntil(b"first")
            writer.write(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n")
        else:
            data = await reader.readuntil(b"0\r\n\r\n")
            body = data.partition(b"\r\n\r\n")[2]
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, upstream.host, 0)
    async with server:
        upstream.port = server.sockets[0].getsockname()[1]
        gateway = await gateway_factory({"retry": FAST}, upstream=upstream)
        host, port = gateway.gateway.addresses[0]
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        await gateway.eventually(lambda: len(connections) == 2)
        writer.write(b"6\r\nsecond\r\n0\r\n\r\n")
        answer = await reader.readuntil(b"0\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"first" in answer
        assert b"second" in answer
        writer.close()


# Time.


async def test_retry_after_is_waited_for(gateway_factory, upstream):
    upstream.answer = failing(1, headers={"retry-after": "1"})
    gateway = await gateway_factory({"retry": FAST}, upstream=upstream)
    began = time.monotonic()
    assert (await gateway.ask("GET", "/")).status == 200
    assert time.monotonic() - began >= 1.0


async def test_a_longer_retry_after_is_the_clients_business(gateway_factory, upstream):
    upstream.answer = failing(1, headers={"retry-after": "60"})
    gateway = await gateway_factory({"retry": FAST}, upstream=upstream)
    answer = await gateway.ask("GET", "/")
    assert (answer.status, answer["retry-after"]) == (503, "60")
    assert counted(gateway, "gateway_retry_given_up_total", reason="retry_after") == 1


async def test_retry_after_can_be_ignored(gateway_factory, upstream):
    upstream.answer = failing(1, headers={"retry-after": "60"})
    gateway = await gateway_factory({"retry": {**FAST, "respectRetryAfter": False}}, upstream=upstream)
    assert (await gateway.ask("GET", "/")).status == 200


async def test_a_slow_try_is_cut_and_the_next_one_answers(gateway_factory, upstream_factory):
    slow, fast = await upstream_factory(), await upstream_factory()
    slow.answer = lambda request: Reply(delay_s=5.0)
    gateway = await gateway_factory({"retry": {**FAST, "perTryTimeout": "50ms"}}, upstream=[slow, fast])
    began = time.monotonic()
    for _ in range(4):
        assert (await gateway.ask("GET", "/")).status == 200
    assert time.monotonic() - began < 4.5
    assert counted(gateway, "gateway_retry_attempts_total", reason="upstream_timeout") == len(slow.requests) > 0
    await gateway.eventually(
        lambda: all(not each.in_flight for each in gateway.gateway.control._directory.instances("service"))
    )


async def test_a_try_that_is_the_last_one_is_cut_too(gateway_factory, upstream):
    upstream.answer = lambda request: Reply(delay_s=5.0)
    gateway = await gateway_factory({"retry": {**FAST, "maxAttempts": 2, "perTryTimeout": "50ms"}}, upstream=upstream)
    answer = await gateway.ask("GET", "/")
    assert (answer.status, answer.json()["code"]) == (504, "upstream_timeout")
    assert len(upstream.requests) == 2


async def test_what_cannot_be_repeated_is_not_cut_for_the_sake_of_a_retry(gateway_factory, upstream):
    upstream.answer = lambda request: Reply(delay_s=0.2)
    gateway = await gateway_factory({"retry": {**FAST, "perTryTimeout": "50ms"}}, upstream=upstream)
    assert (await gateway.ask("POST", "/")).status == 200


async def test_all_tries_together_have_a_deadline(gateway_factory, upstream):
    upstream.answer = lambda request: Reply(delay_s=5.0)
    gateway = await gateway_factory(
        {"retry": {**FAST, "maxAttempts": 20, "perTryTimeout": "80ms", "timeout": "200ms"}}, upstream=upstream
    )
    for method in ("GET", "POST"):
        began = time.monotonic()
        assert (await gateway.ask(method, "/")).status == 504
        assert 0.15 < time.monotonic() - began < 1.5  # twenty tries would take longer


async def test_no_pause_ends_behind_the_deadline(gateway_factory, upstream):
    upstream.answer = failing(9)
    gateway = await gateway_factory(
        {"retry": {"initialDelay": "5s", "jitter": False, "timeout": "1s"}}, upstream=upstream
    )
    began = time.monotonic()
    assert (await gateway.ask("GET", "/")).status == 503
    assert time.monotonic() - began < 0.95
    assert counted(gateway, "gateway_retry_given_up_total", reason="timeout") == 1


async def test_a_client_that_sends_slowly_is_not_a_slow_service(gateway_factory, upstream):
    gateway = await gateway_factory({"retry": {**FAST, "perTryTimeout": "500ms"}}, upstream=upstream)
    reader, writer = await asyncio.open_connection(*gateway.gateway.addresses[0])
    with contextlib.closing(writer):
        writer.write(b"PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nab")
        await asyncio.sleep(0.7)
        writer.write(b"cd")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        assert [request.body for request in upstream.requests] == [b"abcd"]


# What is never tried again.


async def test_streams_of_events_are_not_tried_again(gateway_factory, upstream):
    upstream.answer = failing(1)
    gateway = await gateway_factory({"retry": FAST}, upstream=upstream)
    assert (await gateway.ask("GET", "/", headers={"accept": "text/event-stream"})).status == 503
    assert len(upstream.requests) == 1


async def test_changes_of_protocol_are_not_tried_again(gateway_factory, upstream):
    upstream.answer = failing(1)
    gateway = await gateway_factory({"retry": FAST}, upstream=upstream, rule={"allowUpgrade": ["echo"]})
    headers = {"connection": "upgrade", "upgrade": "echo"}
    assert (await gateway.ask("GET", "/", headers=headers)).status == 503
    assert len(upstream.requests) == 1


async def test_nothing_is_tried_again_once_the_answer_has_begun(gateway_factory, upstream):
    upstream.answer = lambda request: Reply(body=b"hello", drop=True)
    gateway = await gateway_factory({"retry": FAST}, upstream=upstream)
    with pytest.raises(ConnectionError):
        await gateway.ask("GET", "/")
    assert len(upstream.requests) == 1


async def test_answers_that_are_not_used_release_their_connections(gateway_factory, upstream):
    async def endless():
        while True:
            yield b"x" * 1000
            await asyncio.sleep(0.001)

    upstream.answer = lambda request: Reply(503, body=endless()) if len(upstream.requests) < 3 else Reply()
    gateway = await gateway_factory({"retry": FAST}, upstream=upstream)
    assert (await gateway.ask("GET", "/")).status == 200
    await gateway.eventually(lambda: upstream.connections <= 1)


async def test_a_client_that_leaves_ends_the_tries(gateway_factory, upstream):
    upstream.answer = failing(9)
    gateway = await gateway_factory({"retry": {"initialDelay": "100ms", "jitter": 0}}, upstream=upstream)
    async with gateway.client() as client:
        asking = asyncio.ensure_future(client.ask("GET", "/"))
        await gateway.eventually(lambda: upstream.requests)
    await asyncio.sleep(0.15)
    assert len(upstream.requests) == 1
    with pytest.raises(ConnectionError):
        await asking


# The budget.


async def test_a_storm_stays_within_the_budget(gateway_factory, upstream):
    """A service that is down gets a tenth more requests, not three times as many."""
    upstream.answer = lambda request: Reply(503)
    retry = {**FAST, "budget": {"ratio": 0.1, "minRetriesPerSecond": 0}}
    gateway = await gateway_factory({"retry": retry}, upstream=upstream)

    async def client(requests):
        async with gateway.client() as connection:
            for _ in range(requests):
                assert (await connection.ask("GET", "/")).status == 503

    await asyncio.gather(*(client(50) for _ in range(20)))
    assert 1000 < len(upstream.requests) <= 1100
    assert counted(gateway, "gateway_retry_given_up_total", reason="budget") >= 900


async def test_a_budget_has_a_floor(gateway_factory, upstream):
    upstream.answer = failing(2)
    retry = {**FAST, "budget": {"ratio": 0, "minRetriesPerSecond": 0.2, "window": "10s"}}
    gateway = await gateway_factory({"retry": retry}, upstream=upstream)
    assert (await gateway.ask("GET", "/")).status == 200
    upstream.answer = failing(1)
    assert (await gateway.ask("GET", "/")).status == 503


async def test_the_routes_of_a_service_share_its_budget_over_reloads(gateway_factory, upstream):
    upstream.answer = failing(99)
    base = {
        "frontend": {"http": {"host": "127.0.0.1", "port": 0}},
        "registry": {"static": {"services": [{"name": "service", "instances": [upstream.instance]}]}},
        "router": {"rules": [{"path": "/a", "serviceName": "service"}, {"path": "/b", "serviceName": "service"}]},
    }
    budget = {"ratio": 0, "minRetriesPerSecond": 0.1}
    gateway = await gateway_factory({**base, "retry": {**FAST, "budget": budget}})
    await gateway.ask("GET", "/a")
    assert len(upstream.requests) == 2  # one retry, and the budget is used up
    await gateway.ask("GET", "/b")
    assert len(upstream.requests) == 3
    reloaded = {**base, "retry": {**FAST, "maxAttempts": 5, "budget": budget}}
    await gateway.gateway.reload(json.dumps({"gateway": reloaded}))
    await gateway.ask("GET", "/b")
    assert len(upstream.requests) == 4


async def test_settings_of_a_rule_a_route_and_a_service(gateway_factory, upstream):
    upstream.answer = failing(99)
    rules = [
        {"id": "plain", "path": "/plain", "serviceName": "service"},
        {"id": "named", "path": "/named", "serviceName": "service"},
        {"id": "own", "path": "/own", "serviceName": "service", "retry": {"services": {"service": {"maxAttempts": 5}}}},
        {"id": "off", "path": "/off", "serviceName": "service", "retry": {"enabled": False}},
    ]
    retry = {
        "default": {"maxAttempts": 9, "initialDelay": 1, "maxDelay": 2, "jitter": True, "budgetRatio": 5},
        "services": {"service": {"maxAttempts": 2}},
        "routes": {"named": {"maxAttempts": 4}},
    }
    gateway = await gateway_factory(
        {
            "retry": retry,
            "router": {"rules": rules},
            "registry": {"static": {"services": [{"name": "service", "instances": [upstream.instance]}]}},
        }
    )
    for path, asked in (("/plain", 2), ("/named", 4), ("/own", 5), ("/off", 1)):
        upstream.requests.clear()
        assert (await gateway.ask("GET", path)).status == 503
        assert len(upstream.requests) == asked


async def test_without_healthy_instances_the_configuration_may_wait_for_one(gateway_factory, upstream):
    instance = {**upstream.instance, "health": "unhealthy"}
    gateway = await gateway_factory(
        {
            "retry": {**FAST, "errors": ["unavailable"]},
            "registry": {"static": {"services": [{"name": "service", "instances": [instance]}]}},
            "router": {"rules": [{"path": "/*", "serviceName": "service"}]},
        }
    )
    assert (await gateway.ask("GET", "/")).status == 503
    assert counted(gateway, "gateway_retry_attempts_total", reason="unavailable") == 2
