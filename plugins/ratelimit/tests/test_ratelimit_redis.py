"""A limit in Redis: a real one, which is killed, stopped and started again."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from typing import Any

import pytest

from gateway import GatewayError

pytestmark = pytest.mark.anyio


async def count(limiter: Any, times: int, key: str = "orders|192.0.2.1") -> int:
    decisions = await asyncio.gather(*(limiter.acquire(key, 1) for _ in range(times)))
    return sum(decision.is_allowed for decision in decisions)


async def until(is_so: Any) -> None:
    async with asyncio.timeout(10):
        while not is_so():  # noqa: ASYNC110 - what it waits for has no event
            await asyncio.sleep(0.01)


def lane(limiter: Any) -> Any:
    return limiter._store._lanes[""]


@pytest.mark.parametrize("algorithm", ["token_bucket", "fixed_window", "sliding_window", "moving_window"])
async def test_every_algorithm_limits_exactly_under_concurrency(
    limiter_factory: Any, shared_redis: Any, surroundings: Any, algorithm: str
) -> None:
    block = {"limits": "100/hour", "algorithm": algorithm, "redis": {"port": shared_redis.port, "timeout": "9s"}}
    one = await limiter_factory(**block)
    two = await limiter_factory(surroundings.worker(), **block)
    key = f"concurrent|{algorithm}"
    assert sum(await asyncio.gather(count(one, 300, key), count(two, 300, key))) == 100
    one.refund(key, 7)
    assert await count(one, 300, key) == 7


async def test_what_a_client_is_told(limiter_factory: Any, shared_redis: Any) -> None:
    limiter = await limiter_factory(limits={"rate": 10, "burst": 20}, redis={"port": shared_redis.port})
    decision = await limiter.acquire("told", 20)
    assert (decision.is_allowed, decision.limit, decision.remaining, decision.window_s) == (True, 20, 0, 1.0)
    assert decision.reset_s == pytest.approx(2.0)
    refused = await limiter.acquire("told", 5)
    assert not refused.is_allowed
    assert 0.3 < refused.retry_after_s <= 0.5


async def test_nobodys_name_or_address_stands_in_redis(limiter_factory: Any, shared_redis: Any) -> None:
    limiter = await limiter_factory(limits=5, redis={"port": shared_redis.port, "keyPrefix": "names:"})
    await limiter.acquire("orders|192.0.2.77" * 1000, 1)
    (key,) = shared_redis.client.keys("names:*")
    assert key.startswith(b"names:token_bucket:client:0:")
    assert len(key) < 100
    assert b"192.0.2.77" not in key


async def test_a_redis_that_forgot_the_scripts_is_told_them_again(limiter_factory: Any, redis_factory: Any) -> None:
    server = redis_factory()
    limiter = await limiter_factory(limits="10/hour", redis={"port": server.port, "timeout": "9s"}, onOutage="deny")
    assert await count(limiter, 5) == 5
    server.client.script_flush()
    assert await count(limiter, 20) == 5


async def test_decisions_of_one_turn_travel_together(limiter_factory: Any, redis_factory: Any) -> None:
    server = redis_factory()
    limiter = await limiter_factory(limits=1000, redis={"port": server.port, "timeout": "9s"})
    flights = []
    send = limiter._store._send

    async def counted(commands: Any) -> Any:
        flights.append(len(commands))
        return await send(commands)

    limiter._store._options = limiter._store._options._replace(send=counted)
    limiter._store._lanes.clear()
    await count(limiter, 400)
    assert flights == [400]


# Outages.


@pytest.mark.parametrize(
    ("action", "allowed"), [("local", 10), ("allow", 30)], ids=["local counts in memory", "allow lets pass"]
)
async def test_without_redis_the_gateway_starts_and_goes_on(
    limiter_factory: Any, surroundings: Any, action: str, allowed: int
) -> None:
    limiter = await limiter_factory(limits="10/hour", redis={"port": 1}, onOutage=action)
    assert await count(limiter, 30) == allowed
    assert surroundings.metric("gateway_ratelimit_outage_decisions_total", "redis", action) == 30
    assert surroundings.metric("gateway_ratelimit_store_outages_total", "redis") == 1
    assert surroundings.metric("gateway_ratelimit_store_down", "redis") == 1


async def test_without_redis_deny_is_503(limiter_factory: Any) -> None:
    limiter = await limiter_factory(limits=10, redis={"port": 1}, onOutage="deny")
    with pytest.raises(GatewayError) as caught:
        await limiter.acquire("a", 1)
    assert caught.value.type.status == 503
    assert "redis" not in caught.value.message


async def test_a_redis_that_is_killed_and_started_again_under_load(
    limiter_factory: Any, redis_factory: Any, surroundings: Any
) -> None:
    server = redis_factory()
    limiter = await limiter_factory(limits=50, redis={"port": server.port})
    slowest, over, failures = 0.0, asyncio.Event(), []

    async def load(number: int) -> None:
        nonlocal slowest
        while not over.is_set():
            began = time.monotonic()
            try:
                await limiter.acquire(f"load|{number}", 1)
            except Exception as error:  # noqa: BLE001 - there must be none
                failures.append(error)
            slowest = max(slowest, time.monotonic() - began)
            await asyncio.sleep(0.001)

    async with asyncio.TaskGroup() as clients:
        for number in range(20):
            clients.create_task(load(number))
        await asyncio.sleep(0.3)
        server.kill()
        await until(lambda: lane(limiter).is_closed)
        await asyncio.sleep(0.3)
        server.start()
        await until(lambda: not lane(limiter).is_closed)
        await asyncio.sleep(0.3)
        over.set()
    assert not failures
    assert slowest < 5.0
    assert surroundings.metric("gateway_ratelimit_store_outages_total", "redis") == 1
    assert surroundings.metric("gateway_ratelimit_store_down", "redis") == 0
    assert server.client.dbsize() == 20


async def test_a_redis_that_is_stopped_costs_one_deadline_and_then_nothing(
    limiter_factory: Any, redis_factory: Any
) -> None:
    server = redis_factory()
    limiter = await limiter_factory(limits="10/hour", redis={"port": server.port, "timeout": "300ms"})
    assert await count(limiter, 4) == 4
    server.signal(signal.SIGSTOP)
    began = time.monotonic()
    assert await count(limiter, 100) == 10  # counted in memory, which has seen nothing yet
    assert 0.29 < time.monotonic() - began < 10.0  # one after the other they would take 30
    began = time.monotonic()
    assert await count(limiter, 1000) == 0
    assert time.monotonic() - began < 10.0
    server.signal(signal.SIGCONT)
    await until(lambda: not lane(limiter).is_closed)
    assert (await limiter.acquire("another", 1)).remaining == 9


async def test_who_asks_while_all_connections_hang_waits_no_longer_than_the_deadline(
    limiter_factory: Any, redis_factory: Any
) -> None:
    server = redis_factory()
    block = {"port": server.port, "timeout": "200ms", "maxConnections": 1}
    limiter = await limiter_factory(limits=1000, redis=block, onOutage="allow")
    await count(limiter, 1)
    server.signal(signal.SIGSTOP)
    first = asyncio.ensure_future(count(limiter, 5))
    await asyncio.sleep(0.1)
    began = time.monotonic()
    await count(limiter, 5)
    assert time.monotonic() - began < 2.0
    await first
    server.signal(signal.SIGCONT)


async def test_a_redis_that_is_full_is_an_outage(limiter_factory: Any, redis_factory: Any) -> None:
    server = redis_factory("maxmemory 1", "maxmemory-policy noeviction")
    limiter = await limiter_factory(limits="10/hour", redis={"port": server.port})
    assert await count(limiter, 30) == 10
    assert lane(limiter).is_closed


async def test_an_exchange_that_is_cancelled_leaves_the_others_alone(limiter_factory: Any, shared_redis: Any) -> None:
    limiter = await limiter_factory(limits=1000, redis={"port": shared_redis.port})
    asked = [asyncio.ensure_future(limiter.acquire("cancelled", 1)) for _ in range(10)]
    await asyncio.sleep(0)
    asked[3].cancel()
    decisions = await asyncio.gather(*asked, return_exceptions=True)
    assert [isinstance(decision, asyncio.CancelledError) for decision in decisions].count(True) == 1
    assert not lane(limiter).is_closed


# Getting in.


async def test_a_password_is_needed_where_there_is_one(limiter_factory: Any, redis_factory: Any) -> None:
    server = redis_factory("requirepass open-sesame")
    limiter = await limiter_factory(
        limits="10/hour", redis={"port": server.port, "password": "open-sesame", "timeout": "9s"}, onOutage="deny"
    )
    assert await count(limiter, 20) == 10


@pytest.mark.parametrize("password", [None, "wrong"])
async def test_a_wrong_password_stops_the_start(limiter_factory: Any, redis_factory: Any, password: str | None) -> None:
    server = redis_factory("requirepass open-sesame")
    with pytest.raises(PermissionError, match="see username and password of store 'redis'") as caught:
        await limiter_factory(limits=10, redis={"port": server.port, "password": password})
    assert "open-sesame" not in str(caught.value)


async def test_a_user_who_may_do_only_what_is_needed(limiter_factory: Any, redis_factory: Any) -> None:
    server = redis_factory()
    needed = "resetkeys ~gateway:ratelimit:* +eval +evalsha +exists +get +set +del +time"
    server.client.execute_command("ACL", "SETUSER", "gateway", "on", ">open-sesame", *needed.split())
    block = {"port": server.port, "username": "gateway", "password": "open-sesame", "timeout": "9s"}
    for algorithm in ("token_bucket", "fixed_window", "sliding_window", "moving_window"):
        limiter = await limiter_factory(limits="10/hour", algorithm=algorithm, redis=block, onOutage="deny")
        assert await count(limiter, 20) == 10


async def test_a_server_that_says_nothing_delays_nobody(limiter_factory: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        block = {"port": server.getsockname()[1], "connectTimeout": "200ms"}
        began = time.monotonic()
        limiter = await limiter_factory(limits="10/hour", redis=block)
        assert await count(limiter, 30) == 10
        assert time.monotonic() - began < 10


async def test_databases_are_apart(limiter_factory: Any, redis_factory: Any) -> None:
    server = redis_factory()
    limiter = await limiter_factory(limits=10, redis={"port": server.port, "db": 3}, onOutage="deny")
    await count(limiter, 1)
    assert server.client.dbsize() == 0
