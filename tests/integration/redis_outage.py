"""Redis is killed, started again, paused and let go on under load, with each ``onOutage``: ``make outage``.

Clients with kept connections ask two workers, whose only limit is counted in Redis. No request may fail or wait much
longer than the deadline of the store; while Redis is away they must be answered as ``onOutage`` says, and soon after it
is back, by what Redis counts again.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.integration import soak
else:
    import soak  # the script beside this one

RATE_PER_S = 400
DEADLINE_S = 0.1
LONGEST_STALL_S = 1.5
"""A stall of the machine included: what is looked for is a request that waits for Redis, which would take for ever."""
NOTICED_S = 0.5
BACK_S = 3.0
"""How long it may take until Redis decides again: it is looked for at least every 2 s."""

EXPECTED = {"local": {200, 429}, "deny": {503}, "allow": {200}}
"""What is answered while Redis is away."""

PHASES = ("up", "killed", "started again", "paused", "goes on")


@dataclass(frozen=True, slots=True)
class Answered:
    """A request."""

    ended_s: float
    latency_s: float
    status: int


@dataclass
class Run:
    """What came of one run.

    Attributes:
        action: The ``onOutage``.
        began_s: When each phase began, and the last one ended.
        answered: Every request.
        failures: What was no answer.
    """

    action: str
    began_s: list[float] = field(default_factory=list)
    answered: list[Answered] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)

    def within(self, phase: int, after_s: float = 0.0) -> list[Answered]:
        """Return what was answered in a phase, from a moment after it began."""
        begin_s, end_s = self.began_s[phase] + after_s, self.began_s[phase + 1]
        return [each for each in self.answered if begin_s <= each.ended_s - each.latency_s and each.ended_s < end_s]

    def back_s(self, phase: int) -> float | None:
        """Return how long after a phase began the last answer was that nobody gives while Redis is there."""
        odd = [each.ended_s for each in self.within(phase) if each.status not in (200, 429)]
        return max(odd) - self.began_s[phase] if odd else None

    def problems(self) -> list[str]:
        """Return what went wrong."""
        found = [f"{count} requests failed: {why}" for why, count in self.failures.items()]
        longest_s = max((each.latency_s for each in self.answered), default=0.0)
        if longest_s > LONGEST_STALL_S:
            found.append(f"a request took {longest_s:.2f} s")
        for phase, name in enumerate(PHASES):
            is_away = name in ("killed", "paused")
            allowed = EXPECTED[self.action] if is_away else {200, 429}
            settled_s = NOTICED_S if is_away else 0.0 if phase == 0 else BACK_S
            others = {each.status for each in self.within(phase, settled_s)} - allowed
            if others:
                found.append(f"{name}: answered {sorted(others)}")
        if not all(self.within(phase) for phase in range(len(PHASES))):
            found.append("nothing was answered in a phase")
        return found


class LimitedGateway(soak.Gateway):
    """The gateway with a limit in Redis.

    Args:
        folder: Where its file stands.
        instance: The service.
        redis_port: Where Redis is.
        action: The ``onOutage``.
    """

    def __init__(self, folder: Path, instance: soak.Instance, redis_port: int, action: str) -> None:
        super().__init__(folder, [instance])
        self._instance = instance
        self._redis_port = redis_port
        self._action = action

    def write(self, version: int) -> None:
        """Write its configuration."""
        store = {"host": "127.0.0.1", "port": self._redis_port, "timeout": f"{DEADLINE_S * 1000:.0f}ms"}
        rule = {"id": "echo", "path": "/echo", "serviceName": "echo", "rateLimit": {"rate": RATE_PER_S, "key": "route"}}
        instances = [{"address": "127.0.0.1", "port": self._instance.port}]
        settings = {
            "admin": {"token": soak.TOKEN},
            "frontend": {"http": {"host": "127.0.0.1", "port": self.port}},
            "router": {"rules": [rule]},
            "rateLimit": {"redis": store, "onOutage": self._action},
            "registry": {"static": {"services": [{"name": "echo", "instances": instances}]}},
        }
        self._file.write_text(json.dumps({"gateway": settings}))


class Redis:
    """A Redis process."""

    def __init__(self, folder: Path) -> None:
        # Below the ports of outgoing connections, so that it can be started there again.
        self.port = random.randrange(11_000, 32_000)  # noqa: S311 - no secret
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, or start it again."""
        settings = ("--bind", "127.0.0.1", "--dir", str(self._folder), "--save", "", "--appendonly", "no")
        self._process = await asyncio.create_subprocess_exec(
            *("redis-server", "--port", str(self.port), *settings),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert self._process.stdout is not None
        while b"Ready to accept connections" not in (line := await self._process.stdout.readline()):
            if not line:
                raise RuntimeError(f"redis-server did not start on port {self.port}")

    async def end(self) -> None:
        """Kill it."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            await process.communicate()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)


async def ask_until_cancelled(port: int, run: Run) -> None:
    """Ask one request after the other over a kept connection."""
    while True:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            while True:
                began_s = time.monotonic()
                writer.write(b"GET /echo?size=100 HTTP/1.1\r\nhost: outage.test\r\n\r\n")
                head = await soak.read_head(reader)
                await soak.read_body(reader, head)
                ended_s = time.monotonic()
                run.answered.append(Answered(ended_s, ended_s - began_s, int(head.start.split(" ")[1])))
                if head.fields.get("connection") == "close":
                    break
        except (OSError, asyncio.IncompleteReadError) as error:
            run.failures[type(error).__name__] += 1
        finally:
            writer.close()


async def take_redis_away(redis: Redis, run: Run, phase_s: float) -> None:
    """Go through the phases."""
    for name in PHASES:
        if name == "started again":
            await redis.start()
        run.began_s.append(time.monotonic())
        if name == "killed":
            await redis.end()
        elif name in ("paused", "goes on"):
            redis.signal(signal.SIGSTOP if name == "paused" else signal.SIGCONT)
        # After it comes back there must be time to find out, and to see that it stays so.
        await asyncio.sleep(max(phase_s, BACK_S + 0.5) if name in ("started again", "goes on") else phase_s)
    run.began_s.append(time.monotonic())


async def outage(action: str, phase_s: float, clients: int) -> Run:
    """Run it with one ``onOutage``."""
    run = Run(action)
    instance = soak.Instance("echo")
    await instance.start()
    with tempfile.TemporaryDirectory() as folder:
        redis = Redis(Path(folder))
        await redis.start()
        gateway = LimitedGateway(Path(folder), instance, redis.port, action)
        try:
            await gateway.start()
            asking = [asyncio.ensure_future(ask_until_cancelled(gateway.port, run)) for _ in range(clients)]
            await take_redis_away(redis, run, phase_s)
            for each in asking:
                each.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
        finally:
            code = await gateway.stop()
            await redis.end()
            await instance.die()
    if code or any("Traceback" in line for line in gateway.lines):
        run.failures[f"exit code {code}; the log ends with {''.join(gateway.lines[-20:])}"] += 1
    return run


def report(runs: Sequence[Run]) -> bool:
    """Print what came of it; returns whether all went well."""
    for run in runs:
        longest_s = max((each.latency_s for each in run.answered), default=0.0)
        failures = sum(run.failures.values())
        say(f"onOutage: {run.action}: {len(run.answered):,} requests, {failures} failed, longest {longest_s:.3f} s")
        for phase, name in enumerate(PHASES):
            answered = run.within(phase)
            seconds = run.began_s[phase + 1] - run.began_s[phase]
            statuses = Counter(each.status for each in answered)
            slowest_s = max((each.latency_s for each in answered), default=0.0)
            passed = sum(count for status, count in statuses.items() if status == 200) / seconds
            told = ", ".join(f"{status}: {count:,}" for status, count in sorted(statuses.items()))
            back_s = run.back_s(phase) if name in ("started again", "goes on") else None
            back = f", last 503 after {back_s:.2f} s" if back_s is not None else ""
            say(f"  {name:<14}{seconds:5.1f} s  {told}; {passed:,.0f}/s passed, longest {slowest_s:.3f} s{back}")
        for problem in run.problems():
            say(f"  WRONG: {problem}")
    return not any(itertools.chain.from_iterable(run.problems() for run in runs))


def say(text: str) -> None:
    print(text)  # noqa: T201 - what it prints is its result


async def all_runs(actions: Sequence[str], phase_s: float, clients: int) -> list[Run]:
    """Run it with one ``onOutage`` after the other."""
    return [await outage(action, phase_s, clients) for action in actions]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each phase is (default: 5)")
    parser.add_argument("--clients", type=int, default=16, help="how many connections at once (default: 16)")
    parser.add_argument("--actions", default="allow,deny,local", help="which onOutage, by commas (default: all)")
    arguments = parser.parse_args()
    runs = asyncio.run(all_runs(arguments.actions.split(","), arguments.seconds, arguments.clients))
    return 0 if report(runs) else 1


if __name__ == "__main__":
    sys.exit(main())
