from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import threading
import time
import weakref
from typing import Any

import pytest

from gateway import (
    BalancerRegistration,
    Body,
    Endpoint,
    ErrorType,
    Exchange,
    PolicyRegistration,
    Request,
    Response,
    Stage,
)
from gateway.errors import ConfigurationError
from gateway.runtime.dataplane import DataPlane

pytestmark = pytest.mark.anyio

RULES = """\
router:
  rules:
    - {id: users, path: "/users/:id", methods: [GET, PUT], serviceName: s}
    - {id: all, path: "/files/*", serviceName: s}
registry: {fixed: {services: {s: [1]}}}
"""


@pytest.fixture
async def plane():
    made = DataPlane(no_admin)
    made.directory.publish("test", {"s": [Endpoint(address="192.0.2.1", port=1)]})
    yield made
    await asyncio.wait_for(made.stop(0), 30)


async def no_admin(request: Any, authorization: str | None) -> Response:
    return Response.text(f"admin {request.method} {request.path} {authorization}")


async def serve(plane: DataPlane, configuration: Any) -> None:
    await plane.prepare(configuration)
    await plane.commit()


# Requests.


async def test_a_request_goes_to_its_route(plane, kit, connect):
    await serve(plane, kit.load(RULES))
    client = await connect(plane.addresses()[0])
    assert await client.ask("GET /files/a/../b") == "200 /files/b"
    assert await client.ask("GET /files/b") == "200 /files/b"


async def test_what_no_route_matches_is_404(plane, kit, connect):
    await serve(plane, kit.load(RULES))
    client = await connect(plane.addresses()[0])
    for _ in range(2):
        assert (await client.ask("GET /nothing")).startswith("404 ")


async def test_the_wrong_method_is_405_with_allow(plane, kit, connect):
    seen = []

    def wrap(self, next, route):  # noqa: A002 - the interface's name
        async def look(exchange):
            response = await next(exchange)
            seen.append((exchange.route.id, response.status, response.headers.get("allow")))
            return response

        return look

    kit.add(kit.policy("edge", stage=Stage.EDGE, wrap=wrap))
    await serve(plane, kit.load(RULES + "plugins: {edge: {}}\n"))
    client = await connect(plane.addresses()[0])
    assert (await client.ask("DELETE /users/1")).startswith("405 ")
    assert (await client.ask("GET /users/1")) == "200 /users/1"
    assert (await client.ask("GET /%zz")).startswith("400 ")
    assert (await client.ask("! /")).startswith("400 ")
    assert seen == [
        ("gateway.unmatched", 405, "GET, HEAD, PUT"),
        ("users", 200, None),
        ("gateway.unmatched", 400, None),
        ("gateway.unmatched", 400, None),
    ]


async def test_refusals_are_compiled_once(plane, kit, connect):
    """Clients have as many as they like."""
    wrapped = []

    def wrap(self, next, route):  # noqa: A002 - the interface's name
        wrapped.append(route.id)
        return next

    kit.add(kit.policy("edge", stage=Stage.EDGE, wrap=wrap))
    await serve(plane, kit.load(RULES + "plugins: {edge: {}}\n"))
    client = await connect(plane.addresses()[0])
    before = len(wrapped)
    for line in ("DELETE /users/1", "GET /%zz", "! /", "GET /nothing") * 3:
        assert (await client.ask(line))[0] == "4"
    assert len(wrapped) == before


async def test_observers_see_refusals(plane, kit, connect):
    seen = []

    def exchange_finished(self, exchange):
        seen.append((exchange.response.status, exchange.error.type))

    kit.add(kit.observer("log", exchange_finished=exchange_finished))
    await serve(plane, kit.load(RULES + "plugins: {log: {}}\n"))
    client = await connect(plane.addresses()[0])
    await client.ask("GET /nothing")
    await client.ask("! /")
    assert seen == [(404, ErrorType.NOT_FOUND), (400, ErrorType.BAD_REQUEST)]


async def test_the_gateways_own_endpoints_go_to_the_control_plane(plane, kit, connect):
    await serve(plane, kit.load())
    client = await connect(plane.addresses()[0])
    assert await client.ask("GET /_gateway/health") == "200 admin GET /health None"


async def test_parameters_are_shared_and_cannot_be_changed(plane, kit, connect):
    def answer(exchange):
        with contextlib.suppress(TypeError):
            exchange.params["id"] = "changed"
        return Response.text(exchange.params["id"])

    kit.answer = answer
    await serve(plane, kit.load(RULES))
    client = await connect(plane.addresses()[0])
    assert [await client.ask("GET /users/7") for _ in range(3)] == ["200 7"] * 3


async def test_a_route_without_a_service_that_nothing_answers_is_503(plane, kit, connect):
    kit.add(kit.policy("answering"))
    await serve(
        plane,
        kit.load('router: {rules: [{path: "/*", plugins: {answering: {}}}]}\n'),
    )
    client = await connect(plane.addresses()[0])
    assert (await client.ask()).startswith("503 ")
    assert plane.directory.instances("") == ()


# Reloading.


async def test_what_stays_the_same_keeps_its_components(plane, kit):
    await serve(plane, kit.load())
    adapter, connector = plane._generation.adapters[0], kit.built[-1]
    await serve(plane, kit.load(f"{RULES}# another text\n"))
    assert plane._generation.adapters == [adapter]
    assert kit.built.count(connector) == 1
    assert kit.events == ["enter connector"]


async def test_what_changes_is_entered_before_the_old_one_is_exited(plane, kit, until):
    await serve(plane, kit.load(RULES + "backend: {kit: {suffix: 1}}\n"))
    await serve(plane, kit.load(RULES + "backend: {kit: {suffix: 2}}\n"))
    await until(lambda: len(kit.events) == 3)
    assert kit.events == ["enter connector1", "enter connector2", "exit connector1"]


async def test_exchanges_under_way_finish_with_what_they_began_with(plane, kit, connect, until):
    release = asyncio.Event()

    async def slow(exchange):
        await release.wait()
        return Response.text("finished")

    kit.answer = slow
    await serve(plane, kit.load(RULES + "backend: {kit: {suffix: 1}}\n"))
    client = await connect(plane.addresses()[0])
    asking = asyncio.ensure_future(client.ask("GET /files/a"))
    await until(lambda: plane.in_flight() == 1)
    await serve(plane, kit.load(RULES + "backend: {kit: {suffix: 2}}\n"))
    await asyncio.sleep(0.05)
    assert kit.events == ["enter connector1", "enter connector2"]
    assert plane.in_flight() == 1
    release.set()
    assert await asking == "200 finished"
    await until(lambda: kit.events[-1] == "exit connector1")
    assert plane.in_flight() == 0


async def test_connections_outlive_their_adapter(plane, kit, connect, until, monkeypatch):
    """A changed listener configuration must not cut anybody who is connected."""
    monkeypatch.setattr("gateway.runtime.generation.RETIRE_POLL_S", 0.01)
    await serve(plane, kit.load(RULES + "frontend: {line: {greeting: one}}\n"))
    (address,) = plane.addresses()
    old = await connect(address)
    assert await old.line() == "one"
    for greeting in ("two", "three"):
        await serve(plane, kit.load(RULES + f"frontend: {{line: {{greeting: {greeting}}}}}\n"))
    assert plane.addresses() == [address]
    new = await connect(address)
    assert await new.line() == "three"
    assert await old.ask("GET /files/a") == "200 /files/a"
    assert plane.connections() == 2
    await asyncio.sleep(0.05)
    assert len(plane._adapters()) == 2
    old.writer.close()
    await until(lambda: len(plane._adapters()) == 1)
    assert await new.ask("GET /files/b") == "200 /files/b"


async def test_an_adapter_that_is_exited_waits_for_its_connections(plane, kit, connect, until, monkeypatch):
    monkeypatch.setattr("gateway.runtime.generation.RETIRE_POLL_S", 0.01)
    kit.add(kit.policy("p"))
    registration = kit.offers["line"]
    entered = kit.component("adapter")

    def build(config, context):
        adapter = registration.build(config, context)
        component = entered(config, context)
        component.label = f"adapter {config.greeting}"
        adapter.__class__ = type("Entered", (type(adapter),), {})
        type(adapter).__aenter__ = lambda self: component.__aenter__()
        type(adapter).__aexit__ = lambda self, *error: component.__aexit__(*error)
        return adapter

    kit.offers["line"] = type(registration)(**{**vars(registration), "build": build})
    await serve(plane, kit.load(RULES + "frontend: {line: {greeting: one}}\n"))
    old = await connect(plane.addresses()[0])
    await old.line()
    await serve(plane, kit.load(RULES + "frontend: {line: {greeting: two}}\n"))
    await asyncio.sleep(0.05)
    assert [event for event in kit.events if "adapter" in event] == ["enter adapter one", "enter adapter two"]
    old.writer.close()
    await until(lambda: "exit adapter one" in kit.events)


async def test_ten_reloads_leave_nothing_behind(plane, kit, connect, until, monkeypatch):
    monkeypatch.setattr("gateway.runtime.generation.RETIRE_POLL_S", 0.01)
    for number in range(10):
        text = f"backend: {{kit: {{suffix: {number}}}}}\nfrontend: {{line: {{greeting: g{number}}}}}\n"
        await serve(plane, kit.load(RULES + text))
        client = await connect(plane.addresses()[0])
        assert await client.line() == f"g{number}"
        client.writer.close()
    await until(lambda: len(plane._generations()) == 1)
    assert len(plane._store) == 2
    assert len(plane._adapters()) == 1


async def test_a_retired_generation_is_freed_without_the_garbage_collector(plane, kit, connect, until):
    """It may hold ten thousand routes, and the collector does not look for hours."""
    await serve(plane, kit.load(RULES))
    client = await connect(plane.addresses()[0])
    for line in ("GET /files/a", "GET /nothing", "DELETE /users/1", "GET /_gateway/health"):
        await client.ask(line)
    gc.collect()
    gc.disable()
    try:
        reference = weakref.ref(plane._generation)
        routes = [weakref.ref(entry.target.handler) for entry in plane._generation.table.entries]
        await serve(plane, kit.load(RULES))
        await until(lambda: len(plane._generations()) == 1)
        await until(lambda: reference() is None)
        assert [route() for route in routes] == [None, None, None]
    finally:
        gc.enable()


async def test_ten_thousand_routes_do_not_stop_the_ones_that_are_served(plane, kit):
    """Compiling them takes a second, of which the event loop must have its share."""
    rules = "".join(f'    - {{id: r{number}, path: "/r{number}/*", serviceName: s}}\n' for number in range(10_000))
    configuration = kit.load(f"router:\n  rules:\n{rules}registry: {{fixed: {{services: {{s: [1]}}}}}}\n")
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.001)
            turns += 1

    counting = asyncio.ensure_future(count())
    started_s = time.process_time()  # what other programs do meanwhile is no concern of this one
    await plane.prepare(configuration)
    took_s = time.process_time() - started_s
    counting.cancel()
    assert turns > 10 * took_s
    assert took_s < 20


# What cannot be served.


async def test_a_failure_to_build_names_everything_and_changes_nothing(plane, kit, connect):
    await serve(plane, kit.load(RULES))

    def build(config, context):
        raise OSError(f"cannot {config.name}")

    kit.add(
        PolicyRegistration(name="a", build=build, config=type(kit.policy("x").config())),
        PolicyRegistration(name="b", build=build, config=type(kit.policy("x").config())),
    )
    with pytest.raises(ConfigurationError) as refused:
        await plane.prepare(
            kit.load(RULES + "plugins: {a: {name: one}, b: {name: two}}\nbackend: {kit: {suffix: 2}}\n")
        )
    assert [str(problem).rpartition(" ")[2] for problem in refused.value.problems] == ["one", "two"]
    assert len(plane._store) == 2
    assert kit.events == ["enter connector"]
    client = await connect(plane.addresses()[0])
    assert await client.ask("GET /files/a") == "200 /files/a"


async def test_what_fails_for_every_rule_is_said_once(plane, kit):
    def build(config, context):
        raise OSError("no key")

    kit.add(PolicyRegistration(name="a", build=build))
    rules = "".join(f'    - {{path: "/r{number}", serviceName: s}}\n' for number in range(50))
    text = f"router:\n  rules:\n{rules}registry: {{fixed: {{services: {{s: [1]}}}}}}\nplugins: {{a: {{}}}}\n"
    with pytest.raises(ConfigurationError) as refused:
        await plane.prepare(kit.load(text))
    assert len(refused.value.problems) == 1


@pytest.mark.parametrize("stage", [Stage.EDGE, Stage.TRANSFORM])
async def test_a_policy_that_fails_to_wrap_is_named(plane, kit, stage):
    def wrap(self, next, route):  # noqa: A002 - the interface's name
        raise KeyError("bug")

    kit.add(kit.policy("broken", stage=stage, wrap=wrap))
    with pytest.raises(ConfigurationError) as refused:
        await plane.prepare(kit.load(RULES + "plugins: {broken: {}}\n"))
    assert "KeyError: 'bug'; needed for" in str(refused.value)
    assert len(plane._store) == 0


async def test_an_adapter_that_cannot_say_where_it_listens_is_named(plane, kit):
    registration = kit.offers["line"]

    def build(config, context):
        adapter = registration.build(config, context)
        adapter.listeners = lambda: 1 / 0
        return adapter

    kit.offers["line"] = type(registration)(**{**vars(registration), "build": build})
    with pytest.raises(ConfigurationError, match="division by zero; needed for listening"):
        await plane.prepare(kit.load(RULES))


async def test_a_balancer_without_select_is_named(plane, kit):
    registration = kit.offers["round_robin"]
    kit.offers["round_robin"] = type(registration)(**{**vars(registration), "build": lambda config, context: object()})
    with pytest.raises(ConfigurationError, match="select"):
        await plane.prepare(kit.load(RULES))


async def test_a_component_that_cannot_be_entered_undoes_the_rest(plane, kit):
    async def fail(self):
        raise OSError("refused")

    kit.add(kit.policy("broken", __aenter__=fail))
    with pytest.raises(ConfigurationError, match=r"policy 'broken' .* could not start: OSError: refused"):
        await plane.prepare(kit.load(RULES + "plugins: {broken: {}}\n"))
    assert kit.events == ["enter connector", "exit connector"]
    assert len(plane._store) == 0


async def test_a_port_that_is_taken_undoes_everything(plane, kit, connect):
    await serve(plane, kit.load(RULES))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match="another process has the port"):
            await plane.prepare(
                kit.load(RULES + f"frontend: {{line: {{port: {port}}}}}\nbackend: {{kit: {{suffix: 2}}}}\n")
            )
    assert kit.events == ["enter connector", "enter connector2", "exit connector2"]
    client = await connect(plane.addresses()[0])
    assert await client.ask("GET /files/a") == "200 /files/a"


async def test_what_was_prepared_can_be_discarded(plane, kit):
    await serve(plane, kit.load(RULES))
    await plane.prepare(kit.load(RULES + "backend: {kit: {suffix: 2}}\n"))
    await plane.discard()
    await plane.discard()
    assert kit.events == ["enter connector", "enter connector2", "exit connector2"]
    await serve(plane, kit.load(RULES + "backend: {kit: {suffix: 3}}\n"))
    assert kit.events[3] == "enter connector3"


async def test_components_are_built_in_a_thread(plane, kit):
    """So that ten thousand of them do not stop the ones that serve; the same goes for 'gateway check'."""
    threads = []

    def build(config, context):
        threads.append(threading.current_thread())
        return object()

    registration = kit.offers["round_robin"]
    kit.offers["round_robin"] = type(registration)(**{**vars(registration), "build": build})
    with contextlib.suppress(ConfigurationError):
        await plane.prepare(kit.load())
    assert threads
    assert threading.main_thread() not in threads


# Balancers: one for each route.


async def test_a_balancer_may_stand_around_every_attempt(plane, kit, connect):
    class Telling:
        def select(self, instances: Any, exchange: Exchange) -> Any:
            return instances[0]

        def wrap(self, next: Any, route: Any) -> Any:  # noqa: A002 - the interface's name
            async def tell(exchange: Exchange) -> Response:
                response: Response = await next(exchange)
                assert isinstance(response.body, bytes)
                return Response(body=response.body + f" from {exchange.instance} on {route.id}".encode())

            return tell

    kit.add(BalancerRegistration(name="round_robin", build=lambda config, context: Telling()))
    await serve(plane, kit.load(RULES))
    client = await connect(plane.addresses()[0])
    assert await client.ask("GET /files/b") == "200 /files/b from <Instance s/192.0.2.1:1 in_flight=0> on all"


async def test_a_balancer_lives_as_long_as_its_route(plane, kit, until):
    class First:
        def select(self, instances, exchange):
            return instances[0]

    registration = kit.offers["round_robin"]
    build = kit.component("balancer", select=First.select)
    kit.offers["round_robin"] = type(registration)(**{**vars(registration), "build": build})
    await serve(plane, kit.load(RULES))
    assert kit.events.count("enter balancer") == 2
    await serve(plane, kit.load(RULES))
    await until(lambda: kit.events.count("exit balancer") == 2)
    assert kit.events.count("enter balancer") == 4


# The end.


async def test_stopping_waits_for_what_is_under_way(plane, kit, connect, until):
    release = asyncio.Event()

    async def slow(exchange):
        await release.wait()
        return Response.text("finished")

    kit.answer = slow
    await serve(plane, kit.load(RULES))
    (address,) = plane.addresses()
    busy, idle = await connect(address), await connect(address)
    asking = asyncio.ensure_future(busy.ask("GET /files/a"))
    await until(lambda: plane.in_flight() == 1)
    stopping = asyncio.ensure_future(plane.stop(300))
    assert await idle.line() == ""
    with pytest.raises(ConnectionRefusedError):
        await connect(address)
    assert kit.events == ["enter connector"]
    release.set()
    assert await asking == "200 finished"
    await asyncio.wait_for(stopping, 30)
    assert kit.events == ["enter connector", "exit connector"]


@pytest.mark.parametrize("is_hurried", [True, False])
async def test_stopping_cuts_what_takes_too_long(plane, kit, connect, until, is_hurried, caplog):
    cancelled = []

    async def stuck(exchange):
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(list(kit.events))

    kit.answer = stuck
    await serve(plane, kit.load(RULES))
    client = await connect(plane.addresses()[0])
    asking = asyncio.ensure_future(client.ask("GET /files/a"))
    await until(lambda: plane.in_flight() == 1)
    stopping = asyncio.ensure_future(plane.stop(60 if is_hurried else 0.05))
    await asyncio.sleep(0.02)
    if is_hurried:
        assert not stopping.done()
        plane.hurry()
    await asyncio.wait_for(stopping, 30)
    assert "1 connections did not finish in time" in caplog.text
    with contextlib.suppress(OSError):
        assert await asking == ""
    # It was told so before the components that it uses went away.
    assert cancelled == [["enter connector"]]
    assert plane.in_flight() == 0


async def test_stopping_exits_what_retired_generations_hold(plane, kit, connect, until):
    async def stuck(exchange):
        await asyncio.Event().wait()

    kit.answer = stuck
    await serve(plane, kit.load(RULES + "backend: {kit: {suffix: 1}}\n"))
    client = await connect(plane.addresses()[0])
    asking = asyncio.ensure_future(client.ask("GET /files/a"))
    await until(lambda: plane.in_flight() == 1)
    await serve(plane, kit.load(RULES + "backend: {kit: {suffix: 2}}\n"))
    await asyncio.wait_for(plane.stop(0.02), 30)
    assert sorted(kit.events[2:]) == ["exit connector1", "exit connector2"]
    await asyncio.wait([asking])


async def test_stopping_discards_what_was_prepared(plane, kit):
    await plane.prepare(kit.load(RULES))
    await plane.stop(0)
    assert kit.events == ["enter connector", "exit connector"]


async def test_an_adapter_that_fails_to_drain_does_not_keep_the_rest_from_stopping(plane, kit, caplog):
    await serve(plane, kit.load(RULES))

    def fail():
        raise OSError("cannot")

    adapter = plane._generation.adapters[0]
    adapter.drain = adapter.close = fail
    await asyncio.wait_for(plane.stop(0), 30)
    del adapter.drain, adapter.close
    assert kit.events[-1] == "exit connector"
    assert "a component failed" in caplog.text


# How it is doing.


async def test_background_work_is_reported(kit, until):
    changes: list[str] = []
    plane = DataPlane(no_admin, changed=lambda: changes.append("changed"))

    async def crash():
        raise OSError("gone")

    def init(self, config, context):
        context.background.start("refresh", crash)

    kit.add(kit.policy("busy", __init__=init, __aenter__=_nothing, __aexit__=_nothing))
    await serve(plane, kit.load(RULES + "plugins: {busy: {}}\n"))
    await until(lambda: any(report.is_restarting for report in plane.work()))
    (report,) = plane.work()
    assert (report.name, report.last_error) == ("policy busy: refresh", "OSError: gone")
    assert changes
    await plane.stop(0)


async def _nothing(self: Any, *error: object) -> None:
    pass


async def test_it_knows_whose_code_a_module_is(plane, kit):
    assert plane.owner("gateway_kit") is None
    await serve(plane, kit.load())
    assert plane.owner("gateway_kit.deep") == "kit"
    assert plane.owner("gateway.body") is None
    assert await plane.workers() == []
    assert plane.wanted() == [("127.0.0.1", 0)]


async def test_an_admin_request_may_stream_its_body(plane, kit, until):
    got = []

    async def admin(request, authorization):
        got.append(request.body)
        return Response()

    plane._answer_admin = admin
    await serve(plane, kit.load())

    class Responder:
        def respond(self, exchange, response):
            got.append(response.status)
            exchange.finish(0)

    async def pieces(count):
        for _ in range(count):
            yield b"x" * 1000

    for count in (3, 2000):
        responder: Any = Responder()
        plane.serve(Exchange(Request("POST", "/_gateway/reload", body=Body.from_iterable(pieces(count))), responder))
        await until(lambda: plane.in_flight() == 0)
    assert got == [b"x" * 3000, 200, 413]


async def test_a_refusal_may_come_from_the_adapter(plane, kit, connect):
    await serve(plane, kit.load())
    client = await connect(plane.addresses()[0])
    assert "no request" in await client.ask("! /")
    assert plane.in_flight() == 0
