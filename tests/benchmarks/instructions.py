"""What a request costs the gateway in instructions: ``python tests/benchmarks/instructions.py [--features a,b+c]``.

Unlike times, instructions in user space hardly depend on what else the machine does, so that a change of one per cent
shows. valgrind's callgrind counts them, in every thread, while keep-alive connections send an exact number of requests
to a gateway that is warm; what the kernel does is not among them. Rows are sets of features (`features.py`), and all
gateways of a run are sent the same fields. Hashes do not depend on chance (`PYTHONHASHSEED=0`); what remains is about
0.5 % from run to run, since addresses, timers and how many events a turn of the loop finds are the machine's. How the
interpreter was built matters far more, so compare gateways of the same one.

``--events`` counts what an event of a stream that is open costs, each event one read and one write.

``--functions 30`` lists the C functions of the last set. ``--opcodes`` counts opcodes of Python instead, function by
function, and needs no valgrind; runs of one build differ by about 0.2 %, with a hash ring by what the ports make of it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import json
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import configurations
import counters
import exact_events
import exact_load
import features
import load
import peers
import process
import upstream

if TYPE_CHECKING:
    from collections.abc import Sequence

PLAIN = "nothing"
DEFAULT = ("apikey", "ratelimit", "metrics", "accesslog", "apikey+ratelimit+metrics+accesslog", "tracing")
KNOWN = (
    *("apikey", "jwt", "ratelimit", "cors", "circuitbreaker", "circuitbreaker-budget", "retry", "cache", "affinity"),
    *("metrics", "accesslog", "tracing"),
)
WARM_UP = 640
"""Requests that are not counted: CPython has specialised its code by then, and what is kept of messages is there."""

_SHOWN_OPCODES = 40
_START_WITHIN_S = 120.0
_LOAD_WITHIN_S = 300.0
_LIMIT_S = 1800
_SETS_WIDTH = 36
_NAME_WIDTH = 60
_UNCOUNTED = "-"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What was counted of one gateway with one set of features.

    Attributes:
        features: Their names, joined by `+`.
        requests: How many requests, or events, were counted.
        functions: What each function did for all of them.
    """

    features: str
    requests: int
    functions: Sequence[counters.Function]

    @property
    def each(self) -> float:
        """How much one of them took."""
        return sum(function.own for function in self.functions) / self.requests

    @property
    def calls_each(self) -> float:
        """How many functions were entered for one of them."""
        return sum(function.calls for function in self.functions) / self.requests


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What all cells of a run share.

    Attributes:
        directory: Where files go.
        ports: Free ports.
        cores: Where gateways run.
        counts_opcodes: Whether opcodes are counted instead of instructions.
        counts_events: Whether events of open streams are sent instead of requests.
        requests: How many of them are counted in each cell.
        lines: The header lines of all requests.
        tokens: The tokens that gateways verify; `None` if none does.
    """

    directory: Path
    ports: process.Ports
    cores: Sequence[int]
    counts_opcodes: bool
    counts_events: bool
    requests: int
    lines: Sequence[str]
    tokens: features.Tokens | None

    def count(self, program: Path, names: str) -> Cell:
        """Runs a gateway with these features, and counts.

        Raises:
            StartError: If it does not start, or cannot be counted.
            AnswerError: If it answers wrongly.
        """
        directory = Path(tempfile.mkdtemp(dir=self.directory))
        counter: counters.Counter = (
            counters.Opcodes(directory) if self.counts_opcodes else counters.Callgrind(directory)
        )
        service = upstream.Service(addresses=["127.0.0.1"], port=self.ports.take())
        wants = frozenset(names.split("+")) - {PLAIN} | ({"live"} if self.counts_events else set())
        setup = peers.Setup(port=self.ports.take(), service=service, wants=wants, tokens=self.tokens)
        command = [*counter.command(program), *configurations.gateway(setup, directory)]
        environment = {**configurations.python(setup), "PYTHONHASHSEED": "0", "HOME": str(directory)}
        log = directory / "gateway.log"
        try:
            with contextlib.ExitStack() as stack:
                runner = stack.enter_context(asyncio.Runner())
                served = self._serve(runner, service.port)
                stack.enter_context(served)
                running = stack.enter_context(process.started(command, cores=self.cores, log=log, env=environment))
                process.wait_for_port(setup.port, running, log=log, within_s=_START_WITHIN_S)
                sender = served.load(setup.port, self.lines)
                stack.enter_context(sender)
                sender.send(WARM_UP, within_s=_LOAD_WITHIN_S)
                counter.begin(running.pid)
                sender.send(self.requests, within_s=_LOAD_WITHIN_S)
                return Cell(features=names, requests=self.requests, functions=counter.end(running.pid))
        except load.AnswerError as error:
            message = f"{names}: {error}: {process.tail(log)}"
            raise load.AnswerError(message) from error

    def _serve(self, runner: asyncio.Runner, port: int) -> exact_load.Service | exact_events.Service:
        return exact_events.Service(runner, port) if self.counts_events else exact_load.Service(runner, port)


def main(arguments: Sequence[str] | None = None) -> int:
    """Counts what the command line asks for.

    Returns:
        0; 1 if a gateway answered wrongly; 2 if one did not start or could not be counted; 130 if told to end.
    """
    options = _options(arguments)
    for number in (signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, signal.default_int_handler)
    signal.alarm(options.limit)
    try:
        _run(options)
    except (process.StartError, load.AnswerError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, process.StartError) else 1
    except KeyboardInterrupt:
        print("told to end, or the time limit is over", file=sys.stderr)
        return 130
    return 0


def _run(options: argparse.Namespace) -> None:
    programs = [peers.the_gateway(program) for program in options.gateway or [None]]
    with tempfile.TemporaryDirectory(prefix="gateway-count-") as name:
        bench = _bench(options, Path(name))
        counted = "events" if options.events else "requests"
        print(f"{bench.requests} {counted} over {exact_load.CONNECTIONS} connections, after {WARM_UP} to warm up")
        for number, program in enumerate(programs, 1):
            versions = [peers.version(peers.PEERS["gateway"], each) for each in (program, program.with_name("python"))]
            print(f"  {number}: {program}, {', '.join(versions)}")
        unit = "opcodes" if options.opcodes else "instructions"
        print("\n" + _heading(unit, len(programs)))
        rows: list[list[Cell]] = []
        for names in (PLAIN, *options.features):
            rows.append([bench.count(program, names) for program in programs])
            print(_row(rows[-1], rows[0]), flush=True)
    shown = options.functions if options.functions is not None else _SHOWN_OPCODES if options.opcodes else 0
    for number, cell in enumerate(rows[-1], 1):
        if shown:
            what = "an event" if options.events else "a request"
            print(f"\n{cell.features}, gateway {number}: {unit} {what} by function\n{_functions(cell, shown)}")
    if options.json:
        document = {"unit": unit, "gateways": list(map(str, programs)), "rows": [_as_json(row) for row in rows]}
        options.json.write_text(json.dumps(document, indent=2) + "\n")


def _bench(options: argparse.Namespace, directory: Path) -> Bench:
    usable = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {usable[min(1, len(usable) - 1)]})
    wanted = {name for names in options.features for name in names.split("+")}
    lines = ["User-Agent: exact/1", "Accept: */*", f"X-API-Key: {features.API_KEY}"]
    tokens = None
    if "jwt" in wanted:
        tokens = features.make_tokens(directory)
        lines.append(f"Authorization: Bearer {tokens.first}")
    if "cors" in wanted:
        lines.append(f"Origin: {features.ORIGIN}")
    if "affinity" in wanted:
        lines.append("X-Session-Id: 8d1c6b1e0f7a4d52")
    return Bench(
        directory=directory,
        ports=process.Ports(),
        cores=usable[:1],
        counts_opcodes=options.opcodes,
        counts_events=options.events,
        requests=options.requests,
        lines=lines,
        tokens=tokens,
    )


def _heading(unit: str, gateways: int) -> str:
    text = f"{'':<{_SETS_WIDTH}}"
    for number in range(1, gateways + 1):
        column = f"{unit} {number}" if gateways > 1 else unit
        text += f"{column:>16}{'adds':>10}" + (f"{'/ 1':>8}" if number > 1 else "")
    return text


def _row(cells: Sequence[Cell], plain: Sequence[Cell]) -> str:
    text = f"{cells[0].features:<{_SETS_WIDTH}}"
    for cell, without in zip(cells, plain, strict=True):
        text += f"{cell.each:>16,.0f}{cell.each - without.each:>+10,.0f}"
        text += "" if cell is cells[0] else f"{cell.each / cells[0].each:>8.3f}"
    return text


def _functions(cell: Cell, shown: int) -> str:
    lines = [f"{'itself':>10}{'with calls':>12}{'calls':>9}  function"]
    for function in sorted(cell.functions, key=lambda function: function.own, reverse=True)[:shown]:
        whole = _UNCOUNTED if function.whole is None else f"{function.whole / cell.requests:,.0f}"
        name = f"{function.name[:_NAME_WIDTH]}  {function.place}"
        lines.append(f"{function.own / cell.requests:>10,.0f}{whole:>12}{function.calls / cell.requests:>9.2f}  {name}")
    return "\n".join([*lines, f"{cell.each:>10,.0f}{_UNCOUNTED:>12}{cell.calls_each:>9.2f}  all"])


def _as_json(cells: Sequence[Cell]) -> dict[str, Any]:
    return {
        "features": cells[0].features,
        "requests": cells[0].requests,
        "each": [cell.each for cell in cells],
        "functions": [[dataclasses.asdict(function) for function in cell.functions] for cell in cells],
    }


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--features",
        type=lambda text: features.sets(text, KNOWN),
        default=DEFAULT,
        metavar="A,B+C",
        help=f"sets to compare with none, of: {', '.join(KNOWN)}",
    )
    parser.add_argument("--functions", type=_positive, metavar="N", help="list so many functions of the last set")
    parser.add_argument("--events", action="store_true", help="send events of open streams instead of requests")
    parser.add_argument("--opcodes", action="store_true", help=f"count opcodes; lists {_SHOWN_OPCODES} functions")
    parser.add_argument(
        "--gateway",
        type=lambda text: Path(text).absolute(),
        action="append",
        metavar="FILE",
        help="default: .venv/bin/gateway of the repository; repeat it to compare builds",
    )
    parser.add_argument("--requests", type=_positive, default=3200, help="how many are counted (3200)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what every function did there")
    parser.add_argument("--limit", type=_positive, metavar="SECONDS", default=_LIMIT_S, help="stop after this time")
    return parser.parse_args(arguments)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        message = f"{text!r} is not 1 or more"
        raise argparse.ArgumentTypeError(message)
    return number


if __name__ == "__main__":
    sys.exit(main())
