"""One circuit: closed, open, half-open.

```
            too many failures                 its time is over
  CLOSED ───────────────────────▶ OPEN ───────────────────────▶ HALF_OPEN
     ▲                              ▲                               │ │
     │                              └──── a probe failed, or ───────┘ │
     │                                    took too long               │
     └──────────────────── enough probes succeeded ───────────────────┘
```

The pattern is that of Nygard, "Release It!", chapter "Stability Patterns".
"""

from __future__ import annotations

import enum
import math
import time
from typing import TYPE_CHECKING

from gateway_circuitbreaker.window import RollingWindow

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway_circuitbreaker.config import CircuitSettings

__all__ = ["Circuit", "Outcome", "Probe", "State"]


class State(enum.IntEnum):
    """The state of a circuit; its numbers are those of the metric."""

    CLOSED = 0
    OPEN = 1
    HALF_OPEN = 2


class Outcome(enum.Enum):
    """What became of a request, as far as the service is concerned."""

    SUCCESS = "success"
    FAILURE = "failure"
    NEITHER = "neither"
    """It says nothing about the service: the client went away, or sent nonsense."""


class Probe:
    """A request that tries whether the service works again.

    Attributes:
        started_s: When it began.
    """

    __slots__ = ("started_s",)

    def __init__(self, started_s: float) -> None:
        self.started_s = started_s


class Circuit:
    """Decides whether to ask, by what became of those who asked before. Used from one event loop.

    What it is set to is given with each call, for routes may share a circuit and differ in when it opens.

    Args:
        settings: The length of the window.
        changed: Called with the circuit after every change of its state.
        clock: Monotonic seconds; tests pass a manual one.

    Attributes:
        generation: Grows with every change of state. What began in an earlier one is not counted: it says how the
            service was.
        is_closed: Whether everything is let through.
        state: The state.
        failures_in_a_row: While closed, how many there were since the last success.
        changed_s: When it came into its state.
    """

    __slots__ = (
        "__weakref__",
        "_changed",
        "_clock",
        "_due_s",
        "_probes",
        "_successes",
        "changed_s",
        "failures_in_a_row",
        "generation",
        "is_closed",
        "state",
        "window",
    )

    def __init__(
        self,
        settings: CircuitSettings,
        changed: Callable[[Circuit], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._changed = changed
        self._clock = clock
        self.window = RollingWindow(settings.interval, settings.buckets, clock())
        self.state = State.CLOSED
        self.is_closed = True
        self.generation = 0
        self.failures_in_a_row = 0
        self.changed_s = clock()
        self._due_s = math.inf  # while open: when it lets probes through
        self._probes: dict[Probe, None] = {}  # while half-open: those under way, the oldest first
        self._successes = 0

    def fit(self, settings: CircuitSettings) -> None:
        """Take over another length of the window, which then begins anew; the state stays."""
        if (self.window.interval_s, self.window.buckets) != (settings.interval, settings.buckets):
            self.window = RollingWindow(settings.interval, settings.buckets, self._clock())

    # While closed.

    def record(self, outcome: Outcome, generation: int, settings: CircuitSettings) -> None:
        """Count a request that was let through while the circuit was closed.

        Args:
            outcome: What became of it.
            generation: What ``generation`` was when it began.
            settings: When to open.
        """
        if generation != self.generation or outcome is Outcome.NEITHER:
            return
        now_s = self._clock()
        if outcome is Outcome.SUCCESS:
            self.window.succeeded(now_s)
            self.failures_in_a_row = 0
            return
        self.window.failed(now_s)
        self.failures_in_a_row += 1
        if self._is_too_much(now_s, settings):
            self._open(now_s, settings)

    def _is_too_much(self, now_s: float, settings: CircuitSettings) -> bool:
        limit = settings.failures_in_a_row
        if limit and self.failures_in_a_row >= limit:
            return True
        requests, failures = self.window.totals(now_s)
        ratio = settings.failure_ratio
        return bool(ratio) and requests >= settings.min_requests and failures >= ratio * requests

    # While open or half-open.

    def admit(self, settings: CircuitSettings) -> Probe | None:
        """Let a request through as a probe, or refuse it (``None``).

        A probe that is never settled keeps its place for ``probe_timeout_s`` at most.
        """
        now_s = self._clock()
        if self.state is State.OPEN:
            if now_s < self._due_s:
                return None
            self._become(State.HALF_OPEN, now_s)
        if self._probes:
            oldest = next(iter(self._probes))
            if now_s >= oldest.started_s + settings.probe_timeout_s:
                self._open(now_s, settings)
                return None
            if len(self._probes) >= settings.max_requests:
                return None
        probe = Probe(now_s)
        self._probes[probe] = None
        return probe

    def settle(self, probe: Probe, outcome: Outcome, settings: CircuitSettings) -> None:
        """Free the place of a probe, and draw the consequence; ignored if the circuit went on without it."""
        if probe not in self._probes:
            return
        del self._probes[probe]
        now_s = self._clock()
        if outcome is Outcome.FAILURE or now_s >= probe.started_s + settings.probe_timeout_s:
            self._open(now_s, settings)
        elif outcome is Outcome.SUCCESS:
            self._successes += 1
            if self._successes >= settings.probes_to_close:
                self._close(now_s)

    def retry_after_s(self) -> int:
        """Return after how many seconds it makes sense to come again, at least 1."""
        return max(1, math.ceil(self._due_s - self._clock())) if self.state is State.OPEN else 1

    def reset(self) -> None:
        """Close it, whatever happened."""
        self._close(self._clock())

    @property
    def probes(self) -> int:
        """How many probes are under way."""
        return len(self._probes)

    def totals(self) -> tuple[int, int]:
        """Return how many requests the window holds, and how many of them failed."""
        return self.window.totals(self._clock())

    def age_s(self) -> float:
        """Return for how long it has been in its state."""
        return self._clock() - self.changed_s

    def _open(self, now_s: float, settings: CircuitSettings) -> None:
        self._due_s = now_s + settings.timeout
        self._become(State.OPEN, now_s)

    def _close(self, now_s: float) -> None:
        self.window.clear(now_s)
        self._due_s = math.inf
        self._become(State.CLOSED, now_s)

    def _become(self, state: State, now_s: float) -> None:
        self.state = state
        self.is_closed = state is State.CLOSED
        self.generation += 1
        self.failures_in_a_row = self._successes = 0
        self._probes.clear()
        self.changed_s = now_s
        self._changed(self)
