"""Two ways to count what a gateway does, whatever else the machine does: instructions, and opcodes of Python."""

from __future__ import annotations

import collections
import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_CONTROL_WITHIN_S = 60.0
_TRACER = Path(__file__).resolve().with_name("tracer.py")
_RECURSION = re.compile(r"'\d+$")
_UNKNOWN_FILE = "???"
_KINDS = {"fn": "fn", "cfn": "fn", "ob": "ob", "cob": "ob"} | dict.fromkeys(("fl", "fi", "fe", "cfi", "cfl"), "fl")
"""What the name is of that a line of callgrind's file gives: a function, a library or a file."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """What one function did.

    Attributes:
        name: Its name.
        place: The file, or the library, that it is of.
        own: How much it did itself.
        whole: The same with all that it called; `None` where that is not counted.
        calls: How often it was entered.
    """

    name: str
    place: str
    own: int
    whole: int | None
    calls: int


class Counter(Protocol):
    """Counts what a gateway does between two moments."""

    def command(self, program: Path) -> list[str]:
        """Returns what starts this gateway so that it can be counted, to be followed by its arguments."""

    def begin(self, pid: int) -> None:
        """Begins to count what the process does.

        Raises:
            StartError: If it cannot be told to.
        """

    def end(self, pid: int) -> list[Function]:
        """Ends counting, and returns what each function did.

        Raises:
            StartError: If it cannot be told to.
        """


class Callgrind:
    """Counts instructions in user space, of all threads, by callgrind, which is a part of valgrind.

    Args:
        directory: Where its file goes.

    Raises:
        StartError: If valgrind is not installed.
    """

    def __init__(self, directory: Path) -> None:
        found = [shutil.which(name) for name in ("valgrind", "callgrind_control")]
        if not all(found):
            message = "valgrind is not installed, and it counts the instructions; try: apt-get install valgrind"
            raise process.StartError(message)
        self._valgrind, self._control = map(str, found)
        self._file = directory / "callgrind.out"

    def command(self, program: Path) -> list[str]:
        """Returns what starts this gateway under callgrind, which counts nothing yet."""
        options = ["--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={self._file}"]
        return [self._valgrind, *options, str(program)]

    def begin(self, pid: int) -> None:
        """Begins to count."""
        self._tell(pid, "--instr=on")

    def end(self, pid: int) -> list[Function]:
        """Ends counting, and reads what was counted."""
        self._tell(pid, "--instr=off")
        self._tell(pid, "--dump")
        with self._file.with_name(self._file.name + ".1").open(errors="replace") as lines:
            return parse(lines)

    def _tell(self, pid: int, order: str) -> None:
        command = [self._control, order, str(pid)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_CONTROL_WITHIN_S, check=False)
        except subprocess.TimeoutExpired:
            message = f"callgrind did not do {order} within {_CONTROL_WITHIN_S:g} s"
            raise process.StartError(message) from None
        if "OK." not in done.stdout:  # its exit code is 0 in any case
            message = f"callgrind_control {order} failed: {(done.stdout + done.stderr).strip()[-300:]}"
            raise process.StartError(message)


class Opcodes:
    """Counts opcodes of Python by `tracer.py`.

    Args:
        directory: Where its file goes.
    """

    def __init__(self, directory: Path) -> None:
        self._file = directory / "opcodes.jsonl"

    def command(self, program: Path) -> list[str]:
        """Returns what starts this gateway in its own interpreter, which counts nothing yet."""
        return [str(program.with_name("python")), "-P", str(_TRACER), str(self._file), str(program)]

    def begin(self, pid: int) -> None:
        """Begins to count."""
        os.kill(pid, signal.SIGUSR1)
        _wait(self._file.exists, "begin")

    def end(self, pid: int) -> list[Function]:
        """Ends counting, and reads what was counted."""
        os.kill(pid, signal.SIGUSR2)
        _wait(lambda: self._file.stat().st_size > 0, "end")
        return [
            Function(name=name, place=place, own=opcodes, whole=None, calls=calls)
            for name, place, opcodes, calls in map(json.loads, self._file.read_text().splitlines())
        ]


def parse(lines: Iterable[str]) -> list[Function]:
    """Reads what callgrind wrote with its default options: one event, and names by number after their first use.

    A function that called itself, however indirectly, is one function here. Callgrind keeps its second level apart
    (`name'2`), so calls of the first one are those that came from outside, and only they count for the whole.

    Source: https://valgrind.org/docs/manual/cl-format.html

    Raises:
        KeyError: If a name was not given before its number.
    """
    names: dict[str, dict[str, str]] = {"fn": {}, "fl": {}, "ob": {}}
    place_of: dict[str, str] = {}
    own, whole, calls = (collections.Counter[str]() for _ in range(3))
    current = {"fn": "", "fl": "", "ob": "", "cfn": ""}
    is_called = False
    for line in lines:
        key, _, value = line.rstrip("\n").partition("=")
        if key[:1].isdigit() or key[:1] in ("+", "-", "*"):
            cost = int(key.split()[1])
            if is_called:
                whole[current["cfn"]] += cost
                is_called = False
            else:
                own[current["fn"]] += cost
        elif key == "calls":
            calls[current["cfn"]] += int(value.split()[0])
            is_called = True
        elif kind := _KINDS.get(key):
            number, _, name = value.partition(" ")
            if name:
                names[kind][number] = name
            if key in current:
                current[key] = number
            if key == "fn":
                place_of[number] = _place(names["fl"][current["fl"]], names["ob"][current["ob"]])
    return _merged(names["fn"], place_of, own, whole, calls)


def _place(file: str, library: str) -> str:
    return Path(library if file == _UNKNOWN_FILE else file).name


def _merged(
    names: dict[str, str],
    place_of: dict[str, str],
    own: collections.Counter[str],
    whole: collections.Counter[str],
    calls: collections.Counter[str],
) -> list[Function]:
    """Joins the levels of functions that called themselves."""
    levels: dict[tuple[str, str], list[str]] = collections.defaultdict(list)
    for number, place in place_of.items():
        levels[_RECURSION.sub("", names[number]), place].append(number)
    return [
        Function(
            name=name,
            place=place,
            own=sum(own[number] for number in numbers),
            whole=sum(whole[number] for number in numbers if not _RECURSION.search(names[number])),
            calls=sum(calls[number] for number in numbers),
        )
        for (name, place), numbers in levels.items()
    ]


def _wait(is_done: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _CONTROL_WITHIN_S
    while not is_done():
        if time.monotonic() > deadline:
            message = f"the gateway did not {what} to count within {_CONTROL_WITHIN_S:g} s"
            raise process.StartError(message)
        time.sleep(0.01)
