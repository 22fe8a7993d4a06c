"""Workers, signals and reloads."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

pytestmark = pytest.mark.anyio

both = pytest.mark.parametrize("workers", ["1", "2"])


async def pids_of(started) -> list[int]:
    return [worker["pid"] for worker in (await started.admin("/status"))["workers"]]


# Workers.


async def test_workers_serve_on_one_port(gateway, service, routes, dial):
    orders = await service()
    started = await gateway(routes({"orders": [orders.port]}), "--workers", "2")
    connections = [await dial(started.port) for _ in range(16)]
    for connection in connections:
        assert (await connection.ask("GET", "/")).status == 200
    workers = (await started.admin("/status"))["workers"]
    assert [worker["serving"] for worker in workers] == [True, True]
    assert sum(worker["connections"] for worker in workers) >= 16
    assert await started.stop() == 0


async def test_a_worker_that_dies_is_replaced(gateway, service, routes, until):
    orders = await service()
    started = await gateway(routes({"orders": [orders.port]}), "--workers", "2")
    first, second = await pids_of(started)
    os.kill(first, signal.SIGKILL)
    await started.says(f"worker 1 (pid {first}) died (signal 9)")
    await started.says("worker 1 was replaced and serves")
    again, same = await pids_of(started)
    assert again != first
    assert same == second
    for _ in range(20):
        assert (await started.ask("/")).status == 200


async def test_signals_to_a_worker_are_left_to_the_control_plane(gateway, service, routes):
    """Service managers send them to every process of a service."""
    orders = await service()
    started = await gateway(routes({"orders": [orders.port]}), "--workers", "2")
    pids = await pids_of(started)
    for pid in pids:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            os.kill(pid, number)
    await asyncio.sleep(0.3)
    assert await pids_of(started) == pids
    assert (await started.ask("/")).status == 200


async def test_workers_end_when_the_control_plane_is_gone(gateway, service, routes, until):
    orders = await service()
    started = await gateway(routes({"orders": [orders.port]}), "--workers", "2")
    pids = await pids_of(started)
    started.process.kill()
    await started.process.wait()

    def are_gone() -> bool:
        return not any(os.path.exists(f"/proc/{pid}") for pid in pids)

    await until(are_gone)
    await started.says("the control plane is gone", times=2)


# Stopping.


@both
async def test_what_is_under_way_finishes_and_readiness_fails_first(gateway, service, routes, dial, until, workers):
    orders = await service()
    settings = routes({"orders": [orders.port]}, shutdownDelay=0.6, shutdownTimeout=10)
    started = await gateway(settings, "--workers", workers)
    busy, watcher = await dial(started.port), await dial(started.port)
    assert (await watcher.ask("GET", "/_gateway/ready")).status == 200
    orders.hold.clear()
    await busy.send("GET", "/slow")
    await until(lambda: orders.requests == ["GET /slow"])
    started.signal(signal.SIGTERM)
    await asyncio.sleep(0.2)
    # Load balancers see it first; meanwhile everything is served as before.
    assert (await watcher.ask("GET", "/_gateway/ready")).json == {"ready": False}
    assert (await watcher.ask("GET", "/_gateway/live")).status == 200
    newcomer = await dial(started.port)
    await newcomer.send("GET", "/late")
    await until(lambda: "GET /late" in orders.requests)
    await asyncio.sleep(0.8)
    with pytest.raises(OSError, match=r"Connect call failed|refused|reset"):
        await dial(started.port)
    assert started.process.returncode is None
    orders.hold.set()
    for connection in (busy, newcomer):
        answer = await connection.answer()
        assert (answer.status, answer.body) == (200, b"one")
    assert await started.ended() == 0
    assert "stopped" in started.log
    assert "cut" not in started.log, started.log


@both
async def test_what_takes_longer_is_cut(gateway, service, routes, dial, until, workers):
    orders = await service()
    started = await gateway(routes({"orders": [orders.port]}, shutdownTimeout=0.5), "--workers", workers)
    busy = await dial(started.port)
    orders.hold.clear()
    await busy.send("GET", "/slow")
    await until(lambda: orders.requests)
    assert await started.stop() == 0
    assert "1 connections did not finish in time and are cut" in started.log
    with pytest.raises((OSError, asyncio.IncompleteReadError)):
        await busy.answer()


@both
async def test_whoever_asks_twice_does_not_want_to_wait(gateway, service, routes, dial, until, workers):
    orders = await service()
    settings = routes({"orders": [orders.port]}, shutdownDelay=60, shutdownTimeout=60)
    started = await gateway(settings, "--workers", workers)
    busy = await dial(started.port)
    orders.hold.clear()
    await busy.send("GET", "/slow")
    await until(lambda: orders.requests)
    started.signal(signal.SIGINT)
    await started.says("stopping")
    started.signal(signal.SIGINT)
    assert await started.ended(5) == 0


SLOW_START = """
import asyncio
from gateway import PolicyRegistration

class Slow:
    def __init__(self, config, context):
        pass
    async def __aenter__(self):
        print("entering\\n", end="", flush=True)  # in one write: two workers write at once
        await asyncio.sleep(8)
    async def __aexit__(self, *error):
        pass
    def wrap(self, next, route):
        return next

slow = PolicyRegistration(name="slow", build=Slow)
"""


@both
async def test_it_can_be_stopped_while_it_starts(gateway, write, children, until, workers):
    plugin = str(write("slow.py", SLOW_START))
    started = await gateway(None, "--plugin", plugin, "--workers", workers, is_ready=False)
    await started.says("entering", times=int(workers))
    pids = children(started.process.pid)
    assert len(pids) == (0 if workers == "1" else 2)
    started.signal(signal.SIGTERM)
    assert await started.ended(8) == 0
    assert "told to stop before it was started" in started.log
    assert "Traceback" not in started.log
    await until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids))


# Reloading.


@both
async def test_sighup_reloads(gateway, service, routes, dial, text_of, workers):
    one, two = await service("one"), await service("two")
    started = await gateway(routes({"orders": [one.port]}), "--workers", workers)
    kept = await dial(started.port)
    assert (await kept.ask("GET", "/")).body == b"one"
    started.config.write_text(text_of(routes({"orders": [two.port]}), started.port))
    started.signal(signal.SIGHUP)
    await started.says("configuration reloaded: 1 routes")
    assert (await kept.ask("GET", "/")).body == b"two"
    for _ in range(8):
        assert (await started.ask("/")).body == b"two"


@both
async def test_a_change_of_the_file_reloads(gateway, service, routes, text_of, workers):
    one, two = await service("one"), await service("two")
    started = await gateway(routes({"orders": [one.port]}), "--hot-reload", "--workers", workers)
    assert (await started.ask("/")).body == b"one"
    await asyncio.sleep(0.6)
    started.config.write_text(text_of(routes({"orders": [two.port]}), started.port))
    await started.says("configuration reloaded")
    assert (await started.ask("/")).body == b"two"


@both
async def test_a_reload_can_be_asked_for(gateway, service, routes, text_of, workers):
    one, two = await service("one"), await service("two")
    started = await gateway(routes({"orders": [one.port]}), "--workers", workers)
    started.config.write_text(text_of(routes({"orders": [two.port]}), started.port))
    assert await started.admin("/reload", method="POST") == {"reloaded": True}
    assert (await started.ask("/")).body == b"two"
    assert (await started.ask("/_gateway/reload", method="POST")).status == 401


BAD = """\
gateway:
  router:
    rules:
      - path: /*
        serviceName: orders
        rateLimt: 5
  registry:
    static:
      services: [{name: orders, instances: [{address: 127.0.0.1, port: 1}]}]
"""


@both
async def test_a_bad_configuration_changes_nothing_and_is_named(gateway, service, routes, text_of, workers):
    one = await service("one")
    started = await gateway(routes({"orders": [one.port]}), "--workers", workers)
    good = started.config.read_text()
    started.config.write_text(BAD)
    started.signal(signal.SIGHUP)
    await started.says("the configuration was not reloaded; the old one stays in force")
    assert f"{started.config}:6:9: gateway.router.rules[0].rateLimt" in await started.says("rateLimt")
    assert (await started.ask("/")).body == b"one"
    refused = await started.admin("/reload", method="POST")
    assert (refused["reloaded"], len(refused["problems"])) == (False, 1)
    started.config.write_text(good)
    started.signal(signal.SIGHUP)
    await started.says("configuration reloaded")
    assert (await started.ask("/")).body == b"one"


@both
async def test_a_reload_that_wants_a_port_that_is_taken_changes_nothing(gateway, service, routes, text_of, workers):
    one = await service("one")
    started = await gateway(routes({"orders": [one.port]}), "--workers", workers)
    started.config.write_text(text_of(routes({"orders": [one.port]}), one.port))
    started.signal(signal.SIGHUP)
    await started.says("the old one stays in force")
    assert f"cannot listen on 127.0.0.1:{one.port}" in started.log
    assert (await started.ask("/")).body == b"one"


@both
async def test_a_listener_can_move(gateway, service, routes, text_of, dial, port, workers):
    one = await service("one")
    started = await gateway(routes({"orders": [one.port]}), "--workers", workers)
    kept = await dial(started.port)
    before, after = started.port, port()
    await kept.ask("GET", "/")
    started.config.write_text(text_of(routes({"orders": [one.port]}), after))
    started.signal(signal.SIGHUP)
    await started.says("configuration reloaded")
    started.port = after
    assert (await started.ask("/")).body == b"one"
    # Whoever is connected stays so; nobody else is kept waiting for an answer that never comes.
    assert (await kept.ask("GET", "/")).body == b"one"
    with pytest.raises(ConnectionRefusedError):
        await dial(before)


@both
async def test_a_stream_outlives_the_configuration_it_began_with(
    gateway, service, routes, dial, text_of, until, workers
):
    one, two = await service("one"), await service("two")
    settings = routes({"orders": [one.port]}, backend={"http": {"maxIdleConnsPerHost": 5}}, shutdownTimeout=1)
    started = await gateway(settings, "--workers", workers)
    busy = await dial(started.port)
    one.hold.clear()
    await busy.send("GET", "/slow")
    await until(lambda: one.requests)
    settings = routes({"orders": [two.port]}, backend={"http": {"maxIdleConnsPerHost": 6}}, shutdownTimeout=1)
    started.config.write_text(text_of(settings, started.port))
    started.signal(signal.SIGHUP)
    await started.says("configuration reloaded")
    assert (await started.ask("/")).body == b"two"
    await asyncio.sleep(1.3)
    one.hold.set()
    assert (await busy.answer()).body == b"one"
    assert (await busy.ask("GET", "/")).body == b"two"


# Ports.


@both
async def test_a_port_that_is_taken_stops_the_start(gateway, service, routes, workers):
    one = await service("one")
    started = await gateway(routes({"orders": [one.port]}), "--workers", workers, port=one.port, is_ready=False)
    assert await started.ended() == 2
    assert f"cannot listen on 127.0.0.1:{one.port}: " in started.log
    assert "another process has the port: stop it, or choose another port" in started.log
    assert "Traceback" not in started.log


async def test_two_gateways_with_workers_do_not_share_a_port_by_accident(gateway, service, routes):
    one = await service("one")
    first = await gateway(routes({"orders": [one.port]}), "--workers", "2")
    second = await gateway(routes({"orders": [one.port]}), "--workers", "2", port=first.port, is_ready=False)
    assert await second.ended() == 2
    assert "another process has the port" in second.log
    assert (await first.ask("/")).body == b"one"
