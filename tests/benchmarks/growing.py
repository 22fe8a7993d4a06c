"""What a request costs as its service grows: ``python tests/benchmarks/growing.py [BALANCER ...]``.

For each balancer three gateways at once, which know 10, 1,000 and 10,000 instances: one program that listens at all
addresses of the loopback network. They are asked in turn, with 5,000 sessions over 16 connections. Prints the
CPU time of the gateway for a request, and how that grows: medians of rounds, ratios within each round. Unlike
``balancers.py`` it includes what each instance costs besides being chosen, above all a connection of its own, which is
what ``round_robin`` shows: it chooses without looking.

The gateway has the first core to itself; service and clients, which are this program, have the last one.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import tempfile
import time
from pathlib import Path
from statistics import median

from balancers import balancers
from cpu import cpu_time
from process import find_program, started
from reload import Service, configuration, connected, reserved

SIZES = (10, 1_000, 10_000)
CLIENTS = 16
SESSIONS = 5_000
WARM_UP_S = 8.0
"""For the largest service, until it has connections to most of its instances."""
SETTLE_S = 0.2
ROUND_S = 1.5


async def ask(port: int, first: int, until_s: float) -> int:
    """Ask one request after the other, each of another session; returns how many."""
    reader, writer = await connected(port)
    count = 0
    while time.monotonic() < until_s:
        session = (first + 7 * count) % SESSIONS
        writer.write(b"GET / HTTP/1.1\r\nhost: orders\r\nx-session-id: session-%d\r\n\r\n" % session)
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(2)
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(head.decode("latin-1"))
        count += 1
    writer.close()
    return count


async def load(port: int, seconds: float) -> int:
    """Ask with all clients; returns how many requests that were."""
    until_s = time.monotonic() + seconds
    return sum(await asyncio.gather(*(ask(port, 311 * number, until_s) for number in range(CLIENTS))))


async def measure(balancer: str, service_port: int, rounds: int, folder: Path, core: int) -> list[list[float]]:
    """Return for each size what a request cost in each round, in microseconds."""
    program = find_program("gateway")
    assert program, "the gateway is not installed; run make build"
    with contextlib.ExitStack() as stack:
        gateways = []
        for size in SIZES:
            kept = reserved()
            port = kept.getsockname()[1]
            file = folder / f"{size}.yaml"
            wanted = argparse.Namespace(count=size, balancer=balancer, rules=0)
            file.write_text(configuration(port, service_port, wanted, 2))
            command = [str(program), "run", "-c", str(file), "--log-level", "warn"]
            process = stack.enter_context(started(command, cores=[core], log=folder / f"{size}.log"))
            _, writer = await connected(port)
            writer.close()
            kept.close()
            gateways.append((process.pid, port))
        for (_, port), size in zip(gateways, SIZES, strict=True):
            await load(port, WARM_UP_S if size == SIZES[-1] else 1.0)
        costs_us: list[list[float]] = [[] for _ in SIZES]
        for _ in range(rounds):
            for (pid, port), costs in zip(gateways, costs_us, strict=True):
                await load(port, SETTLE_S)
                before = cpu_time(pid)
                count = await load(port, ROUND_S)
                costs.append(cpu_time(pid).since(before).total_s / count * 1e6)
    return costs_us


async def main(options: argparse.Namespace) -> None:
    """Measure and print."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[-1:])
    server = await asyncio.get_running_loop().create_server(Service, "0.0.0.0", 0, backlog=4096)  # noqa: S104 - 10,000 addresses
    print(
        f"{'balancer':<22}" + "".join(f"{size:>10}" for size in SIZES) + "".join(f"{size:>7}/10" for size in SIZES[1:])
    )
    # Those that need no settings of their own.
    for balancer in options.balancers or [name for name in balancers() if "," not in name]:
        with tempfile.TemporaryDirectory() as folder:
            costs_us = await measure(
                balancer, server.sockets[0].getsockname()[1], options.rounds, Path(folder), cores[0]
            )
        few, *more = costs_us
        print(
            f"{balancer:<22}"
            + "".join(f"{median(costs):>7.1f} µs" for costs in costs_us)
            + "".join(f"{median(b / a for a, b in zip(few, many, strict=True)):>10.2f}" for many in more),
            flush=True,
        )
    server.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="rounds, of which medians are taken (7)")
    parser.add_argument("balancers", nargs="*", help="balancers; all without any")
    asyncio.run(main(parser.parse_args()))
