"""When what route sources publish is taken over, and what is said of it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from gateway import RouteSourceConfig, RouteSourceRegistration, SourcedRule
from gateway.config import Verdict
from gateway.errors import ConfigurationError, Problem
from gateway.metrics import Metrics
from gateway.runtime.route_sources import GAP_PER_DURATION, RETRY_S, RouteSources
from gateway.runtime.supervision import Supervisor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.interfaces import PublishRules, RuleOutcome
    from gateway.runtime.route_sources import SourceWatch

pytestmark = pytest.mark.anyio


def rule(path: str, where: str = "here") -> SourcedRule:
    return SourcedRule(rule={"path": path}, where=where)


class Source:
    """Hands out the door through which rules are published, and notes what became of them."""

    def __init__(self) -> None:
        self.publish: PublishRules = lambda rules: None
        self.outcomes: Sequence[RuleOutcome] = ()
        self.fails = False

    async def watch(self, publish: PublishRules) -> None:
        self.publish = publish
        publish([])
        await asyncio.Event().wait()

    def settled(self, outcomes: Sequence[RuleOutcome]) -> None:
        self.outcomes = outcomes
        if self.fails:
            raise RuntimeError("a bug")


class Bench:
    """Route sources with a clock of their own, and a gateway that takes over everything, or refuses."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.slept: list[float] = []
        self.took_s = 0.0
        self.refusal: str | None = None
        self.bad: dict[str, str] = {}
        self.served: list[list[str]] = []
        self.metrics = Metrics()
        self.sources = RouteSources(self.apply, self.metrics, sleep=self.sleep, clock=lambda: self.now_s)
        self.supervisor = Supervisor()
        self.source = Source()
        registration = RouteSourceRegistration(name="live", build=lambda config, context: None)
        configured = SimpleNamespace(name="live", registration=registration, config=RouteSourceConfig(max_rules=3))
        self.watch: SourceWatch = self.sources.watch(cast("Any", configured), self.source)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds
        await asyncio.sleep(0)

    async def apply(self) -> None:
        collected = self.sources.collect([self.watch])
        self.now_s += self.took_s
        if self.refusal is not None:
            self.sources.refuse(collected, self.refusal)
            raise ConfigurationError([Problem(self.refusal)])
        verdicts = [
            Verdict(source="live", rule=each, block=cast("Any", each.rule))
            if each.where not in self.bad
            else Verdict(source="live", rule=each, problems=(self.bad[each.where],))
            for each in collected[0].rules
        ]
        self.served.append([str(each.rule["path"]) for each in collected[0].rules])
        self.sources.serve([self.watch], collected, cast("Any", SimpleNamespace(verdicts=verdicts)))

    async def start(self) -> None:
        self.watch.start(self.supervisor)
        await asyncio.wait_for(self.watch.has_published.wait(), 30)
        await self.apply()
        self.served.clear()
        self.sources.start(self.supervisor)

    async def until(self, count: int) -> None:
        async with asyncio.timeout(30):
            while len(self.served) < count:  # noqa: ASYNC110 - what it waits for has no event
                await asyncio.sleep(0)

    def counted(self) -> dict[tuple[str, ...], float]:
        (family,) = [each for each in self.metrics.snapshot() if each.name == "gateway_route_source_rules"]
        return {labels: value for labels, value in family.series.items() if isinstance(value, float)}


@pytest.fixture
async def bench():
    bench = Bench()
    yield bench
    await bench.watch.end()
    await bench.supervisor.stop()


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_what_changes_together_is_taken_over_together_and_not_all_the_time(bench):
    await bench.start()
    bench.source.publish([rule("/a")])
    bench.source.publish([rule("/a"), rule("/b")])
    await bench.until(1)
    bench.source.publish([rule("/c")])
    await bench.until(2)
    assert bench.served == [["/a", "/b"], ["/c"]]
    assert bench.slept[:4] == [0.05, 0.5, 0.05, 0.5]


async def test_a_large_configuration_is_taken_over_less_often(bench):
    await bench.start()
    bench.took_s = 3.0
    bench.source.publish([rule("/a")])
    await bench.until(1)
    await turns()
    assert bench.slept == [0.05, 3.0 * GAP_PER_DURATION]


async def test_what_comes_back_in_time_was_never_gone(bench):
    await bench.start()
    bench.source.publish([rule("/a")])
    bench.source.publish([])
    await turns()
    assert bench.served == []


async def test_another_order_is_a_change(bench):
    """Of two that conflict the first is served."""
    await bench.start()
    bench.source.publish([rule("/b"), rule("/a")])
    await bench.until(1)
    bench.source.publish([rule("/a"), rule("/b")])
    await bench.until(2)
    assert bench.served == [["/b", "/a"], ["/a", "/b"]]


async def test_a_source_may_have_so_many_rules(bench):
    await bench.start()
    bench.source.publish([rule(f"/{n}", f"{n}") for n in range(5)])
    await bench.until(1)
    assert bench.served == [["/0", "/1", "/2"]]
    (status,) = bench.sources.status()
    assert status["problems"] == ["there are 5 rules; the first 3 count"]


async def test_a_source_is_told_what_became_of_its_rules(bench, caplog):
    await bench.start()
    good, bad = rule("/good", "one"), rule("/bad", "two")
    bench.bad["two"] = "no"
    bench.source.publish([good, bad])
    await bench.until(1)
    one, two = bench.source.outcomes
    assert (one.rule is good, one.is_accepted, one.is_served, one.problems) == (True, True, True, ())
    assert (two.rule is bad, two.is_accepted, two.is_served, two.problems) == (True, False, False, ("no",))
    assert bench.counted() == {("live", "served"): 1.0, ("live", "left_out"): 1.0}
    assert [each.getMessage() for each in caplog.records if each.name == "gateway.routes"] == [
        "route source live: two: no"
    ]
    bench.source.publish([bad])
    await bench.until(2)
    assert len(caplog.records) == 1  # it was said
    bench.bad.clear()
    bench.source.publish([bad, good])
    await bench.until(3)
    bench.bad["two"] = "no"
    bench.source.publish([bad])
    await bench.until(4)
    assert len(caplog.records) == 2  # it was mended meanwhile


async def test_a_source_that_fails_when_it_is_told_harms_nobody(bench, caplog):
    await bench.start()
    bench.source.fails = True
    bench.source.publish([rule("/a")])
    await bench.until(1)
    assert "route source 'live' failed when it was told" in caplog.text
    bench.source.publish([rule("/b")])
    await bench.until(2)


async def test_what_cannot_be_served_is_said_and_tried_again(bench, monkeypatch):
    monkeypatch.setattr("gateway.runtime.route_sources.RETRY_S", 0.01)
    assert RETRY_S > 1
    await bench.start()
    bench.source.publish([rule("/a", "one")])
    await bench.until(1)
    bench.refusal = "port taken"
    bench.source.publish([rule("/a", "one"), rule("/b", "two")])
    async with asyncio.timeout(30):
        while len(bench.source.outcomes) < 2:  # noqa: ASYNC110 - what it waits for has no event
            await asyncio.sleep(0)
    one, two = bench.source.outcomes
    assert (one.is_served, two.is_accepted, two.is_served, two.problems) == (True, True, False, ("port taken",))
    bench.refusal = None
    await bench.until(2)
    assert all(each.is_served for each in bench.source.outcomes)


async def test_what_took_long_to_fail_is_tried_again_as_soon_as_anything_else(bench):
    await bench.start()
    bench.took_s, bench.refusal = 30.0, "worker 2 cannot prepare"
    bench.source.publish([rule("/a")])
    async with asyncio.timeout(30):
        while len(bench.slept) < 2:  # noqa: ASYNC110 - what it waits for has no event
            await asyncio.sleep(0)
    assert bench.slept[1] == RETRY_S


async def test_only_rules_can_be_published(bench, caplog):
    await bench.start()
    with pytest.raises(TypeError, match=r"publish gateway\.SourcedRule objects"):
        bench.source.publish(cast("Any", [{"path": "/a"}]))
