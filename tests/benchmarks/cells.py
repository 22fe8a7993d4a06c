"""Cells: one proxy in one set-up each, started side by side and loaded in turn.

All are loaded once to warm up, then round after round in the same order, so that what disturbs the machine meets each
of them alike.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
from typing import TYPE_CHECKING

import bulk
import cpu
import h2
import load
import peers
import process
import results
import upstream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import features

WARM_UP_S = 1
SETTLE_S = 0.5

_FAILURES = (process.StartError, load.AnswerError, bulk.BodyError, OSError, http.client.HTTPException)


@dataclasses.dataclass(slots=True, kw_only=True)
class Bench:
    """What a run has to work with.

    Attributes:
        directory: Where everything that the programs need is written.
        programs: The executable of every peer that was found.
        rounds: How often each cell is measured.
        seconds: How long a round of the scenario `small` lasts; others take half of it.
        ports: Free ports.
        service: The service that the proxies forward to.
        say: Shows progress.
        usable_cores: The cores that this run may use.
        proxy_cores: Those of the proxy.
        load_cores: Those of the load generator and the service.
    """

    directory: Path
    programs: Mapping[str, Path]
    rounds: int
    seconds: int
    ports: process.Ports
    service: upstream.Service
    say: Callable[[str], None]
    usable_cores: tuple[int, ...]
    proxy_cores: tuple[int, ...]
    load_cores: tuple[int, ...]

    @property
    def brief_s(self) -> int:
        """How long a round lasts in most scenarios."""
        return max(1, self.seconds // 2)

    def new_directory(self, name: str) -> Path:
        """Makes a directory of this name, or of one like it."""
        for number in range(1_000):
            candidate = self.directory / f"{name}-{number}"
            with contextlib.suppress(FileExistsError):
                candidate.mkdir()
                return candidate
        raise FileExistsError(name)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One proxy in one set-up; the attributes that are not listed are those of `peers.Setup`.

    Attributes:
        peer: The proxy's name.
        variant: What distinguishes it from the peer's other cells.
        request: What it is sent.
        service: What it forwards to; `None` is the run's own service.
    """

    peer: str
    variant: str = ""
    request: load.Request = load.SMALL
    service: upstream.Service | None = None
    routes: int = 1
    workers: int = 1
    certificate: peers.Certificate | None = None
    client_certificate: peers.Certificate | None = None
    max_body_bytes: int = 10 * upstream.MIB
    wants: frozenset[str] = frozenset()
    tokens: features.Tokens | None = None
    redis_port: int | None = None


@dataclasses.dataclass(slots=True, kw_only=True)
class Live:
    """A cell whose proxy runs, and what has been measured of it.

    Attributes:
        cell: The cell.
        proxy: Its proxy.
        result: What has been measured.
        entrance: The port that the load is sent to, if that is not the proxy's own.
    """

    cell: Cell
    proxy: peers.Running
    result: results.Result
    entrance: int | None = None


def full_load(
    bench: Bench,
    name: str,
    cells: Sequence[Cell],
    *,
    seconds: int | None = None,
    rounds: int | None = None,
    threads: int = 1,
    before_round: Callable[[], None] = lambda: None,
    entrance: Callable[[int], int] | None = None,
    store_pid: int | None = None,
) -> list[results.Result]:
    """Starts every cell, warms all up, then measures them in turn.

    Args:
        bench: The run.
        name: The scenario's name.
        cells: What to measure.
        seconds: How long a round lasts for each; `None` takes the run's brief time.
        rounds: How often each is measured; `None` takes the run's number.
        threads: Threads of the load generator.
        before_round: Called before each round, to measure what is no cell.
        entrance: Returns the port that the load is sent to instead of a proxy's own.
        store_pid: A process that the cells' proxies use, whose CPU time is of interest, too.

    Returns:
        One result for each cell; whatever goes wrong is said in it and ends its rounds.
    """
    with contextlib.ExitStack() as stack:
        found, alive = start_cells(stack, bench, name, cells)
        for live in alive:
            with blame(live.result):
                live.entrance = entrance(live.proxy.port) if entrance else None
                _verify(bench, live)
                measure(bench, live, WARM_UP_S, threads=threads)
        for number in range(rounds or bench.rounds):
            bench.say(f"{name}: round {number + 1} of {rounds or bench.rounds}")
            before_round()
            for live in alive:
                if live.result.problem is None:
                    with blame(live.result):
                        sample = measure(bench, live, seconds or bench.brief_s, threads=threads, store_pid=store_pid)
                        live.result.samples.append(sample)
        return found


def start_cells(
    stack: contextlib.ExitStack, bench: Bench, name: str, cells: Sequence[Cell]
) -> tuple[list[results.Result], list[Live]]:
    """Starts every cell's proxy; returns a result for each, and those that run."""
    found: list[results.Result] = []
    alive: list[Live] = []
    for cell in cells:
        bench.say(f"{name}: starting {cell.peer} {cell.variant}".rstrip())
        result = results.Result(scenario=name, peer=cell.peer, variant=cell.variant)
        found.append(result)
        with blame(result):
            proxy = launch(stack, bench, cell, bench.proxy_cores)
            alive.append(Live(cell=cell, proxy=proxy, result=result))
    return found, alive


def launch(stack: contextlib.ExitStack, bench: Bench, cell: Cell, cores: Sequence[int]) -> peers.Running:
    setup = peers.Setup(
        port=bench.ports.take(),
        service=cell.service or bench.service,
        routes=cell.routes,
        workers=cell.workers,
        certificate=cell.certificate,
        client_certificate=cell.client_certificate,
        max_body_bytes=cell.max_body_bytes,
        wants=cell.wants,
        tokens=cell.tokens,
        redis_port=cell.redis_port,
        first=cell.request,
    )
    peer = peers.PEERS[cell.peer]
    directory = bench.new_directory(cell.peer)
    running = peers.running(peer, bench.programs[cell.peer], setup, directory, cores=cores)
    return stack.enter_context(running)


@contextlib.contextmanager
def blame(result: results.Result) -> Iterator[None]:
    """Writes what goes wrong into a result instead of ending the run."""
    try:
        yield
    except _FAILURES as error:
        result.problem = f"{type(error).__name__}: {error}"


def measure(
    bench: Bench, live: Live, seconds: int, *, threads: int = 1, store_pid: int | None = None
) -> dict[str, float]:
    """Loads a cell for so many seconds, and returns what it did and what it cost.

    Raises:
        StartError: If the load generator is missing or fails.
        AnswerError: If any answer was wrong.
    """
    before = cpu.cpu_time(live.proxy.pid)
    store_before = cpu.cpu_time(store_pid) if store_pid else None
    stolen = cpu.stolen_s(bench.proxy_cores[0])
    done = _load(bench, live, seconds, threads)
    spent = cpu.cpu_time(live.proxy.pid).since(before)
    memory = cpu.memory(live.proxy.pid)
    sample = {
        "rate": done.requests / done.seconds,
        "cpu_us": spent.total_s / done.requests * 1e6,
        "user_us": spent.user_s / done.requests * 1e6,
        "p50_ms": done.p50_s * 1e3,
        "p99_ms": done.p99_s * 1e3,
        "rss_mib": memory.rss_mib,
        "pss_mib": memory.pss_mib,
        "busy": spent.total_s / done.seconds / len(bench.proxy_cores),
        "stolen": (cpu.stolen_s(bench.proxy_cores[0]) - stolen) / done.seconds,
    }
    if store_pid and store_before:
        sample["store_us"] = cpu.cpu_time(store_pid).since(store_before).total_s / done.requests * 1e6
    return sample


def _load(bench: Bench, live: Live, seconds: int, threads: int) -> load.Load:
    request, port = live.cell.request, live.entrance or live.proxy.port
    if request.http2:
        return h2.full(port, request, seconds=seconds, cores=bench.load_cores)
    if live.entrance:
        request = dataclasses.replace(request, tls=False)
    return load.full(port, request, seconds=seconds, cores=bench.load_cores, threads=threads)


def _verify(bench: Bench, live: Live) -> None:
    """Has one answer compared with the service's, byte by byte, where the service's is known."""
    expected = None
    if live.cell.request.check == "total":
        expected = (bench.directory / "upstream" / "1mb").read_bytes()
    if live.cell.request.http2:
        return  # has been done when it started
    load.probe(live.proxy.port, live.cell.request, expected=expected)
