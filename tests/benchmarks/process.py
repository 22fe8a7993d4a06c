"""Starts programs pinned to cores, and stops them again whatever happens.

Every program is the leader of its own process group and is told to end when the benchmark dies, so nothing outlives a
run.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

REPOSITORY = Path(__file__).resolve().parents[2]
STOP_WITHIN_S = 5.0
LAST_FIXED_PORT = 32_000  # below the ports that Linux hands to outgoing connections (net.ipv4.ip_local_port_range)


class StartError(Exception):
    """A program did not start, or did not answer as it should have."""


class MissingError(StartError):
    """What a scenario needs besides the proxies is not installed."""


def find_program(name: str) -> Path | None:
    """Finds a program on PATH, in the system's folders, in the project's environment or in this one.

    Returns:
        Its path, or `None` if it is not installed.
    """
    folders = [*os.get_exec_path(), "/usr/sbin", "/usr/local/sbin"]
    folders += [str(REPOSITORY / ".venv/bin"), str(Path(sys.executable).parent)]
    found = shutil.which(name, path=os.pathsep.join(folders))
    return Path(found) if found else None


def pinned(command: Sequence[str], cores: Sequence[int]) -> list[str]:
    """Prefixes a command so that it runs on these cores only and ends with its parent."""
    prefix = ["taskset", "-c", ",".join(map(str, cores))]
    if shutil.which("setpriv"):
        prefix = ["setpriv", "--pdeathsig", "TERM", *prefix]
    return [*prefix, *command]


@contextlib.contextmanager
def started(
    command: Sequence[str], *, cores: Sequence[int], log: Path, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a program for as long as the block lasts.

    Args:
        command: The program and its arguments.
        cores: The cores that it, and whatever it starts, may use.
        log: Where its standard output and error go.
        env: Variables to add to the environment; `None` adds none.

    Yields:
        The process. `setpriv` and `taskset` replace themselves, so its pid is the program's own.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            pinned(command, cores),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            cwd=log.parent,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends a process of `started` with everything in its group: politely first, by force after `STOP_WITHIN_S`."""
    process.terminate()
    try:
        process.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        pass
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(STOP_WITHIN_S)


def wait_for_port(port: int, process: subprocess.Popen[bytes], *, log: Path, within_s: float) -> None:
    """Waits until something accepts connections on 127.0.0.1.

    Raises:
        StartError: If the process ended or the time is over; the message ends with the last lines of the log.
    """
    deadline = time.monotonic() + within_s
    while not accepts(port):
        if process.poll() is not None:
            message = f"ended with {process.returncode} before it listened on {port}: {tail(log)}"
            raise StartError(message)
        if time.monotonic() > deadline:
            message = f"did not listen on {port} within {within_s:g} s: {tail(log)}"
            raise StartError(message)
        time.sleep(0.01)


def accepts(port: int) -> bool:
    """Tells whether something accepts connections on this port of 127.0.0.1."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return True
    except OSError:
        return False


def tail(log: Path, lines: int = 3) -> str:
    """Returns the last lines of a log in one line, or says that it is empty."""
    try:
        text = log.read_text(errors="replace").strip()
    except OSError:
        text = ""
    return " | ".join(text.splitlines()[-lines:]) or "it printed nothing"


class Ports:
    """Hands out free TCP ports of 127.0.0.1, each once, from below the range of outgoing connections."""

    def __init__(self) -> None:
        self._next = 20_000 + os.getpid() % 6_000

    def take(self) -> int:
        """Returns a port that nothing listens on now.

        Raises:
            StartError: If there is none.
        """
        while self._next < LAST_FIXED_PORT:
            self._next += 1
            with socket.socket() as candidate, contextlib.suppress(OSError):
                candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                candidate.bind(("127.0.0.1", self._next))
                return self._next
        message = f"no free port below {LAST_FIXED_PORT}"
        raise StartError(message)
