"""Scenarios of plain forwarding: small and large bodies, TLS, many rules, instances and workers, start, memory."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import bulk
import cells
import cpu
import load
import peers
import process
import results
import upstream

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROUTES = 10_000
INSTANCES = 1_000
IDLE_CONNECTIONS = 5_000
ENOUGH_CORES = 4  # two for two workers, two for the load and the service
_BULK_WAIT_S = 30.0


def small(bench: cells.Bench, names: Sequence[str]) -> list[results.Result]:
    """GET, keep-alive, 65 bytes."""
    return cells.full_load(bench, "small", [cells.Cell(peer=name) for name in names], seconds=bench.seconds)


def headers(bench: cells.Bench, names: Sequence[str]) -> list[results.Result]:
    """The same with the ten header fields that a browser sends."""
    request = load.Request(headers=load.BROWSER_HEADERS)
    return cells.full_load(bench, "headers", [cells.Cell(peer=name, request=request) for name in names])


def stream(bench: cells.Bench, names: Sequence[str]) -> list[results.Result]:
    """Downloads of 1 MiB."""
    request = load.Request(path="/1mb", check="total", expected_bytes=upstream.MIB)
    return cells.full_load(bench, "stream-1mb", [cells.Cell(peer=name, request=request) for name in names])


def upload(bench: cells.Bench, names: Sequence[str]) -> list[results.Result]:
    """Uploads of 1 MiB, which the service reads to the end before it answers."""
    request = load.Request(path="/upload", body_bytes=upstream.MIB, check="received", expected_bytes=upstream.MIB)
    return cells.full_load(bench, "upload-1mb", [cells.Cell(peer=name, request=request) for name in names])


def tls(bench: cells.Bench, names: Sequence[str]) -> list[results.Result]:
    """GET, keep-alive, 65 bytes, HTTPS to the client."""
    certificate = peers.make_certificate(bench.new_directory("certificate"))
    request = load.Request(tls=True)
    wanted = [cells.Cell(peer=name, request=request, certificate=certificate) for name in names]
    return cells.full_load(bench, "tls", wanted)


def routes(bench: cells.Bench, names: Sequence[str]) -> list[results.Result]:
    """The path of the last of 10,000 rules, and the same path with one rule."""
    request = load.Request(path=f"/r{ROUTES}/item")
    wanted = [
        cells.Cell(peer=name, variant=f"{count:,} rule" + "s" * (count > 1), routes=count, request=request)
        for name in names
        for count in (1, ROUTES)
    ]
    return cells.full_load(bench, "routes-10000", wanted)


def instances(bench: cells.Bench, names: Sequence[str]) -> list[results.Result]:
    """A service with 1,000 instances, each on a loopback address of its own, and the same service with one."""
    directory = bench.new_directory("instances")
    port = bench.ports.take()
    with upstream.serving(directory, port, cores=bench.load_cores, instances=INSTANCES) as many:
        one = upstream.Service(addresses=many.addresses[:1], port=many.port)
        wanted = [
            cells.Cell(peer=name, variant=f"{len(service.addresses):,} instance{end}", service=service)
            for name in names
            for service, end in ((one, ""), (many, "s"))
        ]
        return cells.full_load(bench, "instances-1000", wanted)


def half_load(bench: cells.Bench, names: Sequence[str]) -> list[results.Result]:
    """Latency at half the rate that the proxy reached a moment before, and of the service without a proxy."""
    with contextlib.ExitStack() as stack:
        found, alive = cells.start_cells(stack, bench, "p99-half", [cells.Cell(peer=name) for name in names])
        rates: dict[str, float] = {}
        for live in alive:
            with cells.blame(live.result):
                cells.measure(bench, live, cells.WARM_UP_S)
                rates[live.cell.peer] = cells.measure(bench, live, bench.brief_s)["rate"] / 2
        direct = results.Result(scenario="p99-half", peer="direct")
        for _ in range(bench.rounds):
            if rates:
                with cells.blame(direct):
                    direct.samples.append(_paced(bench, bench.service.port, max(rates.values()), None))
            for live in alive:
                if live.result.problem is None:
                    with cells.blame(live.result):
                        rate = rates[live.cell.peer]
                        live.result.samples.append(_paced(bench, live.proxy.port, rate, live.proxy.pid))
        return [*found, direct]


def idle(bench: cells.Bench, names: Sequence[str]) -> list[results.Result]:
    """What 5,000 open connections add to a proxy's memory after one answer each."""
    found: list[results.Result] = []
    for name in names:
        with contextlib.ExitStack() as stack:
            started, alive = cells.start_cells(stack, bench, "idle-5000", [cells.Cell(peer=name)])
            found += started
            for live in alive:
                with cells.blame(live.result):
                    live.result.samples.append(_idle(bench, live))
    return found


def start(bench: cells.Bench, names: Sequence[str]) -> list[results.Result]:
    """From starting the process to its first right answer; a first start fills the caches and does not count."""
    found = [results.Result(scenario="start", peer=name) for name in names]
    for number in range(bench.rounds + 1):
        for result in found:
            if result.problem is None:
                with cells.blame(result), contextlib.ExitStack() as stack:
                    proxy = cells.launch(stack, bench, cells.Cell(peer=result.peer), bench.proxy_cores)
                    if number:
                        result.samples.append({"start_s": proxy.seconds_to_answer})
    return found


def workers(bench: cells.Bench, names: Sequence[str]) -> list[results.Result]:
    """Two workers and one.

    With fewer than four cores there is only one round, because the second worker shares its core with the load then.
    """
    many = len(bench.usable_cores) >= ENOUGH_CORES
    usable = sorted(bench.usable_cores)
    roomy = dataclasses.replace(
        bench,
        proxy_cores=tuple(usable[:2]),
        load_cores=tuple(usable[2:4]) if many else bench.load_cores,
        rounds=bench.rounds if many else 1,
    )
    lanes = 2 if many else 1
    directory = bench.new_directory("workers")
    port = bench.ports.take()
    with upstream.serving(directory, port, cores=roomy.load_cores, workers=lanes) as service:
        wanted = [
            cells.Cell(peer=name, variant=f"{count} worker" + "s" * (count > 1), workers=count, service=service)
            for name in names
            for count in (1, 2)
        ]
        return cells.full_load(roomy, "workers-2", wanted, threads=lanes)


def body(bench: cells.Bench, names: Sequence[str]) -> list[results.Result]:
    """One body of 1 GiB in each direction, and how much memory the proxy took for it."""
    found: list[results.Result] = []
    directory = bench.new_directory("body")
    port = bench.ports.take()
    log = directory / "bulk.log"
    command = [sys.executable, str(Path(bulk.__file__)), str(port)]
    service = upstream.Service(addresses=["127.0.0.1"], port=port)
    with process.started(command, cores=bench.load_cores, log=log) as running:
        process.wait_for_port(port, running, log=log, within_s=10.0)
        for name in names:
            for variant, transfer in (("download", bulk.download), ("upload", bulk.upload)):
                with contextlib.ExitStack() as stack:
                    cell = cells.Cell(peer=name, variant=variant, service=service, max_body_bytes=2 * bulk.GIB)
                    started, alive = cells.start_cells(stack, bench, "body-1gib", [cell])
                    found += started
                    for live in alive:
                        with cells.blame(live.result):
                            live.result.samples.append(_bulk(live.proxy, transfer))
    return found


def _paced(bench: cells.Bench, port: int, rate: float, pid: int | None) -> dict[str, float]:
    before = cpu.cpu_time(pid) if pid else None
    done = load.paced(port, rate=rate, seconds=bench.brief_s, cores=bench.load_cores)
    if done is None:
        bench.say(f"p99-half: {rate:,.0f} requests/s could not be kept up; this round does not count")
        return {"target_rate": rate}
    sample = {
        "target_rate": rate,
        "rate": done.requests / done.seconds,
        "p50_ms": done.p50_s * 1e3,
        "p99_ms": done.p99_s * 1e3,
        "lag_ms": done.lag_s * 1e3,
    }
    if pid and before:
        sample["busy"] = cpu.cpu_time(pid).since(before).total_s / done.seconds
    return sample


def _idle(bench: cells.Bench, live: cells.Live) -> dict[str, float]:
    cells.measure(bench, live, cells.WARM_UP_S)
    time.sleep(cells.SETTLE_S)
    before = cpu.memory(live.proxy.pid)
    with load.idle_connections(live.proxy.port, IDLE_CONNECTIONS) as count:
        time.sleep(cells.SETTLE_S)
        after = cpu.memory(live.proxy.pid)
    return {
        "connections": count,
        "kb_each": (after.pss_mib - before.pss_mib) * 1024 / count,
        "before_mib": before.pss_mib,
        "after_mib": after.pss_mib,
    }


def _bulk(proxy: peers.Running, transfer: Callable[..., None]) -> dict[str, float]:
    transfer(proxy.port, 64 * upstream.MIB, timeout_s=_BULK_WAIT_S)
    before = cpu.memory(proxy.pid)
    cpu.reset_peak(proxy.pid)
    spent = cpu.cpu_time(proxy.pid)
    began = time.perf_counter()
    transfer(proxy.port, bulk.GIB, timeout_s=_BULK_WAIT_S)
    seconds = time.perf_counter() - began
    return {
        "growth_mib": cpu.peak_rss_mib(proxy.pid) - before.rss_mib,
        "mib_per_s": bulk.GIB / upstream.MIB / seconds,
        "cpu_ms": cpu.cpu_time(proxy.pid).since(spent).total_s * 1e3,
        "before_mib": before.rss_mib,
    }
