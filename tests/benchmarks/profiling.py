"""Records where the gateway spends its time under the small load, with py-spy."""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import re
import subprocess
from typing import TYPE_CHECKING

import load
import peers
import process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import cells

_SAMPLES_PER_S = 250
_SHOWN = 25
_LINE = re.compile(r":\d+\)$")
_SPARE_S = 30.0


def profile(bench: cells.Bench, seconds: int, file: Path) -> str:
    """Loads the gateway and records it.

    Args:
        bench: The run; the gateway is among its programs.
        seconds: How long.
        file: Where the collapsed stacks go, one a line with its count, as flame graph viewers read them.

    Returns:
        The functions that took most, by themselves and with all they called.

    Raises:
        StartError: If py-spy is not installed, or may not look at the gateway.
        AnswerError: If the gateway did not answer as the service does.
    """
    spy = process.find_program("py-spy")
    if spy is None:
        message = (
            "py-spy is not installed, so there is no profile; try: .venv/bin/python tests/benchmarks/run.py --install"
        )
        raise process.StartError(message)
    setup = peers.Setup(port=bench.ports.take(), service=bench.service)
    program = bench.programs["gateway"]
    directory = bench.new_directory("profile")
    with peers.running(peers.PEERS["gateway"], program, setup, directory, cores=bench.proxy_cores) as proxy:
        load.full(proxy.port, load.SMALL, seconds=1, cores=bench.load_cores)
        command = [str(spy), "record", "--pid", str(proxy.pid), "--duration", str(seconds), "--format", "raw"]
        command += ["--rate", str(_SAMPLES_PER_S), "--subprocesses", "--output", str(file)]
        with _loaded(bench, proxy.port, seconds + 1):
            done = subprocess.run(
                process.pinned(command, bench.load_cores),
                capture_output=True,
                text=True,
                timeout=seconds + _SPARE_S,
                check=False,
            )
    if done.returncode:
        message = f"py-spy ended with {done.returncode}: {done.stderr.strip()[-300:]}"
        raise process.StartError(message)
    return _summary(file.read_text())


@contextlib.contextmanager
def _loaded(bench: cells.Bench, port: int, seconds: int) -> Iterator[None]:
    """Keeps the gateway busy from another thread; what goes wrong there is raised when the block ends."""
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as pool:
        sent = pool.submit(load.full, port, load.SMALL, seconds=seconds, cores=bench.load_cores)
        yield
        sent.result()


def _summary(collapsed: str) -> str:
    own: collections.Counter[str] = collections.Counter()
    whole: collections.Counter[str] = collections.Counter()
    for line in collapsed.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        own[frames[-1]] += int(count)
        whole.update(dict.fromkeys({_LINE.sub(")", frame) for frame in frames}, int(count)))
    total = max(1, own.total())
    lines = [f"\n{total} samples", "    own  line"]
    lines += [f"  {count / total:5.1%}  {frame}" for frame, count in own.most_common(_SHOWN)]
    lines += ["  whole  function"]
    lines += [f"  {count / total:5.1%}  {frame}" for frame, count in whole.most_common(_SHOWN)]
    return "\n".join(lines)
