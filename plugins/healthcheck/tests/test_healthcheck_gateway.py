"""The plugin in a whole gateway."""

from __future__ import annotations

import asyncio

import pytest

from gateway.testing import Reply

pytestmark = pytest.mark.anyio

QUICK = {"interval": 0.1, "timeout": 0.5, "jitter": 0}
PATHS = {"healthPath": "/health", "readyPath": "/ready", "livePath": "/live"}


async def eventually(gateway, path, is_so):
    async with asyncio.timeout(8):
        while not is_so(answer := await gateway.ask("GET", path)):  # noqa: ASYNC110 - what it waits for has no event
            await asyncio.sleep(0.02)
    return answer


async def test_traffic_leaves_an_instance_that_fails(gateway_factory, upstream_factory):
    good, bad = await upstream_factory(), await upstream_factory()
    bad.answer = lambda request: Reply(500)
    gateway = await gateway_factory({"health": {"active": QUICK}}, upstream=[good, bad])
    directory = gateway.gateway.plane.directory
    await gateway.eventually(lambda: len(directory.service("service").available) == 1)
    assert {(await gateway.ask("GET", "/")).status for _ in range(6)} == {200}
    services = (await gateway.admin("/services")).json()["services"][0]["instances"]
    assert [instance["healthy"] for instance in services] == [True, False]
    assert services[1]["marks"] == [{"by": "health checker 'health'", "sharePercent": 0, "reason": "status 500"}]
    report = (await gateway.admin("/health/services/service")).json()
    assert report["status"] == "degraded"
    assert report["instances"][1]["reasons"] == {"health checker 'health'": "status 500"}
    assert report["instances"][1]["consecutiveFailures"] >= 3
    assert (await gateway.admin("/health/services")).json()["services"]["service"] == {
        "healthy": 1,
        "unhealthy": 1,
        "total": 2,
    }
    assert (await gateway.admin("/health/services/nobody")).status == 404


async def test_attempts_that_fail_eject(gateway_factory, upstream_factory):
    good, bad = await upstream_factory(), await upstream_factory()
    bad.answer = lambda request: Reply(503)
    gateway = await gateway_factory({"health": {"passive": {}}}, upstream=[good, bad])
    answers = [(await gateway.ask("GET", "/")).status for _ in range(30)]
    assert answers.count(503) == 5
    assert set(answers[12:]) == {200}
    report = (await gateway.admin("/health/services/service")).json()
    reasons = [instance["reasons"] for instance in report["instances"]]
    assert reasons[1] == {"observer 'health'": "ejected: 5 errors in a row; for 30 s"}


async def test_the_endpoints_answer_before_a_route_that_matches_everything(gateway_factory, upstream):
    gateway = await gateway_factory({"health": PATHS}, upstream=upstream)
    health = await eventually(gateway, "/health", lambda answer: answer.status == 200)
    assert health.json().keys() == {"status", "timestamp"}
    assert (health.json()["status"], health["cache-control"]) == ("healthy", "no-store")
    assert (await gateway.ask("GET", "/ready")).json()["ready"] is True
    assert (await gateway.ask("HEAD", "/live")).status == 200
    assert not upstream.requests
    assert (await gateway.ask("POST", "/health")).text == "ok"
    assert (await gateway.ask("GET", "/healthy")).text == "ok"


async def test_they_answer_where_no_route_does(gateway_factory, upstream):
    gateway = await gateway_factory({"health": PATHS}, upstream=upstream, rule={"path": "/api/*"})
    await eventually(gateway, "/health", lambda answer: answer.status == 200)
    assert (await gateway.ask("GET", "/nothing")).status == 404


async def test_without_paths_there_are_no_endpoints(gateway_factory, upstream):
    gateway = await gateway_factory({"health": {"active": QUICK}}, upstream=upstream)
    assert (await gateway.ask("GET", "/live")).text == "ok"


async def test_what_the_gateway_needs_decides_and_strangers_see_no_internals(gateway_factory, upstream_factory):
    service, database = await upstream_factory(), await upstream_factory()
    where = {"address": f"127.0.0.1:{database.port}"}
    checks = {"database": {"type": "tcp", "interval": 0.1, "config": where}}
    gateway = await gateway_factory({"health": {**PATHS, "details": True, "checks": checks}}, upstream=service)
    health = await eventually(gateway, "/health", lambda answer: answer.json().get("checks", {}).get("database"))
    assert health.json()["checks"]["database"].keys() == {"status", "duration"}
    await database.stop()
    health = await eventually(gateway, "/health", lambda answer: answer.status == 503)
    assert str(database.port) not in health.text
    await eventually(gateway, "/ready", lambda answer: answer.status == 503)
    assert (await gateway.ask("GET", "/live")).status == 200
    assert (await gateway.ask("GET", "/_gateway/health/services")).status == 401
    everything = (await gateway.admin("/health/services")).json()["checks"]["database"]
    assert everything["status"] == "unhealthy"
    assert everything["error"]


async def test_a_service_without_anybody_is_a_degraded_gateway(gateway_factory, upstream):
    gateway = await gateway_factory({"health": {**PATHS, "active": QUICK}}, upstream=upstream)
    await upstream.stop()
    health = await eventually(gateway, "/health", lambda answer: answer.json()["status"] == "degraded")
    assert health.status == 200
    assert (await gateway.ask("GET", "/x")).status == 503


async def test_a_block_that_is_off_leaves_nothing(gateway_factory, upstream):
    """With the block turned off nothing is left of it."""
    gateway = await gateway_factory({"health": {"enabled": False, **PATHS}}, upstream=upstream)
    assert (await gateway.ask("GET", "/health")).text == "ok"
    assert (await gateway.admin("/health/services")).status == 404
