"""Token limits that are counted in a real Redis, for several gateways together, and while it is down."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import time

import pytest

from gateway.testing import Reply, free_port

pytestmark = pytest.mark.anyio

ASKED = json.dumps({"model": "small", "messages": [{"role": "user", "content": "x" * 40}], "max_tokens": 10}).encode()
LIMIT = {"key": "header:x-team", "window": "1h"}


class Redis:
    """A Redis that can be ended and started again."""

    def __init__(self, folder, port):
        self.port = port
        self._folder = folder
        self._process = None

    def start(self):
        settings = ("--bind", "127.0.0.1", "--dir", str(self._folder), "--save", "", "--appendonly", "no")
        self._process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), *settings], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        assert any("Ready to accept connections" in line for line in self._process.stdout)

    def kill(self):
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


@pytest.fixture
def redis_server(tmp_path):
    if shutil.which("redis-server") is None:
        missing = "redis-server is not installed: apt-get install redis-server"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    server = Redis(tmp_path, free_port())
    server.start()
    yield server
    server.kill()


@pytest.fixture
def start(gateway_factory, upstream, redis_server):
    """Return a function that starts a gateway which counts tokens in Redis."""
    upstream.answer = lambda request: answered(10, 10)

    async def start_gateway(on_outage="deny", wait="5s", **limit):
        store = {"redis": {"port": redis_server.port, "timeout": wait}, "onOutage": on_outage}
        block = {"limits": [{**LIMIT, **limit}]}
        return await gateway_factory({"plugins": {"llm-limits": block}, "rateLimit": store}, upstream=upstream)

    return start_gateway


def answered(read, written):
    return Reply.json({"choices": [], "usage": {"prompt_tokens": read, "completion_tokens": written}})


async def ask(gateway, team="a"):
    return await gateway.ask("POST", "/v1/chat", headers={"x-team": team}, body=ASKED)


@pytest.mark.parametrize("algorithm", ["token_bucket", "fixed_window", "sliding_window", "moving_window"])
async def test_tokens_are_charged_and_given_back_in_redis(start, upstream, algorithm):
    gateway = await start(rate=1000, algorithm=algorithm)
    assert [(await ask(gateway))["x-ratelimit-remaining-tokens"] for _ in range(2)] == ["980", "960"]
    upstream.answer = lambda request: answered(1, 1)
    for _ in range(60):
        assert (await ask(gateway)).status == 200, "18 of 20 are given back each time"


async def test_two_gateways_count_together(start):
    one, other = await start(rate=45), await start(rate=45)
    assert [(await ask(gateway)).status for gateway in (one, other, one, other)] == [200, 200, 429, 429]
    assert (await ask(other, team="b")).status == 200


async def test_the_very_next_request_pays_for_what_the_last_one_used_too_much(start, upstream):
    """It is sent as soon as the answer is there, while what was too much is still being charged."""
    upstream.answer = lambda request: answered(10, 5000)
    gateway = await start(rate=100)
    async with gateway.client() as client:
        answers = [await client.ask("POST", "/", headers={"x-team": "a"}, body=ASKED) for _ in range(5)]
    assert [answer.status for answer in answers] == [200, 429, 429, 429, 429]


@pytest.mark.parametrize(("on_outage", "statuses"), [("deny", {503}), ("allow", {200}), ("local", {200, 429})])
async def test_a_redis_that_is_killed_keeps_nobody_waiting(start, redis_server, on_outage, statuses):
    gateway = await start(on_outage, wait="200ms", rate=45)
    assert (await ask(gateway)).status == 200
    redis_server.kill()
    began_s = time.monotonic()
    assert {(await ask(gateway)).status for _ in range(5)} == statuses
    assert time.monotonic() - began_s < 5
    redis_server.start()
    async with asyncio.timeout(15):
        while (await ask(gateway, team="b")).status != 200:  # noqa: ASYNC110 - what is waited for is in the gateway
            await asyncio.sleep(0.05)
