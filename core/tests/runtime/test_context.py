from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.runtime.context import ComponentContext, Surroundings
from gateway.runtime.supervision import Supervisor

pytestmark = pytest.mark.anyio


@pytest.fixture
async def surroundings():
    supervisor = Supervisor()
    nothing: Any = None
    yield Surroundings(
        directory=nothing, deadlines=nothing, outbox=nothing, supervisor=supervisor, serve=nothing, refuse=nothing
    )
    await supervisor.stop()


def context(surroundings, kind="policy", name="cache"):
    plugin: Any = SimpleNamespace(distribution="gateway-cache", name="cache")
    return ComponentContext(kind, name, plugin, surroundings)


async def test_the_logger_is_the_distributions(surroundings):
    assert context(surroundings).logger.name == "gateway.plugins.gateway-cache"


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


async def test_background_work_begins_when_the_component_is_entered(surroundings):
    made, early, late = context(surroundings), Work(), Work()
    assert not made.has_background
    made.background.start("refresh", early)
    assert made.has_background
    await asyncio.sleep(0)
    assert early.state == "not begun"
    made.start_background()
    made.background.start("more", late)
    await asyncio.sleep(0)
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
