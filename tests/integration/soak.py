"""A minute of load, while everything changes: ``make soak``.

Clients with kept connections ask two workers, which ask three instances; every answer is checked byte for byte.
Meanwhile the configuration is reloaded ten times (routes, weights, the settings of both sides of the wire), a worker is
killed, and an instance dies and returns. No request may fail but those that were under way on what was killed.

A client finds out by its next request that a kept connection ended with its worker, and repeats that on another one if
it is idempotent (RFC 9112 section 9.3.1). A reload must not close connections at all.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import os
import random
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

INSTANCES = 3
WORKERS = 2
RELOADS = 10
REQUEST_TIMEOUT_S = 15.0
NOTICED_AFTER_S = 2.0
CLOSED_BEFORE = "the kept connection was closed before it answered"
TOKEN = "soak"
CHUNK = bytes(range(256)) * 16

MIX = (
    # Method, bytes of the body, share of the requests.
    ("GET", 0, 50),
    ("PUT", 1_000, 20),
    ("POST", 20_000, 18),
    ("DELETE", 0, 4),
    ("PUT", 300_000, 4),
    ("POST", 1_000_000, 4),
)


# The service.


class Instance:
    """Answers every request with its own body or, if it has none, with as many bytes as it asks for."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.port = 0
        self.answered = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def die(self) -> None:
        """Go, in the middle of everything."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                while True:
                    await self._answer(reader, writer)
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        body = await read_body(reader, head)
        size = int(head.start.split(" ")[1].rpartition("size=")[2] or 0)
        answer = body or expected(size)
        writer.write(
            b"HTTP/1.1 200 OK\r\nx-instance: %b\r\ncontent-length: %d\r\n\r\n" % (self.name.encode(), len(answer))
        )
        writer.write(answer)
        await writer.drain()
        self.answered += 1


@dataclass
class Head:
    """The head of a message."""

    start: str
    fields: dict[str, str]


async def read_head(reader: asyncio.StreamReader) -> Head:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:-2])}
    return Head(lines[0], fields)


async def read_body(reader: asyncio.StreamReader, head: Head) -> bytes:
    if head.fields.get("transfer-encoding") != "chunked":
        return await reader.readexactly(int(head.fields.get("content-length", "0")))
    pieces = []
    while size := int((await reader.readline()).strip(), 16):
        pieces.append(await reader.readexactly(size))
        await reader.readline()
    await reader.readline()
    return b"".join(pieces)


def expected(size: int) -> bytes:
    return (CHUNK * (size // len(CHUNK) + 1))[:size]


# The clients.


@dataclass
class Failure:
    """A request that failed."""

    method: str
    why: str
    started_s: float
    ended_s: float


@dataclass
class Tally:
    """What came of it all."""

    answers: Counter[str] = field(default_factory=Counter)
    instances: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    latencies_s: list[float] = field(default_factory=list)
    repeats_s: list[float] = field(default_factory=list)
    kills_s: list[float] = field(default_factory=list)
    health_s: list[float] = field(default_factory=list)
    connections: int = 0
    bytes: int = 0

    def is_excused(self, failure: Failure) -> bool:
        """Tell whether something was killed while the request was under way."""
        return any(failure.started_s <= kill_s <= failure.ended_s for kill_s in self.kills_s)

    def is_after_a_kill(self, at_s: float) -> bool:
        """Tell whether a client may just find out that its connection ended with a worker."""
        return any(0 <= at_s - kill_s < NOTICED_AFTER_S for kill_s in self.kills_s)


class Client:
    """Asks one request after the other over a kept connection, and for a new one every now and then."""

    def __init__(self, port: int, tally: Tally, seed: int) -> None:
        self._port = port
        self._tally = tally
        self._random = random.Random(seed)  # noqa: S311 - the same load every time
        self._connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def run(self, until_s: float) -> None:
        methods = [(method, size) for method, size, _ in MIX]
        weights = [weight for *_, weight in MIX]
        while time.monotonic() < until_s:
            if self._random.random() < 0.005:
                self._close()
            method, size = self._random.choices(methods, weights)[0]
            await self._ask(method, size)
        self._close()

    async def _ask(self, method: str, size: int) -> None:
        body = self._random.randbytes(16) + expected(size) if size else b""
        wanted = 0 if size else self._random.choice((0, 10, 1000, 100_000))
        answer = body or expected(wanted)
        started_s = time.monotonic()
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                why = await self._exchange(method, f"/echo/{self._random.randrange(1000)}?size={wanted}", body, answer)
        except TimeoutError:
            why = f"no answer in {REQUEST_TIMEOUT_S:.0f} s"
        except (OSError, asyncio.IncompleteReadError) as error:
            why = type(error).__name__
        ended_s = time.monotonic()
        if why:
            self._close()
            self._tally.failures.append(Failure(method, why, started_s, ended_s))
            return
        self._tally.answers[method] += 1
        self._tally.bytes += len(body) + len(answer)
        self._tally.latencies_s.append(ended_s - started_s)

    async def _exchange(self, method: str, target: str, body: bytes, answer: bytes) -> str:
        """Ask and check; returns what is wrong."""
        connection, is_kept = await self._connected()
        try:
            return await self._send(connection, method, target, body, answer)
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            if not is_kept or bool(getattr(error, "partial", None)):
                raise
            if method == "POST":
                return CLOSED_BEFORE  # which must not be repeated
        # A kept connection that was closed before the answer began: what every client repeats (RFC 9112 section 9.3.1).
        self._tally.repeats_s.append(time.monotonic())
        self._close()
        connection, _ = await self._connected()
        return await self._send(connection, method, target, body, answer)

    async def _send(
        self,
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        method: str,
        target: str,
        body: bytes,
        answer: bytes,
    ) -> str:
        reader, writer = connection
        length = b"content-length: %d\r\n" % len(body) if body else b""
        writer.write(f"{method} {target} HTTP/1.1\r\nhost: soak.test\r\n".encode() + length + b"\r\n" + body)
        await writer.drain()
        head = await read_head(reader)
        got = await read_body(reader, head)
        if head.fields.get("connection") == "close":
            self._close()
        status = head.start.split(" ")[1]
        if status != "200":
            return f"status {status}"
        self._tally.instances[head.fields.get("x-instance", "?")] += 1
        if got != answer:
            return f"a wrong body: {len(got)} bytes, {hashlib.sha256(got).hexdigest()[:8]}"
        return ""

    async def _connected(self) -> tuple[tuple[asyncio.StreamReader, asyncio.StreamWriter], bool]:
        """Return the connection, and whether it was used before."""
        if self._connection is not None and not self._connection[0].at_eof() and not self._connection[1].is_closing():
            return self._connection, True
        self._close()
        self._connection = await asyncio.open_connection("127.0.0.1", self._port)
        self._tally.connections += 1
        return self._connection, False

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection[1].close()


# The gateway.


class Gateway:
    """The gateway as a process, its file and its log."""

    def __init__(self, folder: Path, instances: list[Instance]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        self.lines: list[str] = []
        self._file = folder / "gateway.yaml"
        self._instances = instances
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self.write(0)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY")}
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway.cli", "--config", str(self._file), "--workers", str(WORKERS)),
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        self._reading = asyncio.ensure_future(self._read())
        await self.said("listening on", 1)

    def write(self, version: int) -> None:
        """Write a configuration; every version differs in routes, weights and the settings of both sides."""
        more = [{"id": f"more-{number}", "path": f"/more/{number}", "serviceName": "echo"} for number in range(version)]
        instances = [
            {"address": "127.0.0.1", "port": instance.port, "weight": 1 + (number + version) % 2}
            for number, instance in enumerate(self._instances)
        ]
        settings = {
            "admin": {"token": TOKEN},
            "shutdownTimeout": 10,
            "frontend": {"http": {"host": "127.0.0.1", "port": self.port, "idleTimeout": 60 + version // 2}},
            "backend": {"http": {"maxIdleConnsPerHost": 64 + version // 3}},
            "router": {"rules": [{"id": "echo", "path": "/echo/*", "serviceName": "echo", "timeout": 10}, *more]},
            "registry": {"static": {"services": [{"name": "echo", "instances": instances}]}},
        }
        self._file.write_text(json.dumps({"gateway": settings}, indent=1))

    async def reload(self, version: int) -> None:
        self.write(version)
        self._signal(signal.SIGHUP)
        await self.said("configuration reloaded", version)

    async def workers(self) -> list[dict[str, Any]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(
                f"GET /_gateway/status HTTP/1.1\r\nhost: soak.test\r\nauthorization: Bearer {TOKEN}\r\n\r\n".encode()
            )
            found: list[dict[str, Any]] = json.loads(await read_body(reader, await read_head(reader)))["workers"]
            return found
        finally:
            writer.close()

    async def health(self) -> str:
        """Return the status of ``/_gateway/ready``, asked over a new connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(b"GET /_gateway/ready HTTP/1.1\r\nhost: soak.test\r\n\r\n")
            head = await read_head(reader)
            await read_body(reader, head)
            return head.start.split(" ")[1]
        finally:
            writer.close()

    async def memory_kb(self) -> int:
        """Return the resident memory of all its processes."""
        assert self._process is not None
        pids = [self._process.pid, *(worker["pid"] for worker in await self.workers() if worker["pid"])]
        total = 0
        for pid in pids:
            with contextlib.suppress(OSError):
                status = Path(f"/proc/{pid}/status").read_text()  # noqa: ASYNC240 - no real file
                total += int(status.partition("VmRSS:")[2].split()[0])
        return total

    async def stop(self) -> int:
        """Stop it; returns its exit code."""
        assert self._process is not None
        if self._process.returncode is None:
            self._signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self._process.wait(), 20)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        if self._reading is not None:
            await self._reading
        assert self._process.returncode is not None
        return self._process.returncode

    async def said(self, text: str, times: int, timeout_s: float = 20.0) -> None:
        deadline_s = time.monotonic() + timeout_s
        while sum(text in line for line in self.lines) < times:
            if time.monotonic() > deadline_s or (self._process is not None and self._process.returncode is not None):
                raise RuntimeError(f"the gateway did not say {text!r} {times} times:\n{''.join(self.lines)}")
            await asyncio.sleep(0.02)

    def _signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.lines.append(line.decode())


# What happens meanwhile.


async def reload_now_and_then(gateway: Gateway, seconds: float) -> None:
    for version in range(1, RELOADS + 1):
        await asyncio.sleep(seconds / (RELOADS + 1))
        await gateway.reload(version)


async def watch_health(gateway: Gateway, tally: Tally, until_s: float) -> None:
    """Ask what a load balancer asks, four times a second: the control plane must answer while workers are busy."""
    while time.monotonic() < until_s:
        started_s = time.monotonic()
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                status = await gateway.health()
            why = "" if status == "200" else f"status {status}"
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            why = type(error).__name__
        ended_s = time.monotonic()
        if why:
            tally.failures.append(Failure("health", why, started_s, ended_s))
        tally.health_s.append(ended_s - started_s)
        await asyncio.sleep(0.25)


async def kill_a_worker(gateway: Gateway, tally: Tally, seconds: float) -> None:
    await asyncio.sleep(seconds * 0.35)
    victim = (await gateway.workers())[0]["pid"]
    os.kill(victim, signal.SIGKILL)
    tally.kills_s.append(time.monotonic())
    await gateway.said("was replaced and serves", 1)


async def lose_an_instance(instance: Instance, tally: Tally, seconds: float) -> None:
    await asyncio.sleep(seconds * 0.6)
    tally.kills_s.append(time.monotonic())
    await instance.die()
    await asyncio.sleep(seconds * 0.15)
    await instance.start()


async def soak(seconds: float, clients: int) -> bool:
    """Run it; returns whether all went well."""
    tally = Tally()
    instances = [Instance(f"instance-{number}") for number in range(INSTANCES)]
    for instance in instances:
        await instance.start()
    with tempfile.TemporaryDirectory() as folder:
        gateway = Gateway(Path(folder), instances)
        try:
            await gateway.start()
            before_kb = await gateway.memory_kb()
            until_s = time.monotonic() + seconds
            async with asyncio.TaskGroup() as group:
                for seed in range(clients):
                    group.create_task(Client(gateway.port, tally, seed).run(until_s))
                group.create_task(reload_now_and_then(gateway, seconds))
                group.create_task(watch_health(gateway, tally, until_s))
                group.create_task(kill_a_worker(gateway, tally, seconds))
                group.create_task(lose_an_instance(instances[0], tally, seconds))
            after_kb = await gateway.memory_kb()
        finally:
            code = await gateway.stop()
            for instance in instances:
                await instance.die()
    return report(tally, gateway, seconds, clients, code, (before_kb, after_kb))


def report(tally: Tally, gateway: Gateway, seconds: float, clients: int, code: int, memory_kb: tuple[int, int]) -> bool:
    """Print what came of it; returns whether all went well."""
    total = sum(tally.answers.values())
    latencies = sorted(tally.latencies_s) or [0.0]
    excused = [failure for failure in tally.failures if tally.is_excused(failure)]
    others = [failure for failure in tally.failures if not tally.is_excused(failure)]
    # A connection is closed under a client by a kill, and at most a moment later; never by a reload.
    stale = [each for each in others if each.why == CLOSED_BEFORE and tally.is_after_a_kill(each.started_s)]
    failed = [failure for failure in others if failure not in stale]
    repeats = [at_s for at_s in tally.repeats_s if not tally.is_after_a_kill(at_s)]
    reloads = sum("configuration reloaded" in line for line in gateway.lines)
    replaced = sum("was replaced and serves" in line for line in gateway.lines)
    tracebacks = sum("Traceback" in line for line in gateway.lines)
    rows = (
        ("seconds, clients, workers, instances", f"{seconds:g}, {clients}, {WORKERS}, {INSTANCES}"),
        ("answers, all checked", f"{total:,} ({total / seconds:,.0f}/s): {_counts(tally.answers)}"),
        ("bytes there and back", f"{tally.bytes / 1024**2:,.0f} MiB"),
        ("answers by instance", _counts(tally.instances)),
        ("connections", f"{tally.connections:,}"),
        ("reloads", f"{reloads} of {RELOADS}"),
        ("workers killed and replaced", f"1, {replaced}"),
        (
            "latency p50, p99, longest",
            ", ".join(f"{1000 * _quantile(latencies, share):,.1f} ms" for share in (0.5, 0.99, 1)),
        ),
        ("/_gateway/ready: answers, p50, longest", _health(tally.health_s)),
        ("memory before and after", f"{memory_kb[0] / 1024:,.0f} MiB, {memory_kb[1] / 1024:,.0f} MiB"),
        ("failed, under way on what was killed", f"{len(excused)}: {_counts(Counter(each.why for each in excused))}"),
        ("connections found closed after a kill", f"{len(tally.repeats_s) - len(repeats)} repeated, {len(stale)} POST"),
        ("connections found closed otherwise", f"{len(repeats)}"),
        ("failed otherwise", f"{len(failed)}: {_counts(Counter(f'{each.method} {each.why}' for each in failed))}"),
        ("exit code, tracebacks in the log", f"{code}, {tracebacks}"),
    )
    for name, value in rows:
        print(f"{name:<40}{value}")  # noqa: T201 - what it prints is its result
    is_well = not failed and not repeats and reloads == RELOADS and replaced >= 1 and not code and not tracebacks
    if not is_well:
        print("".join(gateway.lines[-60:]))  # noqa: T201 - as above
    return bool(is_well and total)


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))


def _health(latencies_s: list[float]) -> str:
    ordered = sorted(latencies_s)
    return f"{len(ordered)}, {1000 * _quantile(ordered, 0.5):,.1f} ms, {1000 * _quantile(ordered, 1):,.1f} ms"


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (default: 60)")
    parser.add_argument("--clients", type=int, default=16, help="how many connections at once (default: 16)")
    arguments = parser.parse_args()
    return 0 if asyncio.run(soak(arguments.seconds, arguments.clients)) else 1


if __name__ == "__main__":
    sys.exit(main())
