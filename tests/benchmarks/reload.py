"""What a reload of a service with 10,000 instances costs the requests meanwhile: ``python tests/benchmarks/reload.py``.

Starts a service that listens at ten thousand addresses of the loopback network, a gateway that knows them all, and a
client that asks every other millisecond, with the cookie it was given; then gives all instances another weight and
reloads. Prints how long requests took before and after. Service and client share the machine with the gateway: the
figures before say what that costs.

With ``--rules 10000 --count 1`` it is the rules that are many, each with another time-out after the reload.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
BEFORE_S = 2.0
AFTER_S = 6.0
PAUSE_S = 0.002
LONG_S = 0.02
START_WITHIN_S = 30.0
COOKIE = re.compile(rb"\r\nset-cookie: ([^;\r]+)", re.IGNORECASE)


class Service(asyncio.Protocol):
    """Answers each request, which has no body."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where to answer."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer."""
        self._transport.write(ANSWER * data.count(b"\r\n\r\n"))


def configuration(port: int, service_port: int, options: argparse.Namespace, weight: int) -> str:
    """Return the text of a configuration with so many instances and rules."""
    count, balancer = options.count, options.balancer
    places = [f"127.{1 + (number >> 16)}.{number >> 8 & 255}.{number & 255}" for number in range(1, count + 1)]
    lines = [f"            - {{address: {place}, port: {service_port}, weight: {weight}}}" for place in places]
    return "\n".join(
        [
            "gateway:",
            f"  frontend: {{http: {{port: {port}}}}}",
            "  registry:",
            "    static:",
            "      services:",
            "        - name: orders",
            "          instances:",
            *lines,
            "  router:",
            "    rules:",
            f"      - {{path: /*, serviceName: orders, loadBalance: {balancer}}}",
            *(
                f"      - {{path: /{number}/*, serviceName: orders, methods: [GET, POST], timeout: {10 + weight}s}}"
                for number in range(options.rules)
            ),
        ]
    )


def reserved() -> socket.socket:
    """Return what keeps a port free for the gateway until it listens.

    Somebody else who is given it meanwhile, or the client's own end of a connection, would answer in its place.
    """
    kept = socket.socket()
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    kept.bind(("127.0.0.1", 0))
    return kept


async def connected(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return a connection to the gateway once it listens."""
    until_s = time.monotonic() + START_WITHIN_S
    while True:
        try:
            return await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if time.monotonic() > until_s:
                raise
            await asyncio.sleep(0.1)


async def ask_for(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> list[float]:
    """Ask one request after the other; returns how long each took, in seconds."""
    took_s = []
    cookie = b""
    until_s = time.monotonic() + seconds
    while (begun_s := time.monotonic()) < until_s:
        writer.write(b"GET / HTTP/1.1\r\nhost: orders\r\n" + cookie + b"\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(2)
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(head.decode("latin-1"))
        took_s.append(time.monotonic() - begun_s)
        if given := COOKIE.search(head):
            cookie = b"cookie: " + given[1] + b"\r\n"
        await asyncio.sleep(PAUSE_S)
    return took_s


def report(name: str, took_s: list[float]) -> None:
    """Print what requests took."""
    ordered = sorted(took_s)
    many = sum(each > LONG_S for each in ordered)
    print(
        f"{name:<8}{len(ordered):>6} requests: median {ordered[len(ordered) // 2] * 1e3:.1f} ms, "
        f"99 % within {ordered[len(ordered) * 99 // 100] * 1e3:.1f} ms, longest {ordered[-1] * 1e3:.1f} ms, "
        f"{many} above {LONG_S * 1e3:.0f} ms"
    )


async def main(options: argparse.Namespace, folder: Path) -> None:
    """Measure and print."""
    server = await asyncio.get_running_loop().create_server(Service, "0.0.0.0", 0)  # noqa: S104 - 10,000 addresses
    service_port = server.sockets[0].getsockname()[1]
    kept = reserved()
    port = kept.getsockname()[1]
    file = folder / "gateway.yaml"
    file.write_text(configuration(port, service_port, options, 2))
    program = shutil.which("gateway", path=str(Path(sys.executable).parent)) or "gateway"
    process = subprocess.Popen(  # noqa: ASYNC220 - before anything is measured; the gateway of this environment
        [program, "run", "-c", str(file), "--workers", str(options.workers), "--log-level", "warn"]
    )
    try:
        reader, writer = await connected(port)
        kept.close()
        await ask_for(reader, writer, 1.0)
        report("before", await ask_for(reader, writer, BEFORE_S))
        file.write_text(configuration(port, service_port, options, 3))
        process.send_signal(signal.SIGHUP)
        report("reload", await ask_for(reader, writer, AFTER_S))
        writer.close()
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        server.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000, help="instances (10000)")
    parser.add_argument("--rules", type=int, default=0, help="rules besides the one that is asked (0)")
    parser.add_argument("--balancer", default="power_of_two", help="of the one that is asked (power_of_two)")
    parser.add_argument("--workers", type=int, default=1, help="worker processes (1)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        asyncio.run(main(options, Path(temporary)))
