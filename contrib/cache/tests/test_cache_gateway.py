"""The cache in a whole gateway, over real sockets."""

from __future__ import annotations

import asyncio
import json

import pytest

from gateway.errors import ConfigurationError
from gateway.testing import Reply

pytestmark = pytest.mark.anyio

FRESH = {"cache-control": "max-age=60"}


@pytest.fixture
def start(gateway_factory, upstream):
    """Return a function that starts a gateway with a cache before ``upstream``."""
    upstream.answer = lambda request: Reply(headers=FRESH, body=f"answer {len(upstream.requests)}")

    async def start_gateway(gateway=None, rule=None, **block):
        return await gateway_factory({"plugins": {"cache": block}, **(gateway or {})}, upstream=upstream, rule=rule)

    return start_gateway


def counted(gateway, name, **labels):
    for family in gateway.gateway.plane._metrics.snapshot():
        if family.name == name:
            return sum(
                value
                for values, value in family.series.items()
                if labels.items() <= dict(zip(family.label_names, values, strict=True)).items()
            )
    return 0


async def test_a_response_is_given_again(start, upstream):
    gateway = await start()
    answers = [await gateway.ask("GET", "/a") for _ in range(3)]
    assert [answer.text for answer in answers] == ["answer 1"] * 3
    assert "age" not in answers[0]
    assert answers[1]["age"] == "0"
    assert answers[1]["date"] == answers[0]["date"]
    assert len(upstream.requests) == 1
    assert counted(gateway, "gateway_cache_requests_total", result="hit") == 2
    assert counted(gateway, "gateway_cache_entries") == 1
    assert (await gateway.ask("HEAD", "/a"))["content-length"] == "8"
    assert (await gateway.ask("GET", "/a", headers={"range": "bytes=7-"})).text == "1"
    assert (await gateway.ask("GET", "/a", headers={"host": "other"})).text == "answer 2"


async def test_a_streamed_body_goes_to_the_client_at_once_and_into_the_store(start, upstream):
    go_on = asyncio.Event()

    async def pieces():
        yield b"first "
        await go_on.wait()
        yield b"second"

    upstream.answer = lambda request: Reply(headers=FRESH, body=pieces())
    gateway = await start()
    async with gateway.stream("GET", "/a") as answer:
        reading = answer.pieces()
        assert await anext(reading) == b"first "
        go_on.set()
        assert await anext(reading) == b"second"
    assert (await gateway.ask("GET", "/a")).text == "first second"
    assert len(upstream.requests) == 1


async def test_one_fetch_for_fifty_clients_also_if_the_first_one_leaves(start, upstream):
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def pieces():
        yield b"x" * 1000
        asked.set()
        await go_on.wait()
        yield b"y" * 1000

    upstream.answer = lambda request: Reply(headers=FRESH, body=pieces())
    gateway = await start()
    async with gateway.stream("GET", "/a"):
        await asked.wait()
        others = [asyncio.ensure_future(gateway.ask("GET", "/a")) for _ in range(50)]
        await gateway.eventually(lambda: gateway.gateway.plane.in_flight() == 51)
    go_on.set()
    answers = await asyncio.gather(*others)
    assert {answer.body for answer in answers} == {b"x" * 1000 + b"y" * 1000}
    assert len(upstream.requests) == 1


async def test_a_client_that_leaves_before_the_answer_passes_the_fetch_on(start, upstream):
    asked = asyncio.Event()
    go_on = asyncio.Event()

    async def answer(request):
        asked.set()
        await go_on.wait()
        return Reply(headers=FRESH)

    upstream.answer = answer
    gateway = await start()
    async with gateway.client() as client:
        first = asyncio.ensure_future(client.begin("GET", "/a"))
        await asked.wait()
        second = asyncio.ensure_future(gateway.ask("GET", "/a"))
        await gateway.eventually(lambda: gateway.gateway.plane.in_flight() == 2)
        first.cancel()
    await gateway.eventually(lambda: len(upstream.requests) == 2)
    go_on.set()
    assert (await second).status == 200


async def test_a_body_that_is_too_large_streams_through(start, upstream):
    upstream.answer = lambda request: Reply(headers=FRESH, body=[b"x" * 50_000 for _ in range(40)])
    gateway = await start(maxObjectSize="1MB")
    for number in range(2):
        assert len((await gateway.ask("GET", "/a")).body) == 2_000_000
        assert len(upstream.requests) == number + 1
    assert counted(gateway, "gateway_cache_entries") == 0


async def test_an_answer_that_breaks_off_is_not_stored(start, upstream):
    upstream.answer = lambda request: Reply(headers=FRESH, body=[b"half of it"], drop=True)
    gateway = await start()
    with pytest.raises(ConnectionError):
        await gateway.ask("GET", "/a")
    upstream.answer = lambda request: Reply(headers=FRESH, body=b"whole")
    assert (await gateway.ask("GET", "/a")).text == "whole"


async def test_what_is_stale_is_given_while_it_is_fetched_anew(start, upstream):
    upstream.answer = lambda request: Reply(
        headers={"cache-control": "max-age=60, stale-while-revalidate=60", "age": "61"},
        body=f"answer {len(upstream.requests)}",
    )
    gateway = await start()
    assert (await gateway.ask("GET", "/a")).text == "answer 1"
    assert (await gateway.ask("GET", "/a")).text == "answer 1"
    await gateway.eventually(lambda: counted(gateway, "gateway_cache_requests_total", result="miss") == 2)
    assert (await gateway.ask("GET", "/a")).text == "answer 2"
    assert counted(gateway, "gateway_cache_requests_total", result="refreshed") >= 1


async def test_who_is_let_in_by_the_gateway_shares_only_what_is_public(start, upstream):
    upstream.answer = lambda request: Reply(headers=FRESH, body=request["x-auth-subject"])
    keys = {"keys": [{"name": name, "key": f"{name}-0123456789abcdef"} for name in ("jo", "kim")]}
    gateway = await start({"auth": {"required": True, "apiKey": keys}})
    for name in ("jo", "kim"):
        answer = await gateway.ask("GET", "/a", headers={"x-api-key": f"{name}-0123456789abcdef"})
        assert (answer.status, answer.text) == (200, name)
    assert (await gateway.ask("GET", "/a")).status == 401


async def test_a_rule_can_do_without(start, upstream):
    gateway = await start(rule={"plugins": {"cache": {"enabled": False}}})
    for _ in range(2):
        assert "cache-status" not in await gateway.ask("GET", "/a")
    assert len(upstream.requests) == 2


async def test_what_is_stored_outlives_a_reload(start, upstream):
    gateway = await start()
    await gateway.ask("GET", "/a")
    raw = json.loads(json.dumps(gateway.gateway.configuration.raw))
    raw["plugins"]["cache"]["name"] = "renamed"
    raw["admin"]["token"] = "another"
    await gateway.gateway.reload(json.dumps({"gateway": raw}))
    assert (await gateway.ask("GET", "/a"))["cache-status"].startswith("renamed; hit")
    assert len(upstream.requests) == 1


# /_gateway/cache.


async def test_operators_see_how_full_it_is_and_remove_what_they_like(start, upstream):
    upstream.answer = lambda request: Reply(headers={**FRESH, "cache-tag": f"page, {request.target[1:]}"})
    gateway = await start()
    for path in ("/a/1", "/a/2", "/b/1", "/b/2"):
        await gateway.ask("GET", path)
    shown = (await gateway.admin("/cache")).json()
    assert (shown["workers"], shown["entries"], shown["maxBytes"]) == (1, 4, 64 * 1024**2)
    assert (await gateway.admin("/cache?prefix=/a/", method="DELETE")).json() == {"workers": 1, "purged": 2}
    assert (await gateway.admin("/cache", method="POST", body=b'{"tag": "b/1"}')).json()["purged"] == 1
    assert (await gateway.ask("GET", "/b/2"))["cache-status"].startswith("gateway; hit")
    assert (await gateway.ask("GET", "/b/1"))["cache-status"] == "gateway; fwd=uri-miss; stored"
    assert (await gateway.admin("/cache", method="POST", body=b'{"all": true}')).json()["purged"] == 2
    assert (await gateway.admin("/cache")).json()["entries"] == 0


@pytest.mark.parametrize("body", [b"", b"{}", b"all", b'{"prefix": ""}', b'{"all": true, "tag": "x"}', b'{"x": 1}'])
async def test_who_does_not_say_what_to_remove_is_told(start, body):
    gateway = await start()
    answer = await gateway.admin("/cache", method="POST", body=body)
    assert (answer.status, answer.json()["code"]) == (400, "bad_request")


async def test_strangers_cannot_purge(start):
    gateway = await start()
    assert (await gateway.ask("DELETE", "/_gateway/cache?all=true")).status == 401


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        ({"maxSize": "1KB"}, "too small"),
        ({"maxSize": "1MB", "maxObjectSize": "2MB"}, "larger than maxSize"),
        ({"name": "a b"}, "not a name"),
        ({"tagHeaders": ["x y"]}, "not a name"),
        ({"coalesceTimeout": 0}, "too small"),
        ({"ttl": 5}, "unknown key"),
    ],
)
async def test_what_cannot_be_meant_stops_the_start(start, block, problem):
    with pytest.raises(ConfigurationError, match=problem):
        await start(**block)
