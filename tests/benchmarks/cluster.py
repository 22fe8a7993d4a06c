"""What following a large Kubernetes cluster costs: ``python tests/benchmarks/cluster.py``.

Starts the API server of the plugin's tests with 1,000 services of ten endpoints each, a gateway that follows them, and
a service that listens at all addresses of the loopback network. Then the endpoints of one service change again and
again, and a client asks one worker until the answer comes from the new address. Prints how much memory the gateway's
first process has, which is the control plane where there are workers, and how long a change took to be routed: from the
API server's word to the first answer. Server, service and client share the machine with the gateway.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from process import REPOSITORY, find_program, started
from reload import connected, reserved

sys.path.insert(0, str(REPOSITORY))
from plugins.kubernetes.tests.fake_api_server import FakeApiServer  # found by the line before
from plugins.kubernetes.tests.objects_for_tests import endpoint_slice, service

CHANGED = 500
"""The number of the service whose endpoints change."""
WITHIN_S = 60.0
PAUSE_S = 0.002


class Named(asyncio.Protocol):
    """Answers each request, which has no body, with the address that it came to."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where to answer, and what."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        address = transport.get_extra_info("sockname")[0].encode()
        self._answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(address), address)

    def data_received(self, data: bytes) -> None:
        """Answer."""
        self._transport.write(self._answer * data.count(b"\r\n\r\n"))


def addresses(number: int, count: int) -> list[str]:
    """Return the addresses of the endpoints of a service."""
    return [f"127.{10 + (number >> 8)}.{number & 255}.{each + 1}" for each in range(count)]


def kubeconfig(folder: Path, url: str) -> Path:
    """Write a file that leads to the API server; returns its place."""
    said = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{"name": "it", "cluster": {"server": url}}],
        "users": [{"name": "me", "user": {}}],
        "contexts": [{"name": "here", "context": {"cluster": "it", "user": "me"}}],
    }
    file = folder / "kubeconfig"
    file.write_text(json.dumps(said))
    return file


def configuration(folder: Path, port: int, url: str) -> Path:
    """Write the gateway's configuration; returns its place."""
    said = {
        "gateway": {
            "frontend": {"http": {"port": port}},
            "registry": {"kubernetes": {"kubeconfig": str(kubeconfig(folder, url))}},
            "router": {"rules": [{"path": "/*", "serviceName": f"service-{CHANGED}"}]},
        }
    }
    file = folder / "gateway.yaml"
    file.write_text(json.dumps(said))
    return file


def memory_mib(process_id: int) -> tuple[float, float]:
    """Return what a process has in memory now, and what it had at most."""
    status = Path(f"/proc/{process_id}/status").read_text()
    now, most = (re.search(rf"{name}:\s+(\d+) kB", status) for name in ("VmRSS", "VmHWM"))
    assert now
    assert most
    return int(now[1]) / 1024, int(most[1]) / 1024


async def answered_by(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wanted: str) -> None:
    """Ask until the answer is this one."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            writer.write(b"GET / HTTP/1.1\r\nhost: cluster\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
            body = await reader.readexactly(int(length[1])) if length else b""
            if body.decode() == wanted:
                return
            await asyncio.sleep(PAUSE_S)


async def main(options: argparse.Namespace, folder: Path) -> None:
    """Measure and print."""
    server = FakeApiServer()
    await server.start()
    listening = await asyncio.get_running_loop().create_server(Named, "0.0.0.0", 0)  # noqa: S104 - ten thousand addresses
    ports = [{"name": "http", "port": listening.sockets[0].getsockname()[1], "protocol": "TCP"}]

    def tell(number: int, places: list[str]) -> None:
        server.apply(endpoint_slice(*places, of=f"service-{number}", ports=ports))

    for number in range(options.services):
        server.apply(service(f"service-{number}"))
        tell(number, addresses(number, options.endpoints))
    tell(CHANGED, ["127.0.1.1"])
    kept = reserved()
    port = kept.getsockname()[1]
    program = find_program("gateway")
    assert program, "the gateway is not installed; run make build"
    file = configuration(folder, port, server.url)
    command = [str(program), "run", "-c", str(file), "--workers", str(options.workers), "--log-level", "warn"]
    cores = sorted(os.sched_getaffinity(0))
    with started(command, cores=cores, log=folder / "gateway.log") as process:
        reader, writer = await connected(port)
        kept.close()
        await answered_by(reader, writer, "127.0.1.1")
        took_s = []
        for number in range(2, 2 + options.changes):
            await asyncio.sleep(options.pause)
            began_s = time.monotonic()
            tell(CHANGED, [f"127.0.1.{number}"])
            await answered_by(reader, writer, f"127.0.1.{number}")
            took_s.append(time.monotonic() - began_s)
        now, most = memory_mib(process.pid)
        writer.close()
    print(
        f"{options.services} services of {options.endpoints} endpoints, {options.workers} workers: "
        f"{now:.0f} MiB in memory, {most:.0f} at most\n"
        f"{len(took_s)} changes were routed after {median(took_s) * 1e3:.0f} ms (median), "
        f"{min(took_s) * 1e3:.0f} to {max(took_s) * 1e3:.0f} ms"
    )
    listening.close()
    await server.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--services", type=int, default=1_000, help="services; more than 500 (1000)")
    parser.add_argument("--endpoints", type=int, default=10, help="endpoints of each, up to 254 (10)")
    parser.add_argument("--changes", type=int, default=40, help="changes of one of them, up to 250 (40)")
    parser.add_argument("--pause", type=float, default=0.25, help="seconds between two changes (0.25)")
    parser.add_argument("--workers", type=int, default=2, help="worker processes (2)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        asyncio.run(main(options, Path(temporary)))
