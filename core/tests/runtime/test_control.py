from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from gateway import (
    Config,
    DiscoveryRegistration,
    Endpoint,
    ErrorType,
    GatewayError,
    HealthCheckerRegistration,
    Response,
)
from gateway.errors import ConfigurationError, Problem
from gateway.interfaces import AdminRequest
from gateway.runtime import control as controlling
from gateway.runtime import watches
from gateway.runtime.control import ControlPlane
from gateway.services import ServiceDirectory

pytestmark = pytest.mark.anyio


class Plane:
    """A data plane that notes what it is told; ``refuses`` is what is wrong with the next configuration."""

    def __init__(self) -> None:
        self.directory = ServiceDirectory()
        self.told: list[str] = []
        self.available: list[int] = []
        self.refuses: Exception | None = None
        self.reports: list[Any] = []

    async def prepare(self, configuration: Any) -> None:
        self.told.append("prepare")
        if self.refuses is not None:
            raise self.refuses

    async def commit(self) -> None:
        self.told.append("commit")
        self.available = [each.endpoint.port for each in self.directory.instances("s")]

    async def discard(self) -> None:
        self.told.append("discard")

    def work(self) -> list[Any]:
        return self.reports

    async def workers(self) -> list[dict[str, object]]:
        return [{"worker": 1}]

    async def metrics(self) -> list[Any]:
        return []


class Options:
    """Loads whatever the test puts there."""

    def __init__(self, kit: Any) -> None:
        self.kit = kit
        self.text = SIMPLE
        self.error: Exception | None = None

    def load(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.kit.load(self.text)


SIMPLE = """\
router: {rules: [{id: all, path: "/*", serviceName: s}]}
registry: {fixed: {services: {s: [1]}}}
admin: {token: secret}
"""


@pytest.fixture
def plane():
    return Plane()


@pytest.fixture
def options(kit):
    return Options(kit)


@pytest.fixture
async def control(options, plane):
    made = ControlPlane(options, plane)
    yield made
    await asyncio.wait_for(made.stop(), 30)


async def ask(control: ControlPlane, path: str, method: str = "GET", authorization: str | None = "Bearer secret"):
    response = await control.answer_admin(AdminRequest(method=method, path=path), authorization)
    assert isinstance(response.body, bytes)
    return response.status, json.loads(response.body)


# Starting and reloading.


async def test_a_start_prepares_and_commits_and_is_ready(control, options, plane):
    assert not control.is_ready
    await control.start(options.load())
    assert control.is_ready
    assert plane.told == ["prepare", "commit"]


async def test_instances_are_there_before_the_first_request(control, options, plane):
    await control.start(options.load())
    assert plane.available == [1]


async def test_a_reload_serves_the_new_configuration(control, options, plane, caplog):
    caplog.set_level(logging.INFO, "gateway")
    await control.start(options.load())
    options.text = SIMPLE.replace("[1]", "[1, 2]").replace("all", "everything")
    await control.reload()
    assert plane.available == [1, 2]
    assert control.configuration.rules[0].route.id == "everything"
    assert "configuration reloaded: 1 routes" in caplog.text
    assert [each.endpoint.port for each in plane.directory.instances("s")] == [1, 2]


async def test_what_a_former_configuration_found_is_forgotten(control, options, plane):
    await control.start(options.load())
    before = plane.directory.instances("s")[0]
    before.in_flight = 3
    options.text = SIMPLE.replace("[1]", "[1, 2]")
    await control.reload()
    options.text = SIMPLE.replace("[1]", "[1, 3]")
    await control.reload()
    one, three = plane.directory.instances("s")
    assert (one is before, three.endpoint.port) == (True, 3)


async def test_discovery_that_stays_the_same_goes_on(control, options, kit):
    await control.start(options.load())
    await control.reload()
    assert kit.events.count("watch") == 1


@pytest.mark.parametrize(
    "error", [ConfigurationError([Problem("port taken")]), RuntimeError("a bug")], ids=["refusal", "bug"]
)
async def test_a_configuration_that_the_plane_refuses_changes_nothing(control, options, plane, error, caplog):
    await control.start(options.load())
    before = control.configuration
    options.text = SIMPLE.replace("[1]", "[2]")
    plane.refuses = error
    with pytest.raises(ConfigurationError):
        await control.reload()
    assert control.configuration is before
    assert [each.endpoint.port for each in plane.directory.instances("s")] == [1]
    assert len(control._store) == 1
    assert "the old one stays in force" in caplog.text
    plane.refuses = None
    await control.reload()
    assert [each.endpoint.port for each in plane.directory.instances("s")] == [2]


@pytest.mark.parametrize("error", [ConfigurationError([Problem("gateway.yaml:3:5: no")]), RuntimeError("a bug")])
async def test_a_file_that_cannot_be_loaded_changes_nothing(control, options, plane, error, caplog):
    await control.start(options.load())
    options.error = error
    with pytest.raises(ConfigurationError):
        await control.reload()
    assert str(error) in caplog.text
    assert plane.told == ["prepare", "commit"]


async def test_reloads_come_one_after_the_other(control, options, plane):
    await control.start(options.load())
    await asyncio.gather(*(control.reload() for _ in range(3)))
    assert plane.told == ["prepare", "commit"] * 4


async def test_warnings_are_logged_after_a_reload(control, options, kit, caplog):
    await control.start(options.load())
    options.text = SIMPLE + "disabledPlugins: [nothing]\n"
    await control.reload()
    assert "no plugin 'nothing' is installed" in caplog.text


async def test_when_it_stops_nothing_is_reloaded(control, options, plane):
    await control.start(options.load())
    control.refuse_traffic()
    assert not control.is_ready
    with pytest.raises(ConfigurationError, match="stopping"):
        await control.reload()
    assert plane.told == ["prepare", "commit"]


async def test_settling_waits_for_the_reload_that_is_under_way(control, options, plane):
    await control.start(options.load())
    go_on = asyncio.Event()
    prepare = plane.prepare

    began = asyncio.Event()

    async def slow(configuration):
        began.set()
        await go_on.wait()
        await prepare(configuration)

    plane.prepare = slow
    reloading = asyncio.ensure_future(control.reload())
    await asyncio.wait_for(began.wait(), 30)
    settling = asyncio.ensure_future(control.settle())
    await asyncio.sleep(0.05)
    assert not settling.done()
    go_on.set()
    await asyncio.wait_for(settling, 30)
    assert reloading.done()
    assert not control.is_ready


async def test_settling_does_not_wait_for_ever(control, options, plane, monkeypatch, caplog):
    monkeypatch.setattr(controlling, "SETTLE_TIMEOUT_S", 0.02)
    await control.start(options.load())

    began = asyncio.Event()

    async def stuck(configuration):
        began.set()
        await asyncio.Event().wait()

    plane.prepare = stuck
    reloading = asyncio.ensure_future(control.reload())
    await asyncio.wait_for(began.wait(), 30)
    await asyncio.wait_for(control.settle(), 10)
    assert "does not end" in caplog.text
    reloading.cancel()
    await asyncio.wait([reloading])


async def test_a_start_that_is_cancelled_leaves_nothing_behind(control, options, plane, kit):
    kit.add(kit.checker("checker", monitor=lambda self, directory: asyncio.Event().wait()))

    began = asyncio.Event()

    async def stuck():
        began.set()
        await asyncio.Event().wait()

    plane.commit = stuck
    options.text = SIMPLE + "plugins: {checker: {}}\n"
    starting = asyncio.ensure_future(control.start(options.load()))
    await asyncio.wait_for(began.wait(), 30)
    starting.cancel()
    await asyncio.wait([starting])
    await control.stop()
    assert kit.events == ["enter checker", "watch", "exit checker"]
    assert not control.is_ready


# Components.


async def test_everything_that_cannot_be_built_is_named(control, options, kit, plane):
    def build(config, context):
        raise OSError("no socket")

    kit.add(
        HealthCheckerRegistration(name="a", build=build),
        DiscoveryRegistration(name="b", build=build),
    )
    options.text = SIMPLE + "plugins: {a: {}, b: {}}\n"
    with pytest.raises(ConfigurationError) as refused:
        await control.start(options.load())
    assert len(refused.value.problems) == 2
    assert plane.told == []
    assert len(control._store) == 0


async def test_two_endpoints_of_one_path_are_refused(control, options, kit, plane):
    async def answer(request):
        return Response()

    kit.add(kit.endpoint("one", "/things", answer), kit.endpoint("two", "/things", answer))
    with pytest.raises(ConfigurationError, match="the endpoints under /_gateway cannot be served"):
        await control.start(options.load())
    assert plane.told == []


async def test_components_are_exited_in_reverse(control, options, kit):
    kit.add(
        kit.checker("first", monitor=lambda self, directory: asyncio.Event().wait()),
        kit.checker("second", monitor=lambda self, directory: asyncio.Event().wait()),
    )
    options.text = SIMPLE + "plugins: {first: {}, second: {}}\n"
    await control.start(options.load())
    await control.stop()
    assert [event for event in kit.events if event != "watch"] == [
        "enter first",
        "enter second",
        "exit second",
        "exit first",
    ]


async def test_deadlines_of_its_components_are_kept(control, options, kit, until):
    passed = []

    class Timed:
        deadline_s = 0.0

        def deadline_passed(self):
            passed.append(1)

    def build(config, context):
        context.deadlines.watch(Timed())
        return kit.component("checker", monitor=lambda self, directory: asyncio.Event().wait())(config, context)

    kit.add(HealthCheckerRegistration(name="checker", build=build))
    options.text = SIMPLE + "plugins: {checker: {}}\n"
    await control.start(options.load())
    await until(lambda: passed)


async def test_the_control_plane_serves_no_exchanges(control, options, kit):
    kit.add(kit.checker("checker", monitor=lambda self, directory: asyncio.Event().wait()))
    options.text = SIMPLE + "plugins: {checker: {}}\n"
    await control.start(options.load())
    exchange: Any = None
    with pytest.raises(AssertionError):
        kit.built[-1].context.serve(exchange)
    with pytest.raises(AssertionError):
        kit.built[-1].context.refuse(exchange, GatewayError(ErrorType.INTERNAL, ""))


# Discovery and health.


class Provider:
    """Publishes what it is told."""

    def __init__(self) -> None:
        self.publish: Any = None

    async def watch(self, publish: Any) -> None:
        self.publish = publish
        await asyncio.Event().wait()


def providing(kit: Any, provider: Any, name: str = "live") -> None:
    kit.add(DiscoveryRegistration(name=name, build=lambda config, context: provider))


class LiveConfig(Config):
    number: int = 0


def providing_each(kit: Any, name: str = "live") -> list[Provider]:
    """Provide another one for each configuration; returns them as they are built."""
    built: list[Provider] = []

    def build(config: LiveConfig, context: Any) -> Provider:
        built.append(Provider())
        return built[-1]

    kit.add(DiscoveryRegistration(name=name, build=build, config=LiveConfig))
    return built


async def test_slow_discovery_is_waited_for_and_not_for_long(control, options, kit, plane, monkeypatch, caplog):
    monkeypatch.setattr(watches, "FIRST_SNAPSHOT_TIMEOUT_S", 0.05)
    first, second = Provider(), Provider()
    providing(kit, first)
    providing(kit, second, "other")
    options.text = SIMPLE + "plugins: {live: {}, other: {}}\n"
    await control.start(options.load())
    assert caplog.text.count("has not found anything yet") == 2
    first.publish({"s": [Endpoint(address="192.0.2.9", port=9)]})
    assert [each.endpoint.port for each in plane.directory.instances("s")] == [1, 9]


async def test_a_reload_while_a_registry_is_down_keeps_what_was_found(
    control, options, kit, plane, monkeypatch, caplog
):
    """A provider with another configuration begins anew, and may reach nobody for a while."""
    monkeypatch.setattr(watches, "FIRST_SNAPSHOT_TIMEOUT_S", 0.05)
    built = providing_each(kit)
    options.text = SIMPLE + "plugins: {live: {}}\n"
    await control.start(options.load())
    built[-1].publish({"s": [Endpoint(address="192.0.2.9", port=9)]})
    caplog.clear()
    for number in range(2):
        options.text = SIMPLE + f"plugins: {{live: {{number: {number + 1}}}}}\n"
        await control.reload()
        assert ports(plane) == [1, 9]
    assert caplog.text.count("has not found anything yet; what was found before stays") == 2
    built[-1].publish({"s": [Endpoint(address="192.0.2.9", port=8)]})
    assert ports(plane) == [1, 8]
    options.text = SIMPLE
    await control.reload()
    assert ports(plane) == [1]


async def test_a_registry_that_is_taken_away_while_it_is_down_leaves_nothing(control, options, kit, plane, monkeypatch):
    monkeypatch.setattr(watches, "FIRST_SNAPSHOT_TIMEOUT_S", 0.05)
    built = providing_each(kit)
    options.text = SIMPLE + "plugins: {live: {}}\n"
    await control.start(options.load())
    built[-1].publish({"s": [Endpoint(address="192.0.2.9", port=9)]})
    options.text = SIMPLE + "plugins: {live: {number: 1}}\n"
    await control.reload()
    options.text = SIMPLE
    await control.reload()
    assert ports(plane) == [1]


def ports(plane: Any) -> list[int]:
    return [each.endpoint.port for each in plane.directory.instances("s")]


async def test_a_snapshot_is_a_copy(control, options, kit, plane, until):
    provider = Provider()
    providing(kit, provider)
    options.text = SIMPLE + "plugins: {live: {}}\n"
    starting = asyncio.ensure_future(control.start(options.load()))
    await until(lambda: provider.publish)
    snapshot = {"s": [Endpoint(address="192.0.2.9", port=9)]}
    provider.publish(snapshot)
    snapshot["s"].clear()
    await starting
    assert [each.endpoint.port for each in plane.directory.instances("s")] == [1, 9]


@pytest.mark.parametrize("nonsense", [["text"], [("192.0.2.1", 80)], [None]], ids=repr)
async def test_a_provider_that_publishes_nonsense_is_told_so(control, options, kit, plane, nonsense, until):
    provider = Provider()
    providing(kit, provider)
    options.text = SIMPLE + "plugins: {live: {}}\n"
    starting = asyncio.ensure_future(control.start(options.load()))
    await until(lambda: provider.publish)
    with pytest.raises(TypeError, match=r"publish gateway\.Endpoint objects"):
        provider.publish({"s": nonsense})
    provider.publish({"s": [Endpoint(address="192.0.2.9", port=9)]})
    await starting
    with pytest.raises(TypeError):
        provider.publish({"s": nonsense})
    assert [each.endpoint.port for each in plane.directory.instances("s")] == [1, 9]


async def test_a_provider_that_crashes_degrades_health_and_keeps_what_it_found(control, options, kit, plane, until):
    class Crashing:
        async def watch(self, publish):
            publish({"s": [Endpoint(address="192.0.2.9", port=9)]})
            raise OSError("connection lost")

    providing(kit, Crashing())
    options.text = SIMPLE + "plugins: {live: {}}\n"
    await control.start(options.load())
    await until(lambda: any(report.is_restarting for report in control.supervisor.reports()))
    assert (await ask(control, "/health"))[1]["status"] == "degraded"
    _, status = await ask(control, "/status")
    (crashed,) = [work for work in status["work"] if work["name"] == "discovery provider 'live'"]
    assert (crashed["state"], crashed["lastError"]) == ("restarting", "OSError: connection lost")
    assert [each.endpoint.port for each in plane.directory.instances("s")] == [1, 9]


async def test_a_checker_begins_when_its_configuration_is_in_force(control, options, kit, plane, until):
    async def monitor(self, directory):
        kit.events.append(f"monitor after {plane.told}")
        await asyncio.Event().wait()

    kit.add(kit.checker("checker", monitor=monitor))
    options.text = SIMPLE + "plugins: {checker: {}}\n"
    plane.refuses = ConfigurationError([Problem("no")])
    with pytest.raises(ConfigurationError):
        await control.start(options.load())
    assert not any(event.startswith("monitor") for event in kit.events)
    plane.refuses = None
    await control.start(options.load())
    await until(lambda: any(event.startswith("monitor") for event in kit.events))


async def test_when_the_last_checker_goes_everything_counts_as_working(control, options, kit, plane, until):
    async def monitor(self, directory):
        for instance in directory.instances("s"):
            directory.mark(instance, is_healthy=False, reason="500")
        await asyncio.Event().wait()

    kit.add(kit.checker("checker", monitor=monitor))
    options.text = SIMPLE + "plugins: {checker: {}}\n"
    await control.start(options.load())
    await until(lambda: plane.directory.service("s").available == ())
    await control.reload()
    assert plane.directory.service("s").available == ()
    options.text = SIMPLE
    await control.reload()
    assert len(plane.directory.service("s").available) == 1


# The endpoints.


async def test_while_it_starts_nothing_answers(control):
    with pytest.raises(GatewayError, match="the gateway is starting"):
        await ask(control, "/health")


async def test_readiness_follows_the_state(control, options):
    await control.start(options.load())
    assert await ask(control, "/ready", authorization=None) == (200, {"ready": True})
    control.refuse_traffic()
    assert await ask(control, "/ready", authorization=None) == (503, {"ready": False})
    assert (await ask(control, "/live"))[0] == 200


async def test_a_reload_can_be_asked_for(control, options, plane):
    await control.start(options.load())
    assert await ask(control, "/reload", "POST") == (200, {"reloaded": True})
    options.error = ConfigurationError([Problem("is wrong", where="gateway.yaml:3:5")])
    assert await ask(control, "/reload", "POST") == (
        422,
        {"reloaded": False, "problems": ["gateway.yaml:3:5: is wrong"]},
    )
    assert plane.told == ["prepare", "commit"] * 2


async def test_what_the_endpoints_show(control, options, plane, kit):
    await control.start(options.load())
    _, plugins = await ask(control, "/plugins")
    assert plugins["plugins"][0]["name"] == "kit"
    _, routes = await ask(control, "/routes")
    assert routes["routes"][0]["service"] == "s"
    _, services = await ask(control, "/services")
    assert services["services"][0]["instances"][0]["port"] == 1
    _, config = await ask(control, "/config")
    assert config["gateway"]["admin"]["token"] != "secret"
    _, status = await ask(control, "/status")
    assert (status["ready"], status["workers"]) == (True, [{"worker": 1}])


async def test_a_plugins_endpoint_that_fails_is_500_and_named(control, options, kit, caplog):
    async def answer(request):
        raise KeyError("the secret")

    kit.add(kit.endpoint("things", "/things/{id}", answer))
    await control.start(options.load())
    with pytest.raises(GatewayError) as refused:
        await ask(control, "/things/1")
    assert (refused.value.type, refused.value.message) == (ErrorType.INTERNAL, "internal error")
    assert "failed to answer GET /things/1" in caplog.text


async def test_a_plugins_endpoint_may_refuse(control, options, kit):
    async def answer(request):
        raise GatewayError(ErrorType.NOT_FOUND, f"no {request.params['id']}")

    kit.add(kit.endpoint("things", "/things/{id}", answer))
    await control.start(options.load())
    with pytest.raises(GatewayError, match="no 7"):
        await ask(control, "/things/7")


async def test_paths_are_relative_to_the_configuration(control, options, kit, tmp_path):
    kit.add(kit.checker("checker", monitor=lambda self, directory: asyncio.Event().wait()))
    options.text = SIMPLE + "plugins: {checker: {}}\n"
    await control.start(options.load())
    assert kit.built[-1].context.resolve("a.pem") == Path(tmp_path) / "a.pem"
