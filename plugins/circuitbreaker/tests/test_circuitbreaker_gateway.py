"""Circuits through a whole gateway, over real sockets."""

from __future__ import annotations

import asyncio
import json

import pytest

from gateway.testing import Reply

pytestmark = pytest.mark.anyio

DOWN = Reply(503, body=b"down")


def counted(gateway, of, **labels):
    """Return what a family of the gateway shows."""
    for family in gateway.gateway.plane._metrics.snapshot():
        if family.name == of:
            return sum(
                value
                for values, value in family.series.items()
                if labels.items() <= dict(zip(family.label_names, values, strict=True)).items()
            )
    return 0


async def statuses(gateway, count, path="/"):
    """Ask so many times, one after the other."""
    return [(await gateway.ask("GET", path)).status for _ in range(count)]


def services(*upstreams, **more):
    """Return a registry of the service `service`."""
    return {"static": {"services": [{"name": "service", "instances": [each.instance for each in upstreams], **more}]}}


# One circuit for a service.


async def test_failures_in_a_row_open_the_circuit(gateway_factory, upstream):
    upstream.answer = lambda request: DOWN
    gateway = await gateway_factory({"circuitBreaker": {"maxFailures": 3, "timeout": 30}}, upstream=upstream)
    assert await statuses(gateway, 3) == [503] * 3
    answer = await gateway.ask("GET", "/")
    assert len(upstream.requests) == 3
    assert (answer.status, answer["retry-after"], answer["content-type"]) == (503, "30", "application/problem+json")
    assert answer.json()["plugin"] == "circuitbreaker"
    assert answer.json()["code"] == "unavailable"
    labels = {"scope": "service", "name": "service"}
    assert counted(gateway, "gateway_circuitbreaker_state", **labels) == 1
    assert counted(gateway, "gateway_circuitbreaker_requests_total", outcome="failure", **labels) == 3
    assert counted(gateway, "gateway_circuitbreaker_requests_total", outcome="rejected", **labels) == 1
    assert counted(gateway, "gateway_circuitbreaker_transitions_total", state="open", **labels) == 1


async def test_a_share_of_failures_opens_it_once_there_were_enough_requests(gateway_factory, upstream):
    upstream.answer = lambda request: DOWN if len(upstream.requests) % 2 else Reply()
    breaker = {"maxFailures": 0, "failureThreshold": 0.5, "minRequests": 9}
    gateway = await gateway_factory({"circuitBreaker": breaker}, upstream=upstream)
    assert await statuses(gateway, 9) == [503, 200] * 4 + [503]
    await gateway.ask("GET", "/")
    assert len(upstream.requests) == 9


async def test_it_closes_when_the_service_works_again(gateway_factory, upstream):
    upstream.answer = lambda request: DOWN
    gateway = await gateway_factory({"circuitBreaker": {"maxFailures": 1, "timeout": "100ms"}}, upstream=upstream)
    assert await statuses(gateway, 2) == [503] * 2
    await asyncio.sleep(0.11)
    assert await statuses(gateway, 1) == [503]  # a probe, which fails
    assert len(upstream.requests) == 2
    upstream.answer = lambda request: Reply()
    assert await statuses(gateway, 1) == [503]  # open again
    await asyncio.sleep(0.11)
    assert await statuses(gateway, 3) == [200] * 3
    assert counted(gateway, "gateway_circuitbreaker_state") == 0
    # Probes count too.
    assert counted(gateway, "gateway_circuitbreaker_requests_total", outcome="failure") == 2
    assert counted(gateway, "gateway_circuitbreaker_requests_total", outcome="rejected") == 2
    assert counted(gateway, "gateway_circuitbreaker_requests_total", outcome="success") == 3


async def test_answers_that_never_come_are_counted_as_failures(gateway_factory, upstream):
    upstream.answer = lambda request: Reply(body=b"", drop=True)
    gateway = await gateway_factory({"circuitBreaker": {"maxFailures": 3}}, upstream=upstream)
    assert await statuses(gateway, 4, "/x") == [502] * 3 + [503]
    assert counted(gateway, "gateway_circuitbreaker_requests_total", outcome="failure") == 3
    assert counted(gateway, "gateway_circuitbreaker_requests_total", outcome="success") == 0


async def test_a_half_open_circuit_lets_few_requests_through(gateway_factory, upstream):
    upstream.answer = lambda request: DOWN
    breaker = {"maxFailures": 1, "timeout": "50ms", "halfOpenRequests": 2, "successThreshold": 3}
    gateway = await gateway_factory({"circuitBreaker": breaker}, upstream=upstream)
    await statuses(gateway, 1)
    await asyncio.sleep(0.06)
    upstream.answer = lambda request: Reply(delay_s=0.03)
    answers = await asyncio.gather(*(gateway.ask("GET", "/") for _ in range(8)))
    assert sorted(each.status for each in answers) == [200] * 2 + [503] * 6
    assert counted(gateway, "gateway_circuitbreaker_state") == 2
    assert await statuses(gateway, 1) == [200]
    assert counted(gateway, "gateway_circuitbreaker_state") == 0


async def test_a_probe_whose_client_leaves_frees_its_place(gateway_factory, upstream):
    upstream.answer = lambda request: DOWN
    gateway = await gateway_factory({"circuitBreaker": {"maxFailures": 1, "timeout": "50ms"}}, upstream=upstream)
    await statuses(gateway, 1)
    await asyncio.sleep(0.06)
    upstream.answer = lambda request: Reply(delay_s=5.0)
    async with gateway.client() as client:
        probe = asyncio.ensure_future(client.ask("GET", "/"))
        await gateway.eventually(lambda: len(upstream.requests) == 2)
        assert await statuses(gateway, 1) == [503]
    with pytest.raises(ConnectionError):
        await probe
    upstream.answer = lambda request: Reply()
    (instance,) = gateway.gateway.control._directory.instances("service")
    await gateway.eventually(lambda: not instance.in_flight)
    assert await statuses(gateway, 1) == [200]


async def test_a_probe_that_never_ends_frees_its_place(gateway_factory, upstream):
    upstream.answer = lambda request: DOWN
    breaker = {"maxFailures": 1, "timeout": "50ms", "probeTimeout": "100ms"}
    gateway = await gateway_factory({"circuitBreaker": breaker}, upstream=upstream, rule={"timeout": 0})
    await statuses(gateway, 1)
    await asyncio.sleep(0.06)
    upstream.answer = lambda request: Reply(delay_s=5.0)
    async with gateway.client() as client:
        probe = asyncio.ensure_future(client.ask("GET", "/"))
        await gateway.eventually(lambda: len(upstream.requests) == 2)
        upstream.answer = lambda request: Reply()
        assert await statuses(gateway, 1) == [503]
        await asyncio.sleep(0.11)
        assert await statuses(gateway, 1) == [503]  # that one is too late: it counts as failed
        await asyncio.sleep(0.06)
        assert await statuses(gateway, 2) == [200] * 2
    with pytest.raises(ConnectionError):
        await probe


async def test_what_counts_as_a_failure(gateway_factory, upstream):
    gateway = await gateway_factory(
        {"circuitBreaker": {"maxFailures": 1, "timeout": 60}}, upstream=upstream, rule={"timeout": "100ms"}
    )
    for reply in (Reply(500), Reply(599), Reply(drop=True, body=b""), Reply(delay_s=5.0)):
        upstream.answer = lambda request, reply=reply: reply
        await gateway.ask("GET", "/")
        assert counted(gateway, "gateway_circuitbreaker_state") == 1
        assert (await gateway.admin("/breakers/reset", method="POST", body=b'{"name": "service"}')).status == 200
    await upstream.stop()
    assert await statuses(gateway, 2) == [502, 503]


async def test_what_does_not(gateway_factory, upstream):
    gateway = await gateway_factory({"circuitBreaker": {"maxFailures": 1}}, upstream=upstream)
    for status in (200, 302, 400, 401, 404, 408, 429):
        upstream.answer = lambda request, status=status: Reply(status)
        assert await statuses(gateway, 1) == [status]
    reader, writer = await asyncio.open_connection(*gateway.gateway.addresses[0])
    writer.write(b"PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 400")
    writer.close()
    upstream.answer = lambda request: Reply()
    assert await statuses(gateway, 1) == [200]
    assert counted(gateway, "gateway_circuitbreaker_requests_total", outcome="failure") == 0


async def test_statuses_and_errors_can_be_configured(gateway_factory, upstream):
    breaker = {"maxFailures": 1, "timeout": 60, "failureStatusCodes": [429, "520-526"], "errors": []}
    gateway = await gateway_factory({"circuitBreaker": breaker}, upstream=upstream)
    upstream.answer = lambda request: Reply(503)
    await statuses(gateway, 3)
    upstream.answer = lambda request: Reply(drop=True, body=b"")
    assert await statuses(gateway, 2) == [502] * 2
    upstream.answer = lambda request: Reply(429)
    assert await statuses(gateway, 2) == [429, 503]


async def test_without_healthy_instances_nobody_was_asked(gateway_factory, upstream):
    registry = services(upstream)
    registry["static"]["services"][0]["instances"][0]["health"] = "unhealthy"
    gateway = await gateway_factory(
        {
            "circuitBreaker": {"maxFailures": 1, "errors": ["unavailable"]},
            "registry": registry,
            "router": {"rules": [{"path": "/*", "serviceName": "service"}]},
        }
    )
    for _ in range(3):
        assert (await gateway.ask("GET", "/")).json()["detail"] == "no healthy instances"
    assert counted(gateway, "gateway_circuitbreaker_state") == 0


# Scopes and settings.

RULES = [{"id": "a", "path": "/a", "serviceName": "service"}, {"id": "b", "path": "/b", "serviceName": "service"}]


@pytest.mark.parametrize(("scope", "on_b"), [("service", 503), ("route", 200)])
async def test_the_scope_is_a_service_or_a_route(gateway_factory, upstream, scope, on_b):
    upstream.answer = lambda request: DOWN
    gateway = await gateway_factory(
        {
            "circuitBreaker": {"scope": scope, "maxFailures": 1},
            "registry": services(upstream),
            "router": {"rules": RULES},
        }
    )
    await statuses(gateway, 1, "/a")
    upstream.answer = lambda request: Reply()
    assert await statuses(gateway, 1, "/a") == [503]
    assert await statuses(gateway, 1, "/b") == [on_b]


async def test_settings_of_a_rule_a_route_and_a_service(gateway_factory, upstream):
    upstream.answer = lambda request: DOWN
    rules = [
        *RULES,
        {"id": "c", "path": "/c", "serviceName": "service", "circuitBreaker": {"routes": {"c": {"maxFailures": 4}}}},
        {"id": "off", "path": "/off", "serviceName": "service", "circuitBreaker": {"enabled": False}},
    ]
    breaker = {
        "scope": "route",
        "default": {"maxFailures": 9, "failureThreshold": 0.5, "timeout": 60, "maxRequests": 1, "interval": 60},
        "services": {"service": {"maxFailures": 2}},
        "routes": {"b": {"maxFailures": 3, "timeout": 20}},
    }
    gateway = await gateway_factory(
        {"circuitBreaker": breaker, "registry": services(upstream), "router": {"rules": rules}}
    )
    for path, asked, retry_after in (("/a", 2, "60"), ("/b", 3, "20"), ("/c", 4, "60"), ("/off", 6, None)):
        upstream.requests.clear()
        await statuses(gateway, 5, path)
        answer = await gateway.ask("GET", path)
        assert (path, len(upstream.requests), answer.get("retry-after")) == (path, asked, retry_after)


# A circuit for each instance.


async def test_an_instance_that_fails_is_avoided(gateway_factory, upstream_factory):
    broken, working = await upstream_factory(), await upstream_factory()
    broken.answer = lambda request: DOWN
    breaker = {"scope": "instance", "maxFailures": 2, "timeout": 60}
    gateway = await gateway_factory({"circuitBreaker": breaker}, upstream=[broken, working])
    assert sorted(await statuses(gateway, 20)) == [200] * 18 + [503] * 2
    assert len(broken.requests) == 2
    name = f"service/127.0.0.1:{broken.port}"
    assert counted(gateway, "gateway_circuitbreaker_state", scope="instance", name=name) == 1
    assert counted(gateway, "gateway_circuitbreaker_state") == 1


async def test_when_the_circuits_of_all_instances_are_open_requests_are_refused(gateway_factory, upstream_factory):
    upstreams = [await upstream_factory() for _ in range(3)]
    for each in upstreams:
        each.answer = lambda request: DOWN
    breaker = {"scope": "instance", "maxFailures": 1, "timeout": 45}
    gateway = await gateway_factory({"circuitBreaker": breaker}, upstream=upstreams)
    await statuses(gateway, 3)
    answer = await gateway.ask("GET", "/")
    assert (answer.status, answer.json()["plugin"]) == (503, "circuitbreaker")
    assert 44 <= int(answer["retry-after"]) <= 45
    assert [len(each.requests) for each in upstreams] == [1, 1, 1]


async def test_a_probe_goes_to_the_instance_it_is_about(gateway_factory, upstream_factory):
    broken, *working = [await upstream_factory() for _ in range(3)]
    broken.answer = lambda request: DOWN
    breaker = {"scope": "instance", "maxFailures": 1, "timeout": "100ms"}
    gateway = await gateway_factory({"circuitBreaker": breaker}, upstream=[broken, *working])
    await statuses(gateway, 3)
    assert len(broken.requests) == 1
    broken.answer = lambda request: Reply()
    await asyncio.sleep(0.11)
    assert await statuses(gateway, 1) == [200]
    assert len(broken.requests) == 2
    assert await statuses(gateway, 6) == [200] * 6
    assert len(broken.requests) == 4


async def test_an_instance_that_cannot_be_reached_costs_no_request(gateway_factory, upstream_factory):
    """The core asks another then; the circuit hears of it all the same. And a probe may be answered by another."""
    gone, working = await upstream_factory(), await upstream_factory()
    breaker = {"scope": "instance", "maxFailures": 1, "timeout": "100ms"}
    gateway = await gateway_factory({"circuitBreaker": breaker}, upstream=[gone, working])
    await gone.stop()
    assert await statuses(gateway, 4) == [200] * 4
    assert counted(gateway, "gateway_circuitbreaker_requests_total", outcome="failure") == 1
    await asyncio.sleep(0.11)
    assert await statuses(gateway, 4) == [200] * 4
    assert counted(gateway, "gateway_circuitbreaker_requests_total", outcome="failure") == 2
    await gone.start()
    await asyncio.sleep(0.11)
    assert await statuses(gateway, 4) == [200] * 4
    assert gone.requests


async def test_a_probe_that_was_sent_is_not_sent_to_another(gateway_factory, upstream_factory):
    """It may have done what it was to do: only whoever knows better, as retries do, may ask again."""
    broken, working = await upstream_factory(), await upstream_factory()
    broken.answer = lambda request: DOWN
    breaker = {"scope": "instance", "maxFailures": 1, "timeout": "100ms"}
    gateway = await gateway_factory({"circuitBreaker": breaker}, upstream=[broken, working])
    assert sorted(await statuses(gateway, 2)) == [200, 503]
    broken.answer = lambda request: Reply(body=b"", drop=True)
    await asyncio.sleep(0.11)
    assert (await gateway.ask("POST", "/", body=b"once")).status == 502
    assert [request.method for request in (*broken.requests, *working.requests)].count("POST") == 1


async def test_what_began_before_an_instance_recovered_says_nothing_of_it_now(gateway_factory, upstream_factory):
    broken, working = await upstream_factory(), await upstream_factory()
    broken.answer = lambda request: Reply(503, delay_s=2.0) if request.target == "/slow" else DOWN
    breaker = {"scope": "instance", "maxFailures": 1, "timeout": "100ms"}
    gateway = await gateway_factory({"circuitBreaker": breaker}, upstream=[broken, working])
    async with gateway.client() as one, gateway.client() as other:
        slow = [asyncio.ensure_future(client.ask("GET", "/slow")) for client in (one, other)]
        await gateway.eventually(lambda: len(broken.requests) == len(working.requests) == 1)
        assert sorted(await statuses(gateway, 2)) == [200, 503]
        broken.answer = lambda request: Reply()
        await asyncio.sleep(0.11)
        assert await statuses(gateway, 2) == [200] * 2
        name = f"service/127.0.0.1:{broken.port}"
        assert counted(gateway, "gateway_circuitbreaker_state", scope="instance", name=name) == 0
        assert sorted([(await each).status for each in slow]) == [200, 503]
    assert counted(gateway, "gateway_circuitbreaker_state", scope="instance", name=name) == 0


async def test_an_instance_without_weight_is_no_way_out(gateway_factory, upstream_factory):
    broken, spare = await upstream_factory(), await upstream_factory()
    broken.answer = lambda request: DOWN
    registry = services(broken, spare)
    registry["static"]["services"][0]["instances"][1]["weight"] = 0
    gateway = await gateway_factory(
        {
            "circuitBreaker": {"scope": "instance", "maxFailures": 1},
            "registry": registry,
            "router": {"rules": [{"path": "/*", "serviceName": "service"}]},
        }
    )
    await statuses(gateway, 3)
    assert (len(broken.requests), len(spare.requests)) == (1, 0)


async def test_with_retries_an_instance_that_fails_costs_nobody_anything(gateway_factory, upstream_factory):
    upstreams = [await upstream_factory() for _ in range(3)]
    upstreams[0].answer = lambda request: DOWN
    gateway = await gateway_factory(
        {
            "circuitBreaker": {"scope": "instance", "maxFailures": 2, "timeout": "50ms"},
            "retry": {"initialDelay": "1ms", "perTryTimeout": "200ms"},
        },
        upstream=upstreams,
    )
    assert await statuses(gateway, 30) == [200] * 30
    upstreams[1].answer = lambda request: Reply(delay_s=5.0)
    assert await statuses(gateway, 12) == [200] * 12
    name = f"service/127.0.0.1:{upstreams[1].port}"
    assert counted(gateway, "gateway_circuitbreaker_requests_total", name=name, outcome="failure") >= 2


async def test_an_open_circuit_is_not_asked_again_by_retries(gateway_factory, upstream):
    upstream.answer = lambda request: DOWN
    gateway = await gateway_factory(
        {"circuitBreaker": {"maxFailures": 2, "timeout": 60}, "retry": {"initialDelay": "1ms", "maxAttempts": 9}},
        upstream=upstream,
    )
    answer = await gateway.ask("GET", "/")
    assert (answer.status, answer.text) == (503, "down")  # the last the service itself said
    assert len(upstream.requests) == 2
    assert (await gateway.ask("GET", "/")).json()["plugin"] == "circuitbreaker"
    assert counted(gateway, "gateway_circuitbreaker_requests_total", outcome="rejected") == 2


# Reloads and the admin endpoints.


@pytest.mark.parametrize("scope", ["route", "service", "instance"])
async def test_circuits_stay_over_reloads(gateway_factory, upstream, scope):
    upstream.answer = lambda request: DOWN
    base = {
        "admin": {"token": "a-token-for-tests"},
        "frontend": {"http": {"host": "127.0.0.1", "port": 0}},
        "registry": services(upstream),
        "router": {"rules": [{"id": "a", "path": "/*", "serviceName": "service"}]},
    }
    gateway = await gateway_factory({**base, "circuitBreaker": {"scope": scope, "maxFailures": 1}})
    await statuses(gateway, 1)
    changed = {**base, "circuitBreaker": {"scope": scope, "maxFailures": 7, "interval": 10}}
    await gateway.gateway.reload(json.dumps({"gateway": changed}))
    assert await statuses(gateway, 2) == [503] * 2
    assert len(upstream.requests) == 1
    (entry,) = (await gateway.admin("/breakers")).json()["breakers"]
    assert (entry["scope"], entry["state"]) == (scope, "open")
    await gateway.gateway.reload(json.dumps({"gateway": base}))
    assert (await gateway.admin("/breakers")).json()["breakers"] == []
    assert counted(gateway, "gateway_circuitbreaker_state") == 0


async def test_instances_that_are_gone_are_not_listed(gateway_factory, upstream_factory):
    upstreams = [await upstream_factory() for _ in range(3)]
    base = {
        "admin": {"token": "a-token-for-tests"},
        "frontend": {"http": {"host": "127.0.0.1", "port": 0}},
        "router": {"rules": [{"path": "/*", "serviceName": "service"}]},
        "circuitBreaker": {"scope": "instance"},
    }
    gateway = await gateway_factory({**base, "registry": services(*upstreams)})
    await statuses(gateway, 6)
    assert len((await gateway.admin("/breakers")).json()["breakers"]) == 3
    await gateway.gateway.reload(json.dumps({"gateway": {**base, "registry": services(upstreams[0])}}))
    await statuses(gateway, 1)
    assert len((await gateway.admin("/breakers")).json()["breakers"]) == 1


async def test_the_admin_endpoint_lists_circuits_and_resets_them(gateway_factory, upstream):
    upstream.answer = lambda request: DOWN
    gateway = await gateway_factory({"circuitBreaker": {"maxFailures": 2, "timeout": 60}}, upstream=upstream)
    await statuses(gateway, 3)
    (entry,) = (await gateway.admin("/breakers")).json()["breakers"]
    (worker,) = entry.pop("workers")
    assert entry == {"scope": "service", "name": "service", "state": "open"}
    assert (worker["requests"], worker["failures"], worker["probes"]) == (2, 2, 0)
    assert 58 <= worker["retryAfterSeconds"] <= 60
    answer = await gateway.admin("/breakers/reset", method="POST", body=b'{"scope": "service", "name": "service"}')
    assert (answer.status, answer.json()["reset"][0]["state"]) == (200, "open")
    upstream.answer = lambda request: Reply()
    assert await statuses(gateway, 2) == [200] * 2
    (entry,) = (await gateway.admin("/breakers")).json()["breakers"]
    assert (entry["state"], entry["workers"][0]["retryAfterSeconds"]) == ("closed", None)


async def test_the_admin_endpoint_refuses_what_makes_no_sense(gateway_factory, upstream):
    gateway = await gateway_factory({"circuitBreaker": {}}, upstream=upstream)
    for body in (b"", b"[]", b"{", b'{"name": 1}', b'{"name": "service", "what": 1}'):
        assert (await gateway.admin("/breakers/reset", method="POST", body=body)).status == 400
    for body in (b'{"name": "nobody"}', b'{"name": "service", "scope": "route"}'):
        assert (await gateway.admin("/breakers/reset", method="POST", body=body)).status == 404
    assert (await gateway.ask("GET", "/_gateway/breakers")).status == 401
    assert (await gateway.ask("POST", "/_gateway/breakers/reset", body=b'{"name": "service"}')).status == 401
