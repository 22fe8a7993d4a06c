"""Token limits in a whole gateway, over real sockets, with the limiter of gateway-ratelimit."""

from __future__ import annotations

import asyncio
import json

import pytest

from gateway.errors import ConfigurationError
from gateway.testing import Reply

pytestmark = pytest.mark.anyio

ASKED = {"model": "small", "messages": [{"role": "user", "content": "x" * 40}], "max_tokens": 10}
SSE = {"content-type": "text/event-stream"}


def answered(read, written, **reply):
    usage = {"prompt_tokens": read, "completion_tokens": written}
    return Reply.json({"choices": [{"message": {"content": "y" * 40}}], "usage": usage})


def event(message):
    return b"data: %b\n\n" % json.dumps(message).encode()


def piece(text):
    return event({"choices": [{"delta": {"content": text}}]})


@pytest.fixture
def start(gateway_factory, upstream):
    """Return a function that starts a gateway with limits of tokens."""
    upstream.answer = lambda request: answered(10, 10)

    async def start_gateway(*limits, gateway=None, **block):
        all_limits = [{"key": "header:x-team", "window": "1h", **limit} for limit in limits]
        configuration = {"plugins": {"llm-limits": {"limits": all_limits, **block}}, **(gateway or {})}
        return await gateway_factory(configuration, upstream=upstream)

    return start_gateway


def ask(gateway, asked=None, team="a"):
    return gateway.ask(
        "POST", "/v1/chat", headers={"x-team": team}, body=json.dumps({**ASKED, **(asked or {})}).encode()
    )


def counted(gateway, name, **labels):
    for family in gateway.gateway.plane._metrics.snapshot():
        if family.name == name:
            return sum(
                value
                for values, value in family.series.items()
                if labels.items() <= dict(zip(family.label_names, values, strict=True)).items()
            )
    return 0


async def left(gateway, team="a"):
    """Return what is left, as the next answer tells, by a request that costs nothing."""
    answer = await ask(gateway, {"messages": [], "max_tokens": 0}, team)
    return int(answer["x-ratelimit-remaining-tokens"])


async def test_tokens_are_charged_as_the_answer_says(start, upstream):
    gateway = await start({"rate": 1000})
    answer = await ask(gateway)
    assert answer["x-ratelimit-limit-tokens"] == "1000"
    assert answer["x-ratelimit-remaining-tokens"] == "980", "10 of input and 10 of output are taken beforehand"
    upstream.answer = lambda request: answered(200, 300)
    await ask(gateway)
    upstream.answer = lambda request: answered(0, 0)
    await gateway.eventually(lambda: counted(gateway, "gateway_llm_tokens_total") == 520)
    await asyncio.sleep(0)
    assert await left(gateway) == pytest.approx(479, abs=2)
    assert counted(gateway, "gateway_llm_tokens_total", direction="output", model="small") == 310


async def test_what_was_not_needed_is_given_back(start, upstream):
    upstream.answer = lambda request: answered(1, 1)
    gateway = await start({"rate": 100})
    for _ in range(15):
        assert (await ask(gateway, {"max_tokens": 60})).status == 200


async def test_who_has_used_up_the_tokens_is_refused_until_there_are_more(start, upstream):
    gateway = await start({"rate": 45})
    assert [(await ask(gateway)).status for _ in range(3)] == [200, 200, 429]
    refused = await ask(gateway)
    assert refused.json()["plugin"] == "llm-limits"
    assert 1 <= int(refused["retry-after"]) <= 3600
    assert int(refused["x-ratelimit-remaining-tokens"]) == 5
    assert len(upstream.requests) == 2
    assert (await ask(gateway, team="b")).status == 200
    assert counted(gateway, "gateway_llm_refused_total") == 2


async def test_the_next_request_pays_for_what_the_last_one_used_too_much(start, upstream):
    upstream.answer = lambda request: answered(10, 5000)
    gateway = await start({"rate": 1000})
    assert (await ask(gateway)).status == 200
    await gateway.eventually(lambda: counted(gateway, "gateway_llm_tokens_total") == 5010)
    await asyncio.sleep(0.01)
    assert (await ask(gateway)).status == 429


async def test_only_input_or_output_may_count(start):
    gateway = await start({"rate": 12, "count": "input"}, {"rate": 25, "count": "output"})
    assert [(await ask(gateway)).status for _ in range(2)] == [200, 429]
    gateway = await start({"rate": 25, "count": "output"})
    assert [(await ask(gateway)).status for _ in range(3)] == [200, 200, 429]


async def test_a_refusal_by_one_limit_costs_nothing_of_the_others(start):
    gateway = await start({"rate": 1000}, {"rate": 20, "models": ["large"]})
    assert (await ask(gateway, {"model": "large"})).status == 200
    assert (await ask(gateway, {"model": "large"})).status == 429
    assert await left(gateway) == pytest.approx(979, abs=2)


async def test_models_by_name_and_each_by_itself(start):
    gateway = await start({"rate": 20, "models": ["gpt-*"], "perModel": True})
    asked = ["gpt-a", "gpt-a", "gpt-b", "other", "other"]
    assert [(await ask(gateway, {"model": model})).status for model in asked] == [200, 429, 200, 200, 200]


async def test_a_request_that_allows_more_than_there_ever_is_gets_what_there_is(start, upstream):
    gateway = await start({"rate": 100}, reserveOutput=1000)
    assert (await ask(gateway, {"max_tokens": 100_000})).status == 200
    assert (await ask(gateway, {"messages": [{"content": "x" * 1000}]})).status == 429, "its input alone is too much"


# What costs nothing.


async def test_failures_of_the_service_cost_nothing(start, upstream):
    gateway = await start({"rate": 25})
    for reply in (Reply(500), Reply(429), Reply(400), Reply(body=b"", drop=True)):
        upstream.answer = lambda request, reply=reply: reply
        assert (await ask(gateway)).status >= 400
    upstream.answer = lambda request: answered(1, 1)
    assert (await ask(gateway)).status == 200


async def test_other_methods_are_not_counted(start, upstream):
    gateway = await start({"rate": 1})
    answer = await gateway.ask("GET", "/v1/models", headers={"accept-encoding": "gzip"})
    assert answer.status == 200
    assert "x-ratelimit-limit-tokens" not in answer
    assert upstream.requests[0]["accept-encoding"] == "gzip"


# Requests.


async def test_the_request_reaches_the_service_as_it_is(start, upstream):
    gateway = await start({"rate": 10**9}, reserveOutput=0)
    body = json.dumps({**ASKED, "messages": [{"content": "x" * 100_000}]}).encode()
    async with gateway.client() as client:
        await client.ask("POST", "/", body=body, headers={"accept-encoding": "gzip"})
        await client.ask("POST", "/", body=body, headers={"transfer-encoding": "chunked"})
    assert [request.body for request in upstream.requests] == [body, body]
    assert upstream.requests[0]["accept-encoding"] == "identity", "a packed answer could not be read"


async def test_a_request_that_is_too_large_is_refused(start, upstream):
    gateway = await start({"rate": 100}, maxBodySize="1KB")
    for headers in ({}, {"transfer-encoding": "chunked"}):
        assert (await gateway.ask("POST", "/", headers=headers, body=b"x" * 50_000)).status == 413
    assert not upstream.requests


async def test_what_is_no_json_is_counted_by_its_length(start, upstream):
    upstream.answer = lambda request: Reply(body=b"y" * 40)
    gateway = await start({"rate": 100})
    answer = await gateway.ask("POST", "/", headers={"x-team": "a", "content-type": "text/plain"}, body=b"x" * 40)
    assert answer.status == 200
    assert counted(gateway, "gateway_llm_tokens_total", direction="input", model="other") == 10
    assert counted(gateway, "gateway_llm_tokens_total", direction="output", model="other") == 10
    assert counted(gateway, "gateway_llm_estimated_total") == 1


# Streams.


async def test_a_stream_goes_by_at_once_and_unchanged(start, upstream):
    go_on = asyncio.Event()
    sent = [
        piece("Hello"),
        b": comment\n\n",
        event({"usage": {"prompt_tokens": 12, "completion_tokens": 3}}),
        b"data: [DONE]\n\n",
    ]

    async def pieces():
        yield sent[0]
        await go_on.wait()
        for each in sent[1:]:
            yield each

    upstream.answer = lambda request: Reply(headers=SSE, body=pieces())
    gateway = await start({"rate": 1000})
    async with gateway.stream("POST", "/", headers={"x-team": "a"}, body=json.dumps(ASKED).encode()) as answer:
        reading = answer.pieces()
        got = await anext(reading)
        assert got == sent[0], "before the rest is there"
        go_on.set()
        async for each in reading:
            got += each
    assert got == b"".join(sent)
    assert counted(gateway, "gateway_llm_tokens_total", direction="input") == 12
    assert counted(gateway, "gateway_llm_tokens_total", direction="output") == 3
    assert counted(gateway, "gateway_llm_estimated_total") == 0


async def test_a_stream_that_says_nothing_is_estimated(start, upstream):
    upstream.answer = lambda request: Reply(headers=SSE, body=[piece("x" * 100) for _ in range(4)])
    gateway = await start({"rate": 1000}, charsPerToken=2)
    await ask(gateway)
    assert counted(gateway, "gateway_llm_tokens_total", direction="output") == 200
    assert counted(gateway, "gateway_llm_tokens_total", direction="input") == 20
    assert counted(gateway, "gateway_llm_estimated_total") == 1


async def test_who_leaves_in_the_middle_pays_for_what_was_written(start, upstream):
    never = asyncio.Event()

    async def pieces():
        yield piece("x" * 40)
        await never.wait()

    upstream.answer = lambda request: Reply(headers=SSE, body=pieces())
    gateway = await start({"rate": 1000})
    async with gateway.stream("POST", "/", headers={"x-team": "a"}, body=json.dumps(ASKED).encode()) as answer:
        await anext(answer.pieces())
    await gateway.eventually(lambda: counted(gateway, "gateway_llm_tokens_total", direction="output") == 10)


async def test_a_stream_is_never_cut_by_itself(start, upstream):
    upstream.answer = lambda request: Reply(headers=SSE, body=[piece("x" * 1000) for _ in range(10)])
    gateway = await start({"rate": 100})
    answer = await ask(gateway)
    assert len(answer.body) > 10_000
    await asyncio.sleep(0.01)
    assert (await ask(gateway)).status == 429


async def test_a_stream_can_be_cut_when_nothing_is_left(start, upstream):
    upstream.answer = lambda request: Reply(headers=SSE, body=[piece("x" * 100) for _ in range(100)])
    gateway = await start({"rate": 100}, cutStreams=True)
    with pytest.raises(ConnectionError):
        await ask(gateway)
    assert counted(gateway, "gateway_llm_streams_cut_total") == 1
    assert counted(gateway, "gateway_llm_tokens_total", direction="output") < 200
    assert (await ask(gateway)).status == 429
    upstream.answer = lambda request: Reply(headers=SSE, body=[piece("x" * 100)])
    assert (await ask(gateway, team="b")).body == piece("x" * 100)


async def test_models_that_nobody_has_answered_for_make_no_series(start, upstream):
    gateway = await start({"rate": 10**6})
    upstream.answer = lambda request: Reply(404)
    for number in range(5):
        await ask(gateway, {"model": f"made-up-{number}"})
    upstream.answer = lambda request: answered(1, 1)
    for number in range(70):
        await ask(gateway, {"model": f"real-{number}"})
    assert counted(gateway, "gateway_llm_tokens_total", model="made-up-0") == 0
    assert counted(gateway, "gateway_llm_tokens_total", model="real-0") == 2
    assert counted(gateway, "gateway_llm_tokens_total", model="other") == 12


# Beside the limits of requests.


async def test_it_counts_where_the_limits_of_requests_do_and_apart_from_them(start):
    limits = {"rateLimit": {"limits": "2/hour", "key": "header:x-team", "burst": 2, "memory": {"size": "1MB"}}}
    gateway = await start({"rate": 1000}, gateway=limits)
    answers = [await ask(gateway) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert (answers[0]["x-ratelimit-remaining"], answers[0]["x-ratelimit-remaining-tokens"]) == ("1", "980")
    assert "x-ratelimit-limit-tokens" not in answers[2]


async def test_a_reload_keeps_what_is_counted_and_follows_the_limiters_block(start):
    gateway = await start({"rate": 45}, gateway={"rateLimit": {"limits": 0, "memory": {"size": "1MB"}}})
    await ask(gateway)
    raw = json.loads(json.dumps(gateway.gateway.configuration.raw))
    raw["admin"]["token"] = "t"
    await gateway.gateway.reload(json.dumps({"gateway": raw}))
    assert [(await ask(gateway)).status for _ in range(2)] == [200, 429]
    raw["rateLimit"]["memory"]["size"] = "2MB"
    await gateway.gateway.reload(json.dumps({"gateway": raw}))
    assert (await ask(gateway)).status == 200, "another table, which is empty"


async def test_without_limits_tokens_are_only_counted(gateway_factory, upstream):
    upstream.answer = lambda request: answered(3, 4)
    gateway = await gateway_factory({"plugins": {"llm-limits": {}}}, upstream=upstream)
    assert (await ask(gateway)).status == 200
    assert counted(gateway, "gateway_llm_tokens_total") == 7


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        ({"limits": [{"rate": 0}]}, "too small"),
        ({"limits": [{"rate": 10, "window": 0}]}, "too small"),
        ({"limits": [{"rate": 10, "key": "moon"}]}, "not a limit key"),
        ({"limits": [{"rate": 10, "models": []}]}, "models"),
        ({"limits": [{"rate": 10, "count": "words"}]}, "count"),
        ({"limits": [{"rate": 10, "algorithm": "guess"}]}, "algorithm"),
        ({"limits": [{"rate": 10}], "limiter": "missing"}, "no installed plugin provides the limiter 'missing'"),
        ({"charsPerToken": 0}, "too small"),
    ],
)
async def test_what_cannot_be_meant_stops_the_start(gateway_factory, upstream, block, problem):
    with pytest.raises(ConfigurationError, match=problem):
        await gateway_factory({"plugins": {"llm-limits": block}}, upstream=upstream)
