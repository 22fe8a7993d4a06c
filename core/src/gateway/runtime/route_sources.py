"""Rules of route sources: collected from each, and taken over when something changed, but not all the time."""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
from typing import TYPE_CHECKING

from gateway.config.admission import clean
from gateway.config.result import SourcedRules
from gateway.errors import ConfigurationError
from gateway.interfaces import RuleOutcome, SourcedRule
from gateway.runtime.supervision import end_tasks

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from gateway.config import Configuration, Configured
    from gateway.interfaces import RouteSource
    from gateway.metrics import Metrics
    from gateway.runtime.supervision import Supervisor

__all__ = ["RouteSources", "SourceWatch"]

logger = logging.getLogger("gateway.routes")

GATHER_S = 0.05
"""Between the first change and taking over: what changes together comes one after the other."""
SHORTEST_GAP_S = 0.5
"""Between the end of taking over and the beginning of the next: a source that flaps causes two a second, and what comes
just after another change is served within a second, too."""
GAP_PER_DURATION = 4.0
"""The same, in durations of the last: whatever the size of the configuration, four fifths of the time are left."""
RETRY_S = 30.0
"""When what could not be served is tried again, unless something changes before; and the longest gap after it."""
MAX_REPORTED = 100
"""Rules that are left out of which one source's report, and the log, say why."""


class SourceWatch:
    """A route source at work.

    Args:
        configured: The source.
        source: What was built from it.
        changed: Called when it published something.

    Attributes:
        configured: As given.
        has_published: Set with its first rules.
        rules: What it published last, in order; ``None`` before the first time.
    """

    def __init__(self, configured: Configured, source: RouteSource, changed: Callable[[], None]) -> None:
        self.configured = configured
        self.has_published = asyncio.Event()
        self.rules: tuple[SourcedRule, ...] | None = None
        self._source = source
        self._changed = changed
        self._task: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """The name of the source."""
        return self.configured.name

    @property
    def max_rules(self) -> int:
        """How many rules it may have."""
        return int(self.configured.config.max_rules)

    @property
    def excess(self) -> str:
        """What to say of rules beyond these; empty if there are none."""
        count = len(self.rules or ())
        return f"there are {count} rules; the first {self.max_rules} count" if count > self.max_rules else ""

    def start(self, supervisor: Supervisor) -> None:
        """Begin to watch."""
        self._task = supervisor.start(f"route source {self.name!r}", lambda: self._source.watch(self._publish))

    async def end(self) -> None:
        """Stop watching."""
        if self._task is not None:
            await end_tasks([self._task])

    def tell(self, outcomes: Sequence[RuleOutcome]) -> None:
        """Tell the source what became of its rules, if it wants to know."""
        settled = getattr(self._source, "settled", None)
        if settled is None:
            return
        try:
            settled(outcomes)
        except Exception:
            logger.exception("route source %r failed when it was told what became of its rules", self.name)

    def _publish(self, rules: Sequence[SourcedRule]) -> None:
        checked = _checked(rules)
        self.has_published.set()
        if checked != self.rules:
            self.rules = checked
            self._changed()


class RouteSources:
    """All route sources of the configuration in force.

    Args:
        apply: Takes over what they publish; raises ``ConfigurationError`` after logging it.
        metrics: Counts how many rules are served.
        sleep: Waits some seconds; tests pass their own.
        clock: Monotonic seconds; tests pass a manual one.
    """

    def __init__(
        self,
        apply: Callable[[], Awaitable[None]],
        metrics: Metrics,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._apply = apply
        self._sleep = sleep
        self._clock = clock
        self._rules = metrics.gauge(
            "gateway_route_source_rules", "Rules of route sources, by what became of them.", ("source", "result")
        )
        self._changed = asyncio.Event()
        self._watches: tuple[SourceWatch, ...] = ()
        self._tried: tuple[SourcedRules, ...] = ()
        self._last: dict[str, tuple[SourcedRule, ...]] = {}
        self._outcomes: dict[str, list[RuleOutcome]] = {}
        self._said: set[str] = set()
        self._has_failed = False
        self._task: asyncio.Task[None] | None = None

    def watch(self, configured: Configured, source: RouteSource) -> SourceWatch:
        """Return what watches a source, to be started."""
        return SourceWatch(configured, source, self._changed.set)

    def collect(self, watches: Iterable[SourceWatch]) -> tuple[SourcedRules, ...]:
        """Return what sources have published, each at most as much as it may.

        One that has published nothing yet, because it is new or was configured anew, has what a source of its name
        published before.
        """
        found = []
        for watch in watches:
            rules = self._last.get(watch.name, ()) if watch.rules is None else watch.rules
            found.append(SourcedRules(source=watch.name, rules=rules[: watch.max_rules]))
        return tuple(found)

    def serve(self, watches: Sequence[SourceWatch], collected: tuple[SourcedRules, ...], served: Configuration) -> None:
        """Take note of what is in force from now on.

        Args:
            watches: The sources of the configuration.
            collected: What they had published for it.
            served: The configuration.
        """
        self._watches, self._tried, self._has_failed = tuple(watches), collected, False
        self._last = {each.source: each.rules for each in collected}
        outcomes: dict[str, list[RuleOutcome]] = {watch.name: [] for watch in watches}
        for verdict in served.verdicts:
            is_served = verdict.block is not None
            outcomes[verdict.source].append(
                RuleOutcome(rule=verdict.rule, is_accepted=is_served, is_served=is_served, problems=verdict.problems)
            )
        self._settle(outcomes)

    def refuse(self, collected: tuple[SourcedRules, ...], reason: str) -> None:
        """Take note that what was collected cannot be served; what is in force stays.

        Args:
            collected: What the sources had published.
            reason: Why, in one line.
        """
        self._tried, self._has_failed = collected, True
        outcomes = {watch.name: list(self._outcomes.get(watch.name, ())) for watch in self._watches}
        for each in collected:
            in_force = _by_place(outcome.rule for outcome in outcomes.get(each.source, ()) if outcome.is_served)
            outcomes[each.source] = [
                RuleOutcome(rule=rule, is_accepted=True, is_served=True)
                if rule in in_force.get(rule.where, ())
                else RuleOutcome(rule=rule, is_accepted=True, is_served=False, problems=(reason,))
                for rule in each.rules
            ]
        self._settle(outcomes)

    def start(self, supervisor: Supervisor) -> None:
        """Begin to take over what changes, if there are sources; a second call does nothing."""
        if self._watches and self._task is None:
            self._task = supervisor.start("routes of route sources", self.follow)

    async def follow(self) -> None:
        """Take over whatever changes, until cancelled."""
        clock = self._clock or asyncio.get_running_loop().time
        while True:
            await self._wait()
            await self._sleep(GATHER_S)
            self._changed.clear()
            if not self._has_failed and self.collect(self._watches) == self._tried:
                continue
            began_s, longest_gap_s = clock(), math.inf
            try:
                await self._apply()
            except ConfigurationError:
                # That took long because somebody was waited for, not because there was so much to do.
                self._has_failed, longest_gap_s = True, RETRY_S
            gap_s = min(GAP_PER_DURATION * (clock() - began_s), longest_gap_s)
            await self._sleep(max(SHORTEST_GAP_S, gap_s))

    def status(self) -> list[dict[str, object]]:
        """Return how the sources are doing, for ``/_gateway/status``."""
        return [
            {
                "name": watch.name,
                "hasPublished": watch.rules is not None,
                "rules": len(outcomes),
                "served": sum(each.is_served for each in outcomes),
                "problems": _problems(watch, outcomes),
            }
            for watch in self._watches
            for outcomes in (self._outcomes.get(watch.name, []),)
        ]

    @property
    def has_problems(self) -> bool:
        """Whether any rule is left out."""
        return any(not each.is_served for outcomes in self._outcomes.values() for each in outcomes)

    async def _wait(self) -> None:
        """Wait for a change, or until what could not be served is worth another try."""
        try:
            async with asyncio.timeout(RETRY_S if self._has_failed else None):
                await self._changed.wait()
        except TimeoutError:
            return

    def _settle(self, outcomes: dict[str, list[RuleOutcome]]) -> None:
        gone = self._outcomes.keys() - outcomes.keys()
        self._outcomes = outcomes
        for name in gone:
            for result in ("served", "left_out"):
                self._rules.remove(name, result)
        said = set[str]()
        for watch in self._watches:
            found = outcomes[watch.name]
            served = sum(each.is_served for each in found)
            self._rules.labels(watch.name, "served").set(served)
            self._rules.labels(watch.name, "left_out").set(len(found) - served)
            watch.tell(found)
            said.update(f"{watch.name}: {problem}" for problem in _problems(watch, found))
        for message in sorted(said - self._said):
            logger.warning("route source %s", message)
        # What is mended and goes wrong again is said again.
        self._said = said


def _checked(published: Sequence[object]) -> tuple[SourcedRule, ...]:
    for each in published:
        if not isinstance(each, SourcedRule):
            msg = f"{each!r} was published; publish gateway.SourcedRule objects"
            raise TypeError(msg)
    return tuple(each for each in published if isinstance(each, SourcedRule))


def _by_place(rules: Iterable[SourcedRule]) -> dict[str, list[SourcedRule]]:
    found: dict[str, list[SourcedRule]] = {}
    for rule in rules:
        found.setdefault(rule.where, []).append(rule)
    return found


def _problems(watch: SourceWatch, outcomes: Iterable[RuleOutcome]) -> list[str]:
    problems = (f"{clean(each.rule.where)}: {problem}" for each in outcomes for problem in each.problems)
    return [*filter(None, [watch.excess]), *itertools.islice(problems, MAX_REPORTED)]
