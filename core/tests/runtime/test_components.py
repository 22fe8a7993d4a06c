from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway import Config, Endpoint, PolicyRegistration
from gateway.config import Configured
from gateway.errors import ConfigurationError
from gateway.pluginhost import Plugin
from gateway.runtime.components import ComponentStore
from gateway.runtime.context import Surroundings
from gateway.runtime.supervision import Supervisor
from gateway.services import ServiceDirectory

pytestmark = pytest.mark.anyio

PLUGIN = Plugin(name="cache", distribution="gateway-cache")


class Sized(Config):
    size: int = 1
    secret: str = ""


@pytest.fixture
async def store():
    supervisor = Supervisor()
    nothing: Any = None
    yield ComponentStore(
        Surroundings(
            directory=ServiceDirectory(),
            deadlines=nothing,
            outbox=nothing,
            supervisor=supervisor,
            serve=nothing,
            refuse=nothing,
        )
    )
    await supervisor.stop()


class Thing:
    """Notes what happens to it."""

    def __init__(self, config: Any, context: Any) -> None:
        self.context = context
        self.notes: list[str] = []

    async def __aenter__(self) -> None:
        self.notes.append("entered")

    async def __aexit__(self, *error: object) -> None:
        self.notes.append("exited")


REGISTRATION = PolicyRegistration(name="cache", build=Thing, config=Sized)


def configured(config: Sized | None = None, build: Any = None) -> Configured:
    registration = REGISTRATION if build is None else PolicyRegistration(name="cache", build=build, config=Sized)
    return Configured(plugin=PLUGIN, registration=registration, config=config or Sized(), where="gateway.yaml:3:5")


async def entered(store, what: Configured):
    component = store.obtain(what)
    component.uses += 1
    await component.enter()
    return component


def problem(raised) -> str:
    (found,) = raised.value.problems
    return str(found)


# What they say of instances.


async def test_what_it_says_of_instances_stays_until_the_last_of_its_registration_goes(store):
    """A reload that changes its configuration must not let broken instances in for a moment."""
    directory = store._surroundings.directory
    directory.publish("static", {"orders": [Endpoint(address="192.0.2.1", port=1)]})
    (instance,) = directory.instances("orders")
    before = await entered(store, configured(Sized(size=1)))
    before.directory.mark(instance, is_healthy=False, reason="500")
    assert list(directory.marks(instance)) == ["policy 'cache'"]
    after = await entered(store, configured(Sized(size=2)))
    await store.release(before)
    assert not instance.is_healthy
    after.directory.mark(instance, is_healthy=False, reason="500")
    await store.release(after)
    assert instance.is_healthy
    await entered(store, configured(Sized(size=3)))


async def test_one_that_was_never_entered_takes_nothing_with_it(store):
    directory = store._surroundings.directory
    directory.publish("static", {"orders": [Endpoint(address="192.0.2.1", port=1)]})
    (instance,) = directory.instances("orders")
    used = await entered(store, configured(Sized(size=1)))
    used.directory.mark(instance, is_healthy=False, reason="500")
    unused = store.obtain(configured(Sized(size=2)))
    unused.uses += 1
    await store.release(unused)
    assert not instance.is_healthy


# Sharing.


async def test_equal_configurations_share_a_component(store):
    assert store.obtain(configured(Sized(size=3))) is store.obtain(configured(Sized(size=3)))
    assert store.obtain(configured(Sized(size=4))) is not store.obtain(configured(Sized(size=3)))
    assert len(store) == 2


async def test_other_code_makes_another_component(store):
    """A plugin file that was loaded again."""

    class NewThing(Thing):
        pass

    assert store.obtain(configured(build=NewThing)) is not store.obtain(configured())


async def test_a_component_of_its_own_is_not_shared(store):
    assert store.build(configured()) is not store.build(configured())
    assert len(store) == 0


async def test_what_was_built_and_never_used_is_forgotten(store):
    kept = store.obtain(configured(Sized(size=1)))
    kept.uses += 1
    unused = store.obtain(configured(Sized(size=2)))
    store.forget_unused()
    assert store.obtain(configured(Sized(size=1))) is kept
    assert store.obtain(configured(Sized(size=2))) is not unused


async def test_ten_thousand_components_are_found_and_released_quickly(store):
    components = [store.obtain(configured(Sized(size=size))) for size in range(10_000)]
    for component in components:
        component.uses += 1
    async with asyncio.timeout(30):
        for component in components:
            await store.release(component)
    assert len(store) == 0


async def test_a_component_that_cannot_be_built_is_named_with_its_place(store):
    def build(config, context):
        raise OSError("no such key")

    with pytest.raises(ConfigurationError) as raised:
        store.obtain(configured(build=build))
    assert problem(raised) == (
        "gateway.yaml:3:5: policy 'cache' (plugin 'cache' of gateway-cache) could not be built: OSError: no such key"
    )
    assert len(store) == 0


# Its life.


async def test_it_is_entered_once_and_exited_when_nobody_uses_it(store):
    component = await entered(store, configured())
    again = await entered(store, configured())
    assert again is component
    assert component.instance.notes == ["entered"]
    await store.release(component)
    assert component.instance.notes == ["entered"]
    await store.release(component)
    assert component.instance.notes == ["entered", "exited"]
    assert len(store) == 0


async def test_one_task_enters_and_exits(store):
    """A task group must be left where it was entered."""

    class Grouped(Thing):
        async def __aenter__(self) -> None:
            self.group = asyncio.TaskGroup()
            await self.group.__aenter__()

        async def __aexit__(self, *error: object) -> None:
            await self.group.__aexit__(*error)  # type: ignore[arg-type]  # handed on as they came
            self.notes.append("exited")

    component = await entered(store, configured(build=Grouped))
    await asyncio.create_task(store.release(component))
    assert component.instance.notes == ["exited"]


async def test_its_background_work_runs_while_it_is_entered(store):
    notes: list[str] = []

    class Busy:
        def __init__(self, config: Any, context: Any) -> None:
            context.background.start("work", self.work)

        async def work(self) -> None:
            notes.append("begun")
            try:
                await asyncio.Event().wait()
            finally:
                notes.append("ended")

    component = store.obtain(configured(build=Busy))
    assert component.has_life
    await asyncio.sleep(0)
    assert notes == []
    component.uses += 1
    await component.enter()
    await asyncio.sleep(0.001)
    assert notes == ["begun"]
    await store.release(component)
    assert notes == ["begun", "ended"]


async def test_what_has_no_life_needs_none(store):
    class Plain:
        def __init__(self, config: Any, context: Any) -> None:
            pass

    component = await entered(store, configured(build=Plain))
    assert not component.has_life
    await store.release(component)


# What goes wrong.


@pytest.mark.parametrize("error", [OSError("refused"), TimeoutError("of its own"), ExceptionGroup("two", [OSError()])])
async def test_a_component_that_cannot_be_entered_leaves_nothing_behind(store, error):
    class Broken(Thing):
        async def __aenter__(self) -> None:
            raise error

    with pytest.raises(ConfigurationError) as raised:
        await entered(store, configured(build=Broken))
    assert f"could not start: {type(error).__name__}: {error}" in problem(raised)
    await store.release(store.obtain(configured(build=Broken)))


async def test_after_a_failure_the_next_try_begins_anew(store):
    tries = []

    class Second(Thing):
        async def __aenter__(self) -> None:
            tries.append(1)
            if len(tries) == 1:
                raise OSError("refused")
            self.notes.append("entered")

    what = configured(build=Second)
    with pytest.raises(ConfigurationError):
        await entered(store, what)
    await store.release(store.obtain(what))
    assert len(store) == 0
    component = await entered(store, what)
    assert component.instance.notes == ["entered"]
    await store.release(component)


async def test_a_component_that_cancels_itself_while_it_is_entered_is_not_waited_for(store):
    class Odd(Thing):
        async def __aenter__(self) -> None:
            raise asyncio.CancelledError

    async with asyncio.timeout(30):
        with pytest.raises(ConfigurationError, match="it was cancelled"):
            await entered(store, configured(build=Odd))


async def test_a_component_that_takes_too_long_is_given_up(store, monkeypatch):
    monkeypatch.setattr("gateway.runtime.components.ENTER_TIMEOUT_S", 0.02)
    notes: list[str] = []

    class Slow(Thing):
        async def __aenter__(self) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                notes.append("cancelled")

    with pytest.raises(ConfigurationError, match="did not start within 0 s"):
        await entered(store, configured(build=Slow))
    await store.release(store.obtain(configured(build=Slow)))
    await asyncio.sleep(0)
    assert notes == ["cancelled"]


async def test_a_component_is_not_waited_for_when_nobody_wants_it_any_more(store, until, monkeypatch):
    """The gateway was told to stop while it starts."""
    for patience in ("ENTER_TIMEOUT_S", "EXIT_TIMEOUT_S"):
        monkeypatch.setattr(f"gateway.runtime.components.{patience}", 300.0)
    notes: list[str] = []

    class Slow(Thing):
        async def __aenter__(self) -> None:
            notes.append("begun")
            try:
                await asyncio.Event().wait()
            finally:
                notes.append("cancelled")

    entering = asyncio.ensure_future(entered(store, configured(build=Slow)))
    await until(lambda: notes)
    entering.cancel()
    await asyncio.wait([entering])
    async with asyncio.timeout(30):
        await store.release(store.obtain(configured(build=Slow)))
    assert notes == ["begun", "cancelled"]


async def test_one_that_says_it_is_not_current_any_more_is_built_anew(store):
    """One that read files may find that they are others now."""

    class Aging(Thing):
        is_old = False

        def is_current(self) -> bool:
            return not self.is_old

    what = configured(build=Aging)
    first = await entered(store, what)
    assert store.obtain(what) is first
    first.instance.is_old = True
    second = await entered(store, what)
    assert second is not first
    await store.release(first)
    assert first.instance.notes == ["entered", "exited"]
    assert store.obtain(what) is second
    await store.release(second)


async def test_one_that_fails_while_it_stops_is_logged(store, caplog):
    class Broken(Thing):
        async def __aexit__(self, *error: object) -> None:
            raise OSError("still busy")

    await store.release(await entered(store, configured(build=Broken)))
    assert "policy 'cache' failed while it stopped" in caplog.text


async def test_one_that_does_not_stop_is_cancelled(store, monkeypatch, caplog):
    monkeypatch.setattr("gateway.runtime.components.EXIT_TIMEOUT_S", 0.02)
    notes: list[str] = []

    class Slow(Thing):
        async def __aexit__(self, *error: object) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                notes.append("cancelled")

    await store.release(await entered(store, configured(build=Slow)))
    assert notes == ["cancelled"]
    assert "did not stop within 0 s" in caplog.text


async def test_one_that_breaks_down_in_between_is_logged_then(store, caplog):
    class Grouped(Thing):
        async def __aenter__(self) -> None:
            self.group = asyncio.TaskGroup()
            await self.group.__aenter__()
            self.group.create_task(self.fail())

        async def fail(self) -> None:
            raise OSError("broken pipe")

        async def __aexit__(self, *error: object) -> None:
            await self.group.__aexit__(*error)  # type: ignore[arg-type]  # handed on as they came

    component = await entered(store, configured(build=Grouped))
    for _ in range(5):
        await asyncio.sleep(0)
    assert "out of order until the configuration is reloaded" in caplog.text
    await store.release(component)
