from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway import AdminRequest, GatewayError
from gateway.runtime.context import ComponentContext, Surroundings
from gateway.runtime.supervision import Supervisor
from gateway.services import ServiceDirectory

pytestmark = pytest.mark.anyio


@pytest.fixture
async def surroundings():
    supervisor = Supervisor()
    nothing: Any = None
    yield Surroundings(
        directory=ServiceDirectory(),
        deadlines=nothing,
        outbox=nothing,
        supervisor=supervisor,
        serve=nothing,
        refuse=nothing,
    )
    await supervisor.stop()


def context(surroundings, kind="policy", name="cache"):
    plugin: Any = SimpleNamespace(distribution="gateway-cache", name="cache")
    return ComponentContext(kind, name, plugin, surroundings)


async def test_the_logger_is_the_distributions(surroundings):
    assert context(surroundings).logger.name == "gateway.plugins.gateway-cache"


async def test_it_asks_what_strangers_may_ask(surroundings):
    async def answer(request, authorization):
        return request.path, authorization

    request = AdminRequest(method="GET", path="/ready")
    with pytest.raises(GatewayError, match="nobody answers"):
        await context(surroundings).ask_admin(request)
    surroundings.answer_admin = answer
    assert await context(surroundings).ask_admin(request) == ("/ready", None)


async def test_paths_are_relative_to_the_configuration(surroundings):
    surroundings.folder = Path("/etc/gateway")
    assert context(surroundings).resolve("keys/a.pem") == Path("/etc/gateway/keys/a.pem")
    assert context(surroundings).resolve("/a.pem") == Path("/a.pem")
    assert context(surroundings).resolve("~/a.pem") == Path("~/a.pem").expanduser()  # noqa: ASYNC240 - nothing else runs on this loop


async def test_what_is_kept_outlives_the_component(surroundings):
    window = context(surroundings).keep("window", list)
    assert context(surroundings).keep("window", list) is window
    assert context(surroundings).keep("other", list) is not window
    assert context(surroundings, name="other").keep("window", list) is not window
    assert context(surroundings, kind="observer").keep("window", list) is not window


class Work:
    def __init__(self) -> None:
        self.state = "not begun"

    async def __call__(self) -> None:
        self.state = "running"
        try:
            await asyncio.Event().wait()
        finally:
            self.state = "ended"


async def test_background_work_begins_when_the_component_is_entered(surroundings, until):
    made, early, late = context(surroundings), Work(), Work()
    assert not made.has_background
    made.background.start("refresh", early)
    assert made.has_background
    await asyncio.sleep(0)
    assert early.state == "not begun"
    made.start_background()
    made.background.start("more", late)
    await until(lambda: late.state == "running")
    assert (early.state, late.state) == ("running", "running")
    assert [report.name for report in surroundings.supervisor.reports()] == [
        "policy cache: more",
        "policy cache: refresh",
    ]
    await made.stop_background()
    assert (early.state, late.state) == ("ended", "ended")


async def test_a_component_that_was_exited_starts_nothing(surroundings):
    """Nobody would end it."""
    made = context(surroundings)
    made.start_background()
    await made.stop_background()
    with pytest.raises(RuntimeError, match="policy 'cache' was exited; it cannot start 'refresh'"):
        made.background.start("refresh", Work())


async def test_work_that_is_done_is_forgotten(surroundings):
    """A component may start some for every event."""
    made = context(surroundings)
    made.start_background()

    async def short() -> None:
        pass

    for _ in range(10):
        made.background.start("event", short)
    for _ in range(5):
        await asyncio.sleep(0)
    assert not made.has_background


async def test_what_is_exposed_is_made_when_it_is_collected_with_what_comes_along(surroundings):
    class Everybody:
        async def exposed(self, plugin, key, *arguments):
            return surroundings.exposes(plugin, key, *arguments)

    made: list[Any] = []

    def noted(*arguments):
        made.append(arguments)
        return len(made)

    context(surroundings).expose("breakers", noted)
    with pytest.raises(RuntimeError, match="serves requests"):
        await context(surroundings).collect("breakers")
    surroundings.gather = cast("Any", Everybody())
    asking = context(surroundings, kind="admin route", name="breakers")
    assert await asking.collect("breakers") == [1]
    assert await asking.collect("breakers", "orders", 3) == [2]
    assert await asking.collect("nothing") == []
    assert made == [(), ("orders", 3)]


# What is measured, and what components see of each other.


class Gathered:
    """A control plane of one worker, whose surroundings it knows."""

    def __init__(self, surroundings: Any) -> None:
        self.surroundings = surroundings

    async def metrics(self) -> Any:
        return self.surroundings.metrics.snapshot()

    async def exposed(self, plugin: str, key: str) -> Any:
        return self.surroundings.exposes(plugin, key)


async def test_components_count_in_one_place(surroundings):
    context(surroundings).metrics.counter("a_total", "A.").labels().add()
    context(surroundings, name="other").metrics.counter("a_total", "A.").labels().add()
    (family,) = surroundings.metrics.snapshot()
    assert family.series == {(): 2.0}


async def test_the_control_plane_knows_what_all_workers_count(surroundings):
    surroundings.gather = Gathered(surroundings)
    context(surroundings).metrics.counter("a_total", "A.").labels().add()
    (family,) = await context(surroundings, kind="admin route").gather_metrics()
    assert (family.name, family.series) == ("a_total", {(): 1.0})


async def test_a_component_that_serves_knows_of_no_other_worker(surroundings):
    with pytest.raises(RuntimeError, match="policy 'cache' serves requests; only components of the control plane"):
        await context(surroundings).gather_metrics()
    with pytest.raises(RuntimeError, match="only components of the control plane"):
        await context(surroundings).collect("state")


async def test_what_a_component_exposes_is_collected_as_it_is_then(surroundings):
    surroundings.gather = Gathered(surroundings)
    state = ["closed"]
    context(surroundings).expose("state", lambda: list(state))
    admin = context(surroundings, kind="admin route", name="breakers")
    assert await admin.collect("state") == [["closed"]]
    state.append("open")
    assert await admin.collect("state") == [["closed", "open"]]
    assert await admin.collect("other") == []


async def test_the_last_component_that_exposes_something_is_the_one_that_is_asked(surroundings):
    """A reload builds the next one before it exits the one before."""
    surroundings.gather = Gathered(surroundings)
    before, after = context(surroundings), context(surroundings)
    before.expose("state", lambda: "before")
    after.expose("state", lambda: "after")
    await before.stop_background()
    assert await after.collect("state") == ["after"]
    await after.stop_background()
    assert await after.collect("state") == []


async def test_a_component_that_ends_early_leaves_what_an_earlier_one_exposes(surroundings):
    """A reload that fails exits what it built, and the one before goes on."""
    surroundings.gather = Gathered(surroundings)
    before, after = context(surroundings), context(surroundings)
    before.expose("state", lambda: "before")
    after.expose("state", lambda: "after")
    await after.stop_background()
    assert await before.collect("state") == ["before"]


async def test_shared_memory_is_the_plugins(surroundings):
    asked = []

    async def obtain(plugin: str, key: str, size_bytes: int) -> Any:
        asked.append((plugin, key, size_bytes))

    surroundings.shared_memory = obtain
    await context(surroundings).shared_memory("buckets", 64)
    assert asked == [("cache", "buckets", 64)]
