"""Measures the gateway beside nginx, HAProxy, Envoy, Traefik and Caddy; `README.md` beside this file says what and how.

Usage: `.venv/bin/python tests/benchmarks/run.py [--quick] [--peers …] [--scenarios …] [--json FILE]`, or `--help`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cells
import cpu
import forwarding
import load
import peers
import process
import profiling
import report
import results
import scenarios
import upstream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import FrameType

_LIMIT_S = 1800
_PROFILE_FILE = Path(__file__).resolve().parent / "gateway-profile.collapsed"
_QUICK_SECONDS = 2
_QUIET = 0.1  # cores that others may use before a table is marked
_FEW_CORES = "MEANINGLESS: fewer than 4 cores, the load and the second worker share one"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs what the command line asks for.

    Returns:
        0; 1 if a proxy that is installed did not start or answered wrongly; 2 if nothing could be measured.
    """
    options = _options(arguments)
    if options.install:
        return _install()
    for number in (signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, _end)
    signal.alarm(options.limit)
    load.raise_file_limit()
    try:
        return _profile(options) if options.profile else _measure(options)
    except process.StartError as error:
        _say(f"error: {error}")
        return 2
    except KeyboardInterrupt:
        _say("interrupted")
        return 130


def _measure(options: argparse.Namespace) -> int:
    chosen = [scenarios.SCENARIOS[name] for name in options.scenarios]
    wanted = sorted({name for scenario in chosen for name in _taking_part(scenario, options.peers)}, key=_order)
    programs = _find(wanted, options.gateway)
    if not programs:
        message = "none of the proxies asked for is installed"
        raise process.StartError(message)
    environment = _environment(programs, options)
    environment["missing"] = [name for name in wanted if name not in programs]
    _print(_heading(environment))
    measured: list[results.Result] = []
    began = time.monotonic()
    try:
        with _bench(options, programs) as bench:
            for scenario in chosen:
                names = [name for name in _taking_part(scenario, options.peers) if name in programs]
                if names:
                    found, others = _run(scenario, bench, names)
                    measured += found
                    note = "; ".join(filter(None, [_note(scenario, bench), others]))
                    _print(report.scenario_table(scenario.name, scenario.title, found, note))
    finally:
        environment["seconds"] = round(time.monotonic() - began)
        if options.json:
            options.json.write_text(json.dumps(report.as_json(environment, measured), indent=2) + "\n")
    _print(report.target_table(measured))
    _print(f"\nmeasured in {environment['seconds']} s")
    return 1 if any(result.problem for result in measured) else 0


def _run(scenario: scenarios.Scenario, bench: cells.Bench, names: Sequence[str]) -> tuple[list[results.Result], str]:
    """Runs a scenario; one that cannot even be prepared becomes a result with a problem for each proxy.

    One that needs a program that is not installed is skipped.

    Returns:
        The results, and how busy programs of others were meanwhile, if they were, or why there are no results.
    """
    began, busy, own = time.monotonic(), cpu.busy_s(), cpu.cpu_time(os.getpid())
    try:
        found = scenario.run(bench, names)
    except process.MissingError as error:
        _say(f"skipped: {scenario.name}: {error}")
        return [], f"skipped, {error}"
    except (process.StartError, load.AnswerError, OSError) as error:
        found = [results.Result(scenario=scenario.name, peer=name, problem=str(error)) for name in names]
    seconds = time.monotonic() - began
    _say(f"{scenario.name}: {seconds:.0f} s")
    others = (cpu.busy_s() - busy - cpu.cpu_time(os.getpid()).since(own).total_s) / seconds
    return found, f"DISTURBED: other programs used {others:.2f} cores" if others > _QUIET else ""


def _profile(options: argparse.Namespace) -> int:
    programs = _find(["gateway"], options.gateway)
    if not programs:
        return 2
    with _bench(options, programs) as bench:
        try:
            _print(profiling.profile(bench, options.profile, options.profile_file))
        except load.AnswerError as error:
            _say(f"error: {error}")
            return 1
    _print(f"\nall stacks: {options.profile_file}")
    return 0


@contextlib.contextmanager
def _bench(options: argparse.Namespace, programs: dict[str, Path]) -> Iterator[cells.Bench]:
    """Makes the directory and starts the service that everything else needs."""
    ports = process.Ports()
    usable = tuple(sorted(os.sched_getaffinity(0)))
    proxy_core, load_core = usable[0], usable[min(1, len(usable) - 1)]
    if proxy_core == load_core:
        _say("warning: one core only; proxy and load share it, and rates and latencies mean little")
    os.sched_setaffinity(0, {load_core})
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as name:
        directory = Path(name)
        (directory / "upstream").mkdir()
        with upstream.serving(directory / "upstream", ports.take(), cores=[load_core]) as service:
            yield cells.Bench(
                directory=directory,
                programs=programs,
                rounds=options.rounds,
                seconds=options.seconds,
                ports=ports,
                service=service,
                say=_say,
                usable_cores=usable,
                proxy_cores=(proxy_core,),
                load_cores=(load_core,),
            )


def _find(wanted: Sequence[str], gateway: Path | None) -> dict[str, Path]:
    """Finds the executables and says which are missing."""
    programs: dict[str, Path] = {}
    for name in wanted:
        peer = peers.PEERS[name]
        program = peers.find(peer, gateway if name == "gateway" else None)
        if program is None:
            _say(f"skipped: {name} is not installed; try: {peer.remedy}")
        else:
            programs[name] = program
    return programs


def _taking_part(scenario: scenarios.Scenario, asked: Sequence[str] | None) -> list[str]:
    names = asked or scenario.default_peers
    return [name for name in names if not scenario.only_peers or name in scenario.only_peers]


def _order(name: str) -> int:
    return list(peers.PEERS).index(name)


def _environment(programs: dict[str, Path], options: argparse.Namespace) -> dict[str, Any]:
    return {
        "processor": cpu.core_model(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "load_average": os.getloadavg()[0],
        "rounds": options.rounds,
        "round_seconds": options.seconds,
        "connections": load.CONNECTIONS,
        "versions": {name: peers.version(peers.PEERS[name], program) for name, program in programs.items()},
    }


def _heading(environment: dict[str, Any]) -> str:
    versions = environment["versions"] | dict.fromkeys(environment["missing"], "SKIPPED, not installed")
    machine = "{processor}, {cores} cores, Linux {kernel}, load average {load_average:.2f}"
    method = "{connections} connections, {rounds} interleaved rounds, medians; CPU of the whole process tree"
    lines = [machine.format_map(environment), method.format_map(environment)]
    return "\n".join([*lines, *(f"  {name}: {text}" for name, text in versions.items())])


def _note(scenario: scenarios.Scenario, bench: cells.Bench) -> str:
    few = scenario.name == "workers-2" and len(bench.usable_cores) < forwarding.ENOUGH_CORES
    return _FEW_CORES if few else ""


def _install() -> int:
    """Installs the peers that come as wheels, and the profiler, into the environment that this runs in."""
    wanted = Path(__file__).resolve().parent / "peers.txt"
    if sys.prefix == sys.base_prefix:
        _say("error: this Python is in no virtual environment; try: .venv/bin/python tests/benchmarks/run.py --install")
        return 2
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(wanted)]
    if subprocess.run(command, check=False).returncode:
        _say(f"error: pip failed; what {wanted.name} lists and is missing will be skipped")
        return 1
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measures the gateway beside other proxies.")
    parser.add_argument("--peers", type=_known(peers.PEERS), help="comma-separated; default: each scenario's own")
    parser.add_argument(
        "--scenarios", type=_known(scenarios.SCENARIOS), default=list(scenarios.SCENARIOS), help="comma-separated"
    )
    parser.add_argument("--rounds", type=_positive, default=3)
    parser.add_argument("--seconds", type=_positive, default=4, help="a round of small; other rounds take half")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample there")
    parser.add_argument("--quick", action="store_true", help="small scenario, nginx and gateway, under a minute")
    parser.add_argument("--gateway", type=Path, metavar="FILE", help="default: .venv/bin/gateway of the repository")
    parser.add_argument("--profile", type=_positive, metavar="SECONDS", help="record the gateway with py-spy instead")
    parser.add_argument("--profile-file", type=Path, metavar="FILE", default=_PROFILE_FILE)
    parser.add_argument("--install", action="store_true", help="install the peers that come as wheels, then end")
    parser.add_argument("--limit", type=_positive, metavar="SECONDS", default=_LIMIT_S, help="stop after this time")
    options = parser.parse_args(arguments)
    if options.gateway:
        options.gateway = options.gateway.absolute()
    if options.quick:
        options.scenarios = ["small"]
        options.peers = options.peers or ["nginx", "gateway"]
        options.seconds = min(options.seconds, _QUICK_SECONDS)
    return options


def _known(names: Iterable[str]) -> Callable[[str], list[str]]:
    """Makes a parser for a comma-separated list of these names."""

    def parse(text: str) -> list[str]:
        asked = [name.strip() for name in text.split(",") if name.strip()]
        for name in asked:
            if name not in names:
                message = f"{name!r} is unknown; there are {', '.join(names)}"
                raise argparse.ArgumentTypeError(message)
        return asked

    return parse


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        message = f"{text!r} is not 1 or more"
        raise argparse.ArgumentTypeError(message)
    return number


def _end(number: int, _: FrameType | None) -> None:
    """Ends the run on SIGTERM or when its time is over; everything it started is stopped on the way out."""
    _say("the time limit is over" if number == signal.SIGALRM else "told to end")
    raise KeyboardInterrupt


def _print(text: str) -> None:
    if text:
        print(text, flush=True)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
