"""Scenarios with WebSockets and event streams, busy and at rest."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import cells
import cpu
import live
import results

if TYPE_CHECKING:
    from collections.abc import Sequence

    import upstream

SOCKETS = 64
BUSY_STREAMS = 1_000  # times the ten events a second of `live_service.py`
RESTING = {"sockets-20000": 20_000, "streams-5000": 5_000}


def websocket(bench: cells.Bench, names: Sequence[str]) -> list[results.Result]:
    """Messages of 100 bytes that a service sends back, over 64 WebSockets."""
    return _live_rounds(bench, "websocket", names, "echo", SOCKETS)


def sse(bench: cells.Bench, names: Sequence[str]) -> list[results.Result]:
    """10,000 events a second over 1,000 streams, and the same streams without a proxy."""
    return _live_rounds(bench, "sse", names, "events", BUSY_STREAMS)


def sockets(bench: cells.Bench, names: Sequence[str]) -> list[results.Result]:
    """What 20,000 WebSockets that rest add to a proxy's memory."""
    return _resting(bench, "sockets-20000", names, "sockets")


def streams(bench: cells.Bench, names: Sequence[str]) -> list[results.Result]:
    """What 5,000 event streams that rest add to a proxy's memory."""
    return _resting(bench, "streams-5000", names, "streams")


def _live_rounds(
    bench: cells.Bench, name: str, names: Sequence[str], kind: live.Kind, count: int
) -> list[results.Result]:
    """Measures messages or events through every proxy in turn, and without one."""
    with contextlib.ExitStack() as stack:
        service = _live_service(stack, bench, name)
        wanted = [cells.Cell(peer=peer, service=service, wants=frozenset({"live"})) for peer in names]
        found, alive = cells.start_cells(stack, bench, name, wanted)
        direct = results.Result(scenario=name, peer="direct")
        rounds = max(1, bench.rounds - 1)  # opening the connections takes as long as measuring them
        for number in range(rounds):
            bench.say(f"{name}: round {number + 1} of {rounds}")
            with cells.blame(direct):
                direct.samples.append(_live(bench, service.port, None, kind, count))
            for each in alive:
                if each.result.problem is None:
                    with cells.blame(each.result):
                        each.result.samples.append(_live(bench, each.proxy.port, each.proxy.pid, kind, count))
        return [*found, direct]


def _resting(bench: cells.Bench, name: str, names: Sequence[str], kind: live.Kind) -> list[results.Result]:
    found: list[results.Result] = []
    with contextlib.ExitStack() as services:
        service = _live_service(services, bench, name)
        for peer in names:
            with contextlib.ExitStack() as stack:
                cell = cells.Cell(peer=peer, service=service, wants=frozenset({"live"}))
                started, alive = cells.start_cells(stack, bench, name, [cell])
                found += started
                for each in alive:
                    with cells.blame(each.result):
                        each.result.samples.append(_rest(bench, each, kind, RESTING[name]))
    return found


def _live_service(stack: contextlib.ExitStack, bench: cells.Bench, name: str) -> upstream.Service:
    directory = bench.new_directory(name)
    return stack.enter_context(live.serving(directory, bench.ports.take(), cores=bench.load_cores))


def _live(bench: cells.Bench, port: int, pid: int | None, kind: live.Kind, count: int) -> dict[str, float]:
    with live.connections(kind, port, count, cores=bench.load_cores, seconds=bench.brief_s) as connections:
        before = cpu.cpu_time(pid) if pid else None
        done = connections.measure()
        spent = cpu.cpu_time(pid).since(before) if pid and before else None
    sample = {"rate": done.requests / done.seconds, "p50_ms": done.p50_s * 1e3, "p99_ms": done.p99_s * 1e3}
    if spent:
        sample |= {
            "cpu_us": spent.total_s / done.requests * 1e6,
            "user_us": spent.user_s / done.requests * 1e6,
            "busy": spent.total_s / done.seconds / len(bench.proxy_cores),
        }
    return sample


def _rest(bench: cells.Bench, each: cells.Live, kind: live.Kind, count: int) -> dict[str, float]:
    with live.connections(kind, each.proxy.port, SOCKETS, cores=bench.load_cores):
        pass  # so that what is loaded only once is there
    time.sleep(cells.SETTLE_S)
    before = cpu.memory(each.proxy.pid)
    with live.connections(kind, each.proxy.port, count, cores=bench.load_cores) as connections:
        time.sleep(cells.SETTLE_S)
        after = cpu.memory(each.proxy.pid)
    return {
        "connections": connections.count,
        "kb_each": (after.pss_mib - before.pss_mib) * 1024 / connections.count,
        "before_mib": before.pss_mib,
        "after_mib": after.pss_mib,
    }
