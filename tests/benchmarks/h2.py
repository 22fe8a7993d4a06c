"""Sends HTTP/2 with h2load, and single requests with nghttp; both come with Debian's nghttp2-client.

Every answer's status and the sum of all bodies are checked, and one answer of each proxy byte by byte.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import load
import process
from pace import percentile

if TYPE_CHECKING:
    from collections.abc import Sequence

CONNECTIONS = 10
"""With ten streams on each, a hundred requests are under way."""

_SPARE_S = 30.0
_REQUESTS = re.compile(r"(\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout")
_DATA = re.compile(r"\((\d+)\) data")


def require() -> None:
    """Finds the programs.

    Raises:
        MissingError: If they are not installed.
    """
    for name in ("h2load", "nghttp"):
        _program(name)


def full(port: int, request: load.Request, *, seconds: int, cores: Sequence[int]) -> load.Load:
    """Sends requests as fast as they are answered, over `CONNECTIONS` connections.

    Raises:
        MissingError: If h2load is not installed.
        StartError: If it fails.
        AnswerError: If any answer had another status than 200, or the bodies do not add up to the right ones.
    """
    with tempfile.TemporaryDirectory(prefix="gateway-bench-h2-") as name:
        log = Path(name) / "answers"
        command = [str(_program("h2load")), f"-c{CONNECTIONS}", f"-m{request.streams}", f"-D{seconds}"]
        command += [f"--log-file={log}", *_arguments(request, Path(name)), _url(port, request)]
        printed = _run(command, cores, within_s=seconds + _SPARE_S)
        latencies_s = _latencies_s(log)
    done, data = _REQUESTS.search(printed), _DATA.search(printed)
    if done is None or data is None:
        message = f"h2load said no figures: {printed.strip()[-300:]}"
        raise process.StartError(message)
    answered, succeeded, *problems = map(int, done.groups())
    # What was under way at the end is not counted, though its body may be.
    under_way = CONNECTIONS * request.streams
    is_whole = answered * len(request.answer) <= int(data[1]) <= (answered + under_way) * len(request.answer)
    if not answered or succeeded < answered or any(problems) or not is_whole or len(latencies_s) < answered:
        message = f"{request.method} {request.path}: {done[0]}, {len(latencies_s)} of them 200; {data[1]} bytes"
        raise load.AnswerError(message)
    return load.Load(
        requests=answered,
        seconds=seconds,
        p50_s=percentile(latencies_s, 0.50),
        p99_s=percentile(latencies_s, 0.99),
    )


def probe(port: int, request: load.Request, *, timeout_s: float = 10.0) -> None:
    """Sends one request and looks at the whole answer.

    Raises:
        MissingError: If nghttp is not installed.
        AnswerError: If the answer is not a right one in HTTP/2.
    """
    with tempfile.TemporaryDirectory(prefix="gateway-bench-h2-") as name:
        command = [str(_program("nghttp")), "-v", "-y", *_arguments(request, Path(name)), _url(port, request)]
        done = subprocess.run(command, capture_output=True, timeout=timeout_s, check=False)
    if b":status: 200" not in done.stdout or request.answer not in done.stdout:
        message = f"{request.method} {request.path}: {(done.stdout + done.stderr)[-300:]!r}"
        raise load.AnswerError(message)


def _program(name: str) -> Path:
    found = process.find_program(name)
    if found is None:
        message = f"{name} is not installed; try: apt-get install nghttp2-client"
        raise process.MissingError(message)
    return found


def _arguments(request: load.Request, directory: Path) -> list[str]:
    arguments = [part for header in request.headers for part in ("-H", header)]
    if request.body:
        file = directory / "body"
        file.write_bytes(request.body)
        arguments += ["-d", str(file)]
    return arguments


def _url(port: int, request: load.Request) -> str:
    return f"{'https' if request.tls else 'http'}://127.0.0.1:{port}{request.path}"


def _run(command: Sequence[str], cores: Sequence[int], *, within_s: float) -> str:
    done = subprocess.run(process.pinned(command, cores), capture_output=True, text=True, timeout=within_s, check=False)
    if done.returncode:
        message = f"h2load ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-300:]}"
        raise process.StartError(message)
    return done.stdout


def _latencies_s(log: Path) -> list[float]:
    """Returns the sorted latencies of the answers with status 200; a line is time, status, and microseconds."""
    lines = (line.split() for line in log.read_text().splitlines())
    return sorted(int(latency_us) / 1e6 for _, status, latency_us in lines if status == "200")
