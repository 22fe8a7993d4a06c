"""Limits in a Redis Cluster of three real processes, and behind three real Sentinels."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


def eventually(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + 15
    while not is_so():
        assert time.monotonic() < deadline, "it did not become so"
        time.sleep(0.02)


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(15):
        while not is_so():  # noqa: ASYNC110 - what it waits for has no event
            await asyncio.sleep(0.02)


async def count(limiter: Any, times: int, key: str) -> int:
    decisions = await asyncio.gather(*(limiter.acquire(key, 1) for _ in range(times)))
    return sum(decision.is_allowed for decision in decisions)


def manage(*arguments: str) -> None:
    command = ["redis-cli", "--cluster", *arguments, "--cluster-yes"]
    subprocess.run(command, check=True, timeout=60, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def cluster(redis_factory: Any) -> list[Any]:
    """Give three masters that share the keys."""
    nodes = [redis_factory("cluster-enabled yes", "cluster-node-timeout 1000") for _ in range(3)]
    addresses = [f"127.0.0.1:{node.port}" for node in nodes]
    manage("create", *addresses)
    for node in nodes:
        eventually(lambda node=node: node.client.cluster("info")["cluster_state"] == "ok")  # type: ignore[misc]
    return nodes


def block(cluster: list[Any], **more: Any) -> dict[str, Any]:
    return {"cluster": True, "clusterNodes": [f"127.0.0.1:{node.port}" for node in cluster], **more}


async def test_a_cluster_limits_exactly_on_all_its_nodes(limiter_factory: Any, cluster: list[Any]) -> None:
    limiter = await limiter_factory(
        limits="10/hour", redis=block(cluster, timeout="9s", keyPrefix="0:"), onOutage="deny"
    )
    allowed = await asyncio.gather(*(count(limiter, 15, f"client-{number}") for number in range(30)))
    assert allowed == [10] * 30
    assert len(limiter._store._lanes) >= 3
    assert all(node.client.dbsize() > 0 for node in cluster)


async def test_a_node_that_is_stopped_takes_only_its_own_keys_along(limiter_factory: Any, cluster: list[Any]) -> None:
    limiter = await limiter_factory(limits="10/hour", redis=block(cluster, timeout="500ms"))
    keys = [f"client-{number}" for number in range(30)]
    for key in keys:
        await limiter.acquire(key, 1)
    cluster[0].signal(signal.SIGSTOP)
    for key in keys:
        await limiter.acquire(key, 1)
    closed = [lane.is_closed for lane in limiter._store._lanes.values()]
    assert closed.count(True) == 1
    began = time.monotonic()
    remaining = [(await limiter.acquire(key, 1)).remaining for key in keys]
    assert time.monotonic() - began < 2.0
    assert set(remaining) == {7, 8}  # the third request in Redis, the second one in memory
    cluster[0].signal(signal.SIGCONT)
    await until(lambda: not any(lane.is_closed for lane in limiter._store._lanes.values()))
    assert (await limiter.acquire("another", 1)).remaining == 9


async def test_keys_that_move_to_another_node_are_followed(limiter_factory: Any, cluster: list[Any]) -> None:
    limiter = await limiter_factory(
        limits="10/hour", redis=block(cluster, timeout="9s", keyPrefix="1:"), onOutage="deny"
    )
    keys = [f"client-{number}" for number in range(200)]
    for key in keys:
        assert await count(limiter, 4, key) == 4
    ids = [node.client.execute_command("CLUSTER", "MYID").decode() for node in cluster]
    where = f"127.0.0.1:{cluster[0].port}"
    moves = ("--cluster-from", ids[0], "--cluster-to", ids[1], "--cluster-slots", "300")
    before = cluster[1].client.dbsize()
    await asyncio.to_thread(manage, "reshard", where, *moves)
    assert cluster[1].client.dbsize() > before
    allowed = await asyncio.gather(*(count(limiter, 15, key) for key in keys))
    assert allowed == [6] * 200


async def test_sentinels_lead_to_the_new_master(limiter_factory: Any, redis_factory: Any) -> None:
    master = redis_factory()
    replica = redis_factory(f"replicaof 127.0.0.1 {master.port}", "repl-diskless-sync-delay 0")
    settings = (
        f"sentinel monitor orders 127.0.0.1 {master.port} 2",
        "sentinel down-after-milliseconds orders 300",
        "sentinel failover-timeout orders 2000",
    )
    sentinels = [redis_factory(*settings, is_sentinel=True) for _ in range(3)]
    await until(lambda: replica.client.info("replication")["master_link_status"] == "up")
    await until(
        lambda: (
            all(each.client.execute_command("SENTINEL", "CKQUORUM", "orders") for each in sentinels)
            and all(len(each.client.execute_command("SENTINEL", "SENTINELS", "orders")) == 2 for each in sentinels)
            and all(len(each.client.execute_command("SENTINEL", "REPLICAS", "orders")) == 1 for each in sentinels)
        )
    )
    addresses = [f"127.0.0.1:{each.port}" for each in sentinels]
    limiter = await limiter_factory(
        limits="10/hour",
        redis={"sentinel": True, "sentinelNodes": addresses, "masterName": "orders", "connectTimeout": "500ms"},
    )
    assert await count(limiter, 4, "a") == 4
    await until(lambda: replica.client.dbsize() == 1)
    master.kill()
    await limiter.acquire("b", 1)
    (lane,) = limiter._store._lanes.values()
    assert lane.is_closed
    await until(lambda: not lane.is_closed)
    assert replica.client.role()[0] == b"master"
    assert await count(limiter, 15, "a") == 6
