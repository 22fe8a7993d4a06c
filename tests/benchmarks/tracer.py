"""Runs the gateway, and counts what its Python functions do between two signals; started by `counters.py`.

Usage: `python -P tracer.py FILE GATEWAY [ARGUMENT…]`. SIGUSR1 begins and makes FILE, which stays empty; SIGUSR2 ends,
and FILE holds a line of JSON for each function: its name, its place, how many opcodes it ran, and how often it was
entered, which for coroutines is also how often they went on. Only the main thread is looked at.

It runs in the gateway's interpreter, so it imports nothing of the benchmarks.
"""

from __future__ import annotations

import collections
import json
import runpy
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import CodeType, FrameType

Counts = collections.Counter["CodeType"]


class Tracer:
    """Counts opcodes and calls of each function.

    Args:
        file: Where they go.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._opcodes: Counts = collections.Counter()
        self._calls: Counts = collections.Counter()

    def begin(self, *_: object) -> None:
        """Begins to count, and makes the file."""
        self._file.touch()
        sys.settrace(self._enter)

    def end(self, *_: object) -> None:
        """Ends, and writes what was counted; the file gets all of it at once."""
        sys.settrace(None)
        written = self._file.with_suffix(".part")
        written.write_text("".join(f"{json.dumps(self._row(code))}\n" for code in self._calls))
        written.replace(self._file)

    def _row(self, code: CodeType) -> list[Any]:
        place = f"{'/'.join(Path(code.co_filename).parts[-2:])}:{code.co_firstlineno}"
        return [code.co_qualname, place, self._opcodes[code], self._calls[code]]

    def _enter(self, frame: FrameType, *_: object) -> Any:
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        self._calls[frame.f_code] += 1
        return self._step

    def _step(self, frame: FrameType, event: str, _: object) -> Any:
        if event == "opcode":
            self._opcodes[frame.f_code] += 1
        return self._step


if __name__ == "__main__":
    tracer = Tracer(Path(sys.argv[1]))
    sys.argv = sys.argv[2:]
    signal.signal(signal.SIGUSR1, tracer.begin)
    signal.signal(signal.SIGUSR2, tracer.end)
    runpy.run_path(sys.argv[0], run_name="__main__")
