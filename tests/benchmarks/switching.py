"""What an observer costs, seen in one gateway: ``python tests/benchmarks/switching.py [--features a,b+c]``.

Two gateways that are the same differ by some per cent, by where their memory happens to lie and by what the machine
does meanwhile; that is as much as an observer costs. So here is one, under full load, which tells its observers of
requests in one phase of 20 ms and not in the next (`switcher.py`). Shown is the difference in CPU time: the median over
all pairs of phases, with the interval that holds the true one in 95 of 100 runs. Rows are sets of features
(`features.py`).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import signal
import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import configurations
import features
import load
import peers
import process
import upstream

if TYPE_CHECKING:
    from collections.abc import Sequence

KNOWN = ("accesslog", "metrics", "tracing")
DEFAULT = ("accesslog", "tracing")

_SWITCHER = Path(__file__).with_name("switcher.py")
_START_WITHIN_S = 60.0
_WARM_UP_S = 3
_LIMIT_S = 900


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Returns the median, and how far the true one may be from it in either direction, with 95 % confidence.

    The sign test's interval: it takes no more of the values than that they are independent.

    Source: Conover, Practical Nonparametric Statistics, 3rd edition, section 3.2.
    """
    ordered = sorted(values)
    apart = round(1.96 * math.sqrt(len(ordered)) / 2)
    middle = len(ordered) // 2
    low, high = ordered[max(0, middle - apart)], ordered[min(len(ordered) - 1, middle + apart)]
    return statistics.median(ordered), (high - low) / 2


def measure(
    program: Path, names: str, seconds: int, directory: Path, ports: process.Ports
) -> list[tuple[float, float]]:
    """Runs a gateway with these features, and returns what requests cost it in each pair of phases, off and on.

    Raises:
        StartError: If it does not start, or nothing was measured.
        AnswerError: If it answers wrongly.
    """
    usable = sorted(os.sched_getaffinity(0))
    file, log = directory / "pairs.jsonl", directory / "gateway.log"
    with contextlib.ExitStack() as stack:
        service = stack.enter_context(upstream.serving(directory, ports.take(), cores=usable[1:2]))
        setup = peers.Setup(port=ports.take(), service=service, wants=frozenset(names.split("+")), tokens=None)
        switched = [str(program.with_name("python")), "-P", str(_SWITCHER), str(file), str(program)]
        command = [*switched, *configurations.gateway(setup, directory)]
        environment = {**configurations.python(setup), "HOME": str(directory)}
        running = stack.enter_context(process.started(command, cores=usable[:1], log=log, env=environment))
        process.wait_for_port(setup.port, running, log=log, within_s=_START_WITHIN_S)
        load.full(setup.port, load.SMALL, seconds=_WARM_UP_S + seconds, cores=usable[1:2])
    if not file.exists() or not file.read_text():
        message = f"nothing was measured: {process.tail(log)}"
        raise process.StartError(message)
    pairs: list[tuple[float, float]] = [(off, on) for off, on in map(json.loads, file.read_text().splitlines())]
    return pairs[len(pairs) * _WARM_UP_S // (_WARM_UP_S + seconds) :]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures what the command line asks for.

    Returns:
        0; 1 if a gateway answered wrongly; 2 if one did not start; 130 if told to end.
    """
    options = _options(arguments)
    for number in (signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, signal.default_int_handler)
    signal.alarm(_LIMIT_S)
    try:
        program = peers.the_gateway(options.gateway)
        print(f"{'CPU time of a request in µs':<32}{'without':>10}{'adds':>8}{'±':>7}{'in %':>8}{'±':>7}{'pairs':>9}")
        ports = process.Ports()
        for names in options.features:
            with tempfile.TemporaryDirectory(prefix="gateway-switch-") as directory:
                pairs = measure(program, names, options.seconds, Path(directory), ports)
            print(_row(names, pairs), flush=True)
    except (process.StartError, load.AnswerError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, process.StartError) else 1
    except KeyboardInterrupt:
        print("told to end, or the time limit is over", file=sys.stderr)
        return 130
    return 0


def _row(names: str, pairs: Sequence[tuple[float, float]]) -> str:
    without = statistics.median(off for off, _ in pairs)
    added, apart = interval([on - off for off, on in pairs])
    return (
        f"{names:<32}{without:>10.1f}{added:>8.2f}{apart:>7.2f}"
        f"{added / without * 100:>8.1f}{apart / without * 100:>7.1f}{len(pairs):>9,}"
    )


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--features",
        type=lambda text: features.sets(text, KNOWN),
        default=DEFAULT,
        metavar="A,B+C",
        help=f"sets of observers to switch, of: {', '.join(KNOWN)}",
    )
    parser.add_argument("--seconds", type=int, default=60, choices=range(1, 301), metavar="N", help="for each set (60)")
    parser.add_argument(
        "--gateway",
        type=lambda text: Path(text).absolute(),
        metavar="FILE",
        help="default: .venv/bin/gateway of the repository",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
