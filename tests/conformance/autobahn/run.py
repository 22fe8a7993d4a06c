"""Autobahn's whole suite, directly and through the gateway: ``make autobahn``.

Each case is played against an echo service, and against a gateway that has it as the service of a route with
``protocol: websocket``; gateway, service and players are processes of their own. What the cases said is compared case
by case. A case that differs is played again, alone: its deadlines of half a second say little on a busy machine.
"""

from __future__ import annotations

import argparse
import asyncio
import fnmatch
import functools
import json
import multiprocessing
import os
import sys
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.conformance.autobahn import suite
from tests.conformance.autobahn.fuzzer import Verdict, play
from tests.integration import soak

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

REPEATS = 2
TITLES = {
    1: "framing",
    2: "pings and pongs",
    3: "reserved bits",
    4: "opcodes",
    5: "fragmentation",
    6: "UTF-8",
    7: "closing",
    9: "limits and performance",
    10: "automatic fragmentation",
    12: "compression, payloads",
    13: "compression, parameters",
}


class Played(NamedTuple):
    """How a case was judged, both ways."""

    direct: Verdict
    through: Verdict

    @property
    def is_equal(self) -> bool:
        """Whether the gateway made no difference."""
        return self.direct == self.through


class WebSocketGateway(soak.Gateway):
    """The gateway, with a route for WebSockets without limits.

    Args:
        folder: Where its file stands.
        service_port: Where the echo service is.
    """

    def __init__(self, folder: Path, service_port: int) -> None:
        super().__init__(folder, [])
        self._service_port = service_port

    def write(self, version: int) -> None:
        """Write its configuration."""
        settings: dict[str, Any] = {
            **configuration(self._service_port),
            "admin": {"token": soak.TOKEN},
            "shutdownTimeout": 10,
        }
        settings["frontend"]["http"] = {"host": "127.0.0.1", "port": self.port}
        self._file.write_text(json.dumps({"gateway": settings}))


def configuration(service_port: int, **websocket: Any) -> dict[str, dict[str, Any]]:
    """Return the blocks below ``gateway`` for the suite: messages of 16 MB pass, and whatever ``websocket`` says."""
    instances = [{"address": "127.0.0.1", "port": service_port}]
    return {
        "frontend": {"websocket": {"maxMessageSize": 0, **websocket}},
        "registry": {"static": {"services": [{"name": "echo", "instances": instances}]}},
        "router": {"rules": [{"path": "/*", "serviceName": "echo", "protocol": "websocket"}]},
    }


@asynccontextmanager
async def echo_process() -> AsyncIterator[int]:
    """Start the echo service as a process; gives its port."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.conformance.autobahn.services"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield int(await process.stdout.readline())
    finally:
        process.stdin.close()
        await process.wait()


@functools.cache
def _cases() -> dict[str, type]:
    return suite.load()  # once for each process that plays


def _play(name: str, port: int, messages: int | None) -> Verdict:
    return asyncio.run(play(_cases()[name], "127.0.0.1", port, messages=messages))


async def play_both_ways(
    players: ProcessPoolExecutor, names: Iterable[str], direct: int, through: int, messages: int | None
) -> dict[str, Played]:
    """Play cases against the service and the gateway on these ports, as many at once as there are players."""
    loop = asyncio.get_running_loop()

    async def one(name: str) -> tuple[str, Played]:
        verdicts = (loop.run_in_executor(players, _play, name, port, messages) for port in (direct, through))
        return name, Played(*await asyncio.gather(*verdicts))

    return dict(await asyncio.gather(*map(one, names)))


async def run(names: list[str], lanes: int, messages: int | None) -> dict[str, Played]:
    """Start everything, play the cases, and print a line for each section that is done.

    Args:
        names: The cases.
        lanes: How many are played at once.
        messages: How many messages the cases send that send 1,000; ``None`` sends all.
    """
    played: dict[str, Played] = {}
    spawn = multiprocessing.get_context("spawn")  # here are threads, which a fork would not have
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(lanes, spawn) as players:
        async with echo_process() as port:
            gateway = WebSocketGateway(Path(folder), port)
            await gateway.start()
            try:
                _print_row("section", "cases", "directly", "through the gateway", "equal")
                for number, title in TITLES.items():
                    of_section = [name for name in names if suite.section(name) == number]
                    found = await play_both_ways(players, of_section, port, gateway.port, messages)
                    for name in [name for name, each in found.items() if not each.is_equal] * REPEATS:
                        if not found[name].is_equal:
                            found |= await play_both_ways(players, [name], port, gateway.port, messages)
                    if found:
                        _print_section(f"{number:>2} {title}", found)
                    played |= found
            finally:
                await gateway.stop()
    return played


def report(played: dict[str, Played]) -> bool:
    """Print the last line of the table, and what went wrong; returns whether nothing did."""
    _print_section("all", played)
    for name, each in played.items():
        if not each.is_equal:
            sys.stdout.write(f"{name} differs: {each.direct} directly, {each.through} through the gateway\n")
        elif not each.through.is_passing:
            sys.stdout.write(f"{name} fails both ways: {each.through}\n")
    return all(each.is_equal and each.through.is_passing for each in played.values())


def _print_section(title: str, played: dict[str, Played]) -> None:
    direct, through = (_counted(getattr(each, way) for each in played.values()) for way in Played._fields)
    _print_row(title, str(len(played)), direct, through, str(sum(each.is_equal for each in played.values())))


def _print_row(title: str, cases: str, direct: str, through: str, equal: str) -> None:
    sys.stdout.write(f"{title:<28}{cases:>6}  {direct:<32}{through:<32}{equal:>6}\n")
    sys.stdout.flush()


def _counted(verdicts: Iterable[Verdict]) -> str:
    counted = Counter(each.behavior if each.is_passing else "FAILED" for each in verdicts)
    return ", ".join(f"{count} {behavior}" for behavior, count in counted.most_common())


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cases", default="*", help='patterns of their names, by commas: "9.*,12.1.*" (default: all)')
    parser.add_argument("--messages", type=int, help="how many messages, where a case sends 1,000 (default: all)")
    parser.add_argument("--lanes", type=int, default=os.cpu_count() or 1, help="how many at once (default: processors)")
    arguments = parser.parse_args()
    if not suite.is_installed():
        parser.error(suite.REMEDY)
    patterns = arguments.cases.split(",")
    names = [name for name in _cases() if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]
    return 0 if report(asyncio.run(run(names, arguments.lanes, arguments.messages))) else 1


if __name__ == "__main__":
    sys.exit(main())
