"""Runs the service and the load of the scenarios with WebSockets and streams: `live_service.py`, `live_load.py`."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import resource
import selectors
import subprocess
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

import load
import process
import upstream

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Kind = Literal["echo", "events", "sockets", "streams"]

_HERE = Path(__file__).resolve().parent
_START_WITHIN_S = 10.0
_ANSWER_WITHIN_S = 30.0
_SPARE_FILES = 500


@contextlib.contextmanager
def serving(directory: Path, port: int, *, cores: Sequence[int]) -> Iterator[upstream.Service]:
    """Runs the service for as long as the block lasts.

    Raises:
        StartError: If it does not start.
    """
    log = directory / "live.log"
    command = [sys.executable, str(_HERE / "live_service.py"), str(port)]
    with process.started(command, cores=cores, log=log) as running:
        process.wait_for_port(port, running, log=log, within_s=_START_WITHIN_S)
        yield upstream.Service(addresses=["127.0.0.1"], port=port)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Connections:
    """Connections that are open.

    Attributes:
        count: How many.
        seconds: How long `measure` lasts.
    """

    count: int
    seconds: float
    _program: subprocess.Popen[bytes]

    def measure(self) -> load.Load:
        """Does what the kind is about, and returns what came of it.

        Raises:
            StartError: If the program ended, or gave no figures.
            AnswerError: If anything wrong arrived, or a connection was cut.
        """
        assert self._program.stdin is not None
        self._program.stdin.write(b"\n")
        self._program.stdin.flush()
        figures = json.loads(_line(self._program, b"FIGURES "))
        wrong = figures.pop("wrong")
        if wrong or not figures["requests"]:
            message = f"{wrong} wrong messages or cut connections besides {figures['requests']} right messages"
            raise load.AnswerError(message)
        return load.Load(**figures)


@contextlib.contextmanager
def connections(
    kind: Kind, port: int, count: int, *, cores: Sequence[int], seconds: float = 0.0
) -> Iterator[Connections]:
    """Keeps connections open for as long as the block lasts; fewer where the limit on open files is lower.

    Raises:
        StartError: If the program does not start.
        AnswerError: If not all of them could be opened.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(count, (soft - _SPARE_FILES) // 2)  # a proxy's limit is ours, and it needs a second one for each
    command = [sys.executable, str(_HERE / "live_load.py"), kind, str(port), str(wanted), str(seconds)]
    with subprocess.Popen(
        process.pinned(command, cores), stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as program:
        try:
            opened, wrong = map(int, _line(program, b"READY ").split())
            if opened < wanted or wrong:
                message = f"{opened} of {wanted} connections were opened, {wrong} were refused or cut"
                raise load.AnswerError(message)
            yield Connections(count=opened, seconds=seconds, _program=program)
        finally:
            process.stop(program)


def _line(program: subprocess.Popen[bytes], mark: bytes) -> bytes:
    """Reads the next line of a program, which begins with ``mark``; it is given up if it does not come in time."""
    assert program.stdout is not None
    line = _read_line(program.stdout, _ANSWER_WITHIN_S)
    if not line.startswith(mark):
        message = f"live_load.py ended with {program.poll()} or was silent for {_ANSWER_WITHIN_S:g} s; it said {line!r}"
        raise process.StartError(message)
    return line.removeprefix(mark)


def _read_line(stream: IO[bytes], within_s: float) -> bytes:
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        return stream.readline() if selector.select(within_s) else b""
