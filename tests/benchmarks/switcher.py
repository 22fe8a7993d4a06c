"""Runs the gateway, and does without its observers every other 20 ms; started by `switching.py`.

Usage: `python -P switcher.py FILE GATEWAY [ARGUMENT…]`. The clock is read at every sixteenth request. In half of the
phases, drawn by pairs, no observer is told of anything: not that a request began or ended, nor of attempts. FILE gets a
line of JSON for each pair of phases when the gateway ends: microseconds of the process's CPU time for a request without
observers, and with them.

It runs in the gateway's interpreter, so it imports nothing of the benchmarks. What all observers share remains in both
halves: that exchanges are kept until the end of a turn.
"""

from __future__ import annotations

import json
import random
import runpy
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.pipeline import observing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PHASE_S = 0.02
LEAST_REQUESTS = 100
"""A phase with fewer is left out, with its pair: the load had not begun, or was over."""
ASKED_EVERY = 16
"""How many requests pass until the clock is read again."""


class Switch:
    """Says whether observers are told, and adds up what requests cost meanwhile.

    Attributes:
        is_on: Whether they are told now.
        pairs: What a request cost in each pair of phases, without observers and with them, in CPU microseconds.
    """

    def __init__(self) -> None:
        self.is_on = True
        self.pairs: list[tuple[float, float]] = []
        self._pair: dict[bool, float] = {}
        self._requests = 0
        self._ends_s = 0.0
        self._began_cpu_s = 0.0

    def count(self) -> None:
        """Counts a request."""
        self._requests += 1
        if not self._requests % ASKED_EVERY and time.monotonic() >= self._ends_s:
            self._change()

    def _change(self) -> None:
        cpu_s = time.process_time()
        if self._requests >= LEAST_REQUESTS:
            self._pair[self.is_on] = (cpu_s - self._began_cpu_s) / self._requests * 1e6
        else:
            self._pair.clear()
        if len(self._pair) == 2:
            self.pairs.append((self._pair[False], self._pair[True]))
            self._pair.clear()
        # The second phase of a pair is what the first was not.
        self.is_on = not self.is_on if self._pair else random.random() < 0.5  # noqa: S311 - a coin
        self._requests = 0
        self._ends_s = time.monotonic() + PHASE_S
        self._began_cpu_s = time.process_time()


def install(switch: Switch) -> None:
    """Puts the switch between the gateway and its observers, before any route is compiled."""
    announced, teller = observing.Observers.announced, observing._teller

    def announced_if_on(self: observing.Observers, handler: Callable[[Any], Any]) -> Callable[[Any], Any]:
        announcing = announced(self, handler)

        def counted(exchange: Any) -> Any:
            switch.count()
            return announcing(exchange) if switch.is_on else handler(exchange)

        return counted

    def teller_if_on(observer: Any) -> Callable[[Iterator[Any]], None]:
        tell = teller(observer)

        def tell_if_on(exchanges: Iterator[Any]) -> None:
            if switch.is_on:
                tell(exchanges)

        return tell_if_on

    attempt_finished = observing.Observers.attempt_finished

    def attempt_finished_if_on(self: observing.Observers, exchange: Any, attempt: Any) -> None:
        if switch.is_on:
            attempt_finished(self, exchange, attempt)

    observing.Observers.attempt_finished = attempt_finished_if_on  # type: ignore[method-assign]  # likewise
    observing.Observers.announced = announced_if_on  # type: ignore[method-assign]  # that is what this program is for
    observing._teller = teller_if_on


if __name__ == "__main__":
    file, sys.argv = Path(sys.argv[1]), sys.argv[2:]
    the_switch = Switch()
    install(the_switch)
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    finally:
        file.write_text("".join(f"{json.dumps(pair)}\n" for pair in the_switch.pairs))
