"""What is measured: one function for each scenario, all of them lists of cells measured in turn.

A cell is one proxy in one set-up. The cells of a scenario run side by side and are loaded one at a time: all once to
warm up, then round after round in the same order, so that what disturbs the machine meets each of them alike.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import bulk
import cpu
import features
import live
import load
import peers
import process
import results
import upstream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

ROUTES = 10_000
INSTANCES = 1_000
IDLE_CONNECTIONS = 5_000
SOCKETS = 64
BUSY_STREAMS = 1_000  # times the ten events a second of `live_service.py`
RESTING = {"sockets-20000": 20_000, "streams-5000": 5_000}
_WARM_UP_S = 1
_SETTLE_S = 0.5
_BULK_WAIT_S = 30.0
ENOUGH_CORES = 4  # two for two workers, two for the load and the service

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
    max_body_bytes: int = 10 * upstream.MIB
    wants: frozenset[str] = frozenset()
    tokens: features.Tokens | None = None


@dataclasses.dataclass(slots=True, kw_only=True)
class Live:
    """A cell whose proxy runs, and what has been measured of it."""

    cell: Cell
    proxy: peers.Running
    result: results.Result


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A named measurement.

    Attributes:
        name: What it is called on the command line.
        title: What its table is called.
        default_peers: Who takes part unless `--peers` says otherwise.
        run: Measures it for these peers.
        only_peers: Who can take part at all; empty admits everybody.
    """

    name: str
    title: str
    default_peers: tuple[str, ...]
    run: Callable[[Bench, Sequence[str]], list[results.Result]]
    only_peers: tuple[str, ...] = ()


def small(bench: Bench, names: Sequence[str]) -> list[results.Result]:
    """GET, keep-alive, 65 bytes."""
    return full_load(bench, "small", [Cell(peer=name) for name in names], seconds=bench.seconds)


def headers(bench: Bench, names: Sequence[str]) -> list[results.Result]:
    """The same with the ten header fields that a browser sends."""
    request = load.Request(headers=load.BROWSER_HEADERS)
    return full_load(bench, "headers", [Cell(peer=name, request=request) for name in names])


def stream(bench: Bench, names: Sequence[str]) -> list[results.Result]:
    """Downloads of 1 MiB."""
    request = load.Request(path="/1mb", check="total", expected_bytes=upstream.MIB)
    return full_load(bench, "stream-1mb", [Cell(peer=name, request=request) for name in names])


def upload(bench: Bench, names: Sequence[str]) -> list[results.Result]:
    """Uploads of 1 MiB, which the service reads to the end before it answers."""
    request = load.Request(path="/upload", body_bytes=upstream.MIB, check="received", expected_bytes=upstream.MIB)
    return full_load(bench, "upload-1mb", [Cell(peer=name, request=request) for name in names])


def tls(bench: Bench, names: Sequence[str]) -> list[results.Result]:
    """GET, keep-alive, 65 bytes, HTTPS to the client."""
    certificate = peers.make_certificate(bench.new_directory("certificate"))
    request = load.Request(tls=True)
    cells = [Cell(peer=name, request=request, certificate=certificate) for name in names]
    return full_load(bench, "tls", cells)


def routes(bench: Bench, names: Sequence[str]) -> list[results.Result]:
    """The path of the last of 10,000 rules, and the same path with one rule."""
    request = load.Request(path=f"/r{ROUTES}/item")
    cells = [
        Cell(peer=name, variant=f"{count:,} rule" + "s" * (count > 1), routes=count, request=request)
        for name in names
        for count in (1, ROUTES)
    ]
    return full_load(bench, "routes-10000", cells)


def instances(bench: Bench, names: Sequence[str]) -> list[results.Result]:
    """A service with 1,000 instances, each on a loopback address of its own, and the same service with one."""
    directory = bench.new_directory("instances")
    port = bench.ports.take()
    with upstream.serving(directory, port, cores=bench.load_cores, instances=INSTANCES) as many:
        one = upstream.Service(addresses=many.addresses[:1], port=many.port)
        cells = [
            Cell(peer=name, variant=f"{len(service.addresses):,} instance{end}", service=service)
            for name in names
            for service, end in ((one, ""), (many, "s"))
        ]
        return full_load(bench, "instances-1000", cells)


def half_load(bench: Bench, names: Sequence[str]) -> list[results.Result]:
    """Latency at half the rate that the proxy reached a moment before, and of the service without a proxy."""
    with contextlib.ExitStack() as stack:
        found, alive = _start(stack, bench, "p99-half", [Cell(peer=name) for name in names])
        rates: dict[str, float] = {}
        for live in alive:
            with _blame(live.result):
                _full(bench, live, _WARM_UP_S)
                rates[live.cell.peer] = _full(bench, live, bench.brief_s)["rate"] / 2
        direct = results.Result(scenario="p99-half", peer="direct")
        for _ in range(bench.rounds):
            if rates:
                with _blame(direct):
                    direct.samples.append(_paced(bench, bench.service.port, max(rates.values()), None))
            for live in alive:
                if live.result.problem is None:
                    with _blame(live.result):
                        rate = rates[live.cell.peer]
                        live.result.samples.append(_paced(bench, live.proxy.port, rate, live.proxy.pid))
        return [*found, direct]


def idle(bench: Bench, names: Sequence[str]) -> list[results.Result]:
    """What 5,000 open connections add to a proxy's memory after one answer each."""
    found: list[results.Result] = []
    for name in names:
        with contextlib.ExitStack() as stack:
            started, alive = _start(stack, bench, "idle-5000", [Cell(peer=name)])
            found += started
            for live in alive:
                with _blame(live.result):
                    live.result.samples.append(_idle(bench, live))
    return found


def start(bench: Bench, names: Sequence[str]) -> list[results.Result]:
    """From starting the process to its first right answer; a first start fills the caches and does not count."""
    found = [results.Result(scenario="start", peer=name) for name in names]
    for number in range(bench.rounds + 1):
        for result in found:
            if result.problem is None:
                with _blame(result), contextlib.ExitStack() as stack:
                    proxy = _launch(stack, bench, Cell(peer=result.peer), bench.proxy_cores)
                    if number:
                        result.samples.append({"start_s": proxy.seconds_to_answer})
    return found


def policies(bench: Bench, names: Sequence[str]) -> list[results.Result]:
    """An API key, a limit for each client, metrics and an access log, all at once."""
    request = load.Request(headers=(f"X-API-Key: {features.API_KEY}",))
    wanted = frozenset({"apikey", "ratelimit", "metrics", "accesslog"})
    return full_load(bench, "policies", [Cell(peer=name, request=request, wants=wanted) for name in names])


def jwt(bench: Bench, names: Sequence[str]) -> list[results.Result]:
    """RS256 tokens of 2,000 users in turn."""
    tokens = features.make_tokens(bench.new_directory("tokens"))
    first = tokens.file.read_text().partition("\n")[0]
    request = load.Request(headers=(f"Authorization: Bearer {first}",), tokens=tokens.file)
    cells = [
        Cell(peer=name, variant=variant, request=request, wants=frozenset(wanted), tokens=tokens)
        for name in names
        for variant, wanted in (("", ("jwt",)), ("with a cache", ("jwt", "jwt-cache")))
        if name == "envoy" or not variant
    ]
    return full_load(bench, "jwt", cells)


def costs(bench: Bench, names: Sequence[str]) -> list[results.Result]:
    """What each feature costs by itself."""
    request = load.Request(headers=(f"X-API-Key: {features.API_KEY}",))
    alone = ("", "apikey", "ratelimit", "metrics", "accesslog", "cors", "retry", "circuitbreaker", "tracing")
    cells = [
        Cell(peer=name, variant=feature or "nothing", request=request, wants=frozenset({feature} - {""}))
        for name in names
        for feature in alone
    ]
    return full_load(bench, "costs", cells)


def workers(bench: Bench, names: Sequence[str]) -> list[results.Result]:
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
        cells = [
            Cell(peer=name, variant=f"{count} worker" + "s" * (count > 1), workers=count, service=service)
            for name in names
            for count in (1, 2)
        ]
        return full_load(roomy, "workers-2", cells, threads=lanes)


def body(bench: Bench, names: Sequence[str]) -> list[results.Result]:
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
                    cell = Cell(peer=name, variant=variant, service=service, max_body_bytes=2 * bulk.GIB)
                    started, alive = _start(stack, bench, "body-1gib", [cell])
                    found += started
                    for live in alive:
                        with _blame(live.result):
                            live.result.samples.append(_bulk(live.proxy, transfer))
    return found


def websocket(bench: Bench, names: Sequence[str]) -> list[results.Result]:
    """Messages of 100 bytes that a service sends back, over 64 WebSockets."""
    return _live_rounds(bench, "websocket", names, "echo", SOCKETS)


def sse(bench: Bench, names: Sequence[str]) -> list[results.Result]:
    """10,000 events a second over 1,000 streams, and the same streams without a proxy."""
    return _live_rounds(bench, "sse", names, "events", BUSY_STREAMS)


def sockets(bench: Bench, names: Sequence[str]) -> list[results.Result]:
    """What 20,000 WebSockets that rest add to a proxy's memory."""
    return _resting(bench, "sockets-20000", names, "sockets")


def streams(bench: Bench, names: Sequence[str]) -> list[results.Result]:
    """What 5,000 event streams that rest add to a proxy's memory."""
    return _resting(bench, "streams-5000", names, "streams")


def full_load(
    bench: Bench, name: str, cells: Sequence[Cell], *, seconds: int | None = None, threads: int = 1
) -> list[results.Result]:
    """Starts every cell, warms all up, then measures them in turn.

    Args:
        bench: The run.
        name: The scenario's name.
        cells: What to measure.
        seconds: How long a round lasts for each; `None` takes the run's brief time.
        threads: Threads of the load generator.

    Returns:
        One result for each cell; whatever goes wrong is said in it and ends its rounds.
    """
    with contextlib.ExitStack() as stack:
        found, alive = _start(stack, bench, name, cells)
        for live in alive:
            with _blame(live.result):
                _verify(bench, live)
                _full(bench, live, _WARM_UP_S, threads)
        for number in range(bench.rounds):
            bench.say(f"{name}: round {number + 1} of {bench.rounds}")
            for live in alive:
                if live.result.problem is None:
                    with _blame(live.result):
                        live.result.samples.append(_full(bench, live, seconds or bench.brief_s, threads))
        return found


def _live_rounds(bench: Bench, name: str, names: Sequence[str], kind: live.Kind, count: int) -> list[results.Result]:
    """Measures messages or events through every proxy in turn, and without one."""
    with contextlib.ExitStack() as stack:
        service = _live_service(stack, bench, name)
        cells = [Cell(peer=peer, service=service, wants=frozenset({"live"})) for peer in names]
        found, alive = _start(stack, bench, name, cells)
        direct = results.Result(scenario=name, peer="direct")
        rounds = max(1, bench.rounds - 1)  # opening the connections takes as long as measuring them
        for number in range(rounds):
            bench.say(f"{name}: round {number + 1} of {rounds}")
            with _blame(direct):
                direct.samples.append(_live(bench, service.port, None, kind, count))
            for each in alive:
                if each.result.problem is None:
                    with _blame(each.result):
                        each.result.samples.append(_live(bench, each.proxy.port, each.proxy.pid, kind, count))
        return [*found, direct]


def _resting(bench: Bench, name: str, names: Sequence[str], kind: live.Kind) -> list[results.Result]:
    found: list[results.Result] = []
    with contextlib.ExitStack() as services:
        service = _live_service(services, bench, name)
        for peer in names:
            with contextlib.ExitStack() as stack:
                cell = Cell(peer=peer, service=service, wants=frozenset({"live"}))
                started, alive = _start(stack, bench, name, [cell])
                found += started
                for each in alive:
                    with _blame(each.result):
                        each.result.samples.append(_rest(bench, each, kind, RESTING[name]))
    return found


def _live_service(stack: contextlib.ExitStack, bench: Bench, name: str) -> upstream.Service:
    directory = bench.new_directory(name)
    return stack.enter_context(live.serving(directory, bench.ports.take(), cores=bench.load_cores))


def _start(
    stack: contextlib.ExitStack, bench: Bench, name: str, cells: Sequence[Cell]
) -> tuple[list[results.Result], list[Live]]:
    """Starts every cell's proxy; returns a result for each, and those that run."""
    found: list[results.Result] = []
    alive: list[Live] = []
    for cell in cells:
        bench.say(f"{name}: starting {cell.peer} {cell.variant}".rstrip())
        result = results.Result(scenario=name, peer=cell.peer, variant=cell.variant)
        found.append(result)
        with _blame(result):
            proxy = _launch(stack, bench, cell, bench.proxy_cores)
            alive.append(Live(cell=cell, proxy=proxy, result=result))
    return found, alive


def _launch(stack: contextlib.ExitStack, bench: Bench, cell: Cell, cores: Sequence[int]) -> peers.Running:
    setup = peers.Setup(
        port=bench.ports.take(),
        service=cell.service or bench.service,
        routes=cell.routes,
        workers=cell.workers,
        certificate=cell.certificate,
        max_body_bytes=cell.max_body_bytes,
        wants=cell.wants,
        tokens=cell.tokens,
        first=cell.request,
    )
    peer = peers.PEERS[cell.peer]
    directory = bench.new_directory(cell.peer)
    running = peers.running(peer, bench.programs[cell.peer], setup, directory, cores=cores)
    return stack.enter_context(running)


@contextlib.contextmanager
def _blame(result: results.Result) -> Iterator[None]:
    """Writes what goes wrong into a result instead of ending the run."""
    try:
        yield
    except _FAILURES as error:
        result.problem = f"{type(error).__name__}: {error}"


def _verify(bench: Bench, live: Live) -> None:
    """Has one answer compared with the service's, byte by byte, where the service's is known."""
    expected = None
    if live.cell.request.check == "total":
        expected = (bench.directory / "upstream" / "1mb").read_bytes()
    load.probe(live.proxy.port, live.cell.request, expected=expected)


def _full(bench: Bench, live: Live, seconds: int, threads: int = 1) -> dict[str, float]:
    before = cpu.cpu_time(live.proxy.pid)
    stolen = cpu.stolen_s(bench.proxy_cores[0])
    done = load.full(live.proxy.port, live.cell.request, seconds=seconds, cores=bench.load_cores, threads=threads)
    spent = cpu.cpu_time(live.proxy.pid).since(before)
    memory = cpu.memory(live.proxy.pid)
    return {
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


def _paced(bench: Bench, port: int, rate: float, pid: int | None) -> dict[str, float]:
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


def _idle(bench: Bench, live: Live) -> dict[str, float]:
    _full(bench, live, _WARM_UP_S)
    time.sleep(_SETTLE_S)
    before = cpu.memory(live.proxy.pid)
    with load.idle_connections(live.proxy.port, IDLE_CONNECTIONS) as count:
        time.sleep(_SETTLE_S)
        after = cpu.memory(live.proxy.pid)
    return {
        "connections": count,
        "kb_each": (after.pss_mib - before.pss_mib) * 1024 / count,
        "before_mib": before.pss_mib,
        "after_mib": after.pss_mib,
    }


def _live(bench: Bench, port: int, pid: int | None, kind: live.Kind, count: int) -> dict[str, float]:
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


def _rest(bench: Bench, each: Live, kind: live.Kind, count: int) -> dict[str, float]:
    with live.connections(kind, each.proxy.port, SOCKETS, cores=bench.load_cores):
        pass  # so that what is loaded only once is there
    time.sleep(_SETTLE_S)
    before = cpu.memory(each.proxy.pid)
    with live.connections(kind, each.proxy.port, count, cores=bench.load_cores) as connections:
        time.sleep(_SETTLE_S)
        after = cpu.memory(each.proxy.pid)
    return {
        "connections": connections.count,
        "kb_each": (after.pss_mib - before.pss_mib) * 1024 / connections.count,
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


_ALL = ("nginx", "haproxy", "envoy", "traefik", "caddy", "gateway")
_SOME = ("nginx", "haproxy", "gateway")
_LEAN = ("nginx", "envoy", "caddy", "gateway")
_BODIES = ("nginx", "nginx-64k", "haproxy", "gateway")
_TWO = ("nginx", "gateway")
_POLICIES = ("nginx", "envoy", "gateway")
_TOKENS = ("envoy", "gateway")
_OWN = ("gateway",)
_LIVE = ("nginx", "envoy", "traefik", "gateway")
_CAN_LIVE = ("nginx", "envoy", "traefik", "caddy", "gateway")

SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(name="small", title="GET of 65 bytes, keep-alive", default_peers=_ALL, run=small),
        Scenario(name="headers", title="the same with ten browser headers", default_peers=_TWO, run=headers),
        Scenario(name="stream-1mb", title="download of 1 MiB", default_peers=_BODIES, run=stream),
        Scenario(name="upload-1mb", title="upload of 1 MiB", default_peers=_BODIES, run=upload),
        Scenario(name="tls", title="GET of 65 bytes over HTTPS", default_peers=_SOME, run=tls),
        Scenario(name="routes-10000", title="the last of 10,000 rules", default_peers=_TWO, run=routes),
        Scenario(name="instances-1000", title="1,000 instances", default_peers=_TWO, run=instances),
        Scenario(name="p99-half", title="latency at half of the own full rate", default_peers=_TWO, run=half_load),
        Scenario(name="idle-5000", title="5,000 idle connections", default_peers=_LEAN, run=idle),
        Scenario(name="start", title="start to first answer", default_peers=_ALL, run=start),
        Scenario(
            name="policies",
            title="API key, limit, metrics and access log",
            default_peers=_POLICIES,
            run=policies,
            only_peers=_POLICIES,
        ),
        Scenario(name="jwt", title="2,000 RS256 tokens in turn", default_peers=_TOKENS, run=jwt, only_peers=_TOKENS),
        Scenario(name="costs", title="each feature alone", default_peers=_OWN, run=costs, only_peers=_OWN),
        Scenario(
            name="websocket",
            title="messages echoed over 64 WebSockets",
            default_peers=_LIVE,
            run=websocket,
            only_peers=_CAN_LIVE,
        ),
        Scenario(
            name="sse", title="10,000 events/s over 1,000 streams", default_peers=_TWO, run=sse, only_peers=_CAN_LIVE
        ),
        Scenario(
            name="sockets-20000",
            title="20,000 idle WebSockets",
            default_peers=_TWO,
            run=sockets,
            only_peers=_CAN_LIVE,
        ),
        Scenario(
            name="streams-5000",
            title="5,000 idle event streams",
            default_peers=_TWO,
            run=streams,
            only_peers=_CAN_LIVE,
        ),
        Scenario(name="workers-2", title="two workers", default_peers=_TWO, run=workers),
        Scenario(name="body-1gib", title="one body of 1 GiB", default_peers=_TWO, run=body, only_peers=_TWO),
    )
}
