from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from typing import TYPE_CHECKING, Any

import pytest

from gateway import Endpoint, ErrorType, GatewayError, Response
from gateway.errors import ConfigurationError
from gateway.interfaces import Mark
from gateway.logs import configure_logging
from gateway.runtime.channel import Channel, ChannelClosed, Handed
from gateway.runtime.listeners import bind
from gateway.runtime.worker import Worker, log_as
from gateway.services import Change

if TYPE_CHECKING:
    from gateway.interfaces import AdminRequest

pytestmark = pytest.mark.anyio


class Options:
    """Loads what the test's plugin makes of a text, as ``RunOptions`` does of a file."""

    kit: Any = None
    sourced: Any = ()
    base = ""

    def __init__(self, text: str) -> None:
        self.text = text

    def load(self) -> Any:
        return Options.kit.load(self.text)


class Control:
    """The control plane's end of the channel."""

    def __init__(self, end: socket.socket) -> None:
        self.sockets: dict[Any, socket.socket] = {}
        self.told: list[Any] = []
        handlers: dict[str, Any] = {
            "socket": self._socket,
            "admin": self._admin,
            "mark": self._note("mark"),
            "forget_marks": self._note("forget_marks"),
            "work": self._note("work"),
        }
        self.is_closed = False
        self.channel = Channel(end, handlers, self._close)

    async def _socket(self, address: Any, backlog: int) -> Handed:
        if address not in self.sockets:
            self.sockets[address] = bind(address, backlog=backlog, reuse_port=True)
        return Handed(self.sockets[address])

    async def _admin(self, request: AdminRequest, authorization: str | None) -> Any:
        if request.path == "/refused":
            return GatewayError(ErrorType.FORBIDDEN, "no")
        if request.path == "/broken":
            raise OSError("broken")
        return 200, [(b"content-type", b"text/plain")], f"{request.path} {authorization}".encode()

    def _note(self, name: str) -> Any:
        async def note(*arguments: Any) -> None:
            self.told.append((name, *arguments))

        return note

    def _close(self) -> None:
        self.is_closed = True

    async def serve(self, text: str = "", services: Any = None) -> list[Any]:
        await self.channel.call("prepare", Options(text), services or SERVICES)
        wanted: list[Any] = await self.channel.call("commit")
        return wanted

    @property
    def address(self) -> Any:
        (listening,) = self.sockets.values()
        return listening.getsockname()


PACKED: Any = ("http", "192.0.2.1", 1, "", 1, True, {})
SERVICES: dict[str, Any] = {"s": (Change((PACKED,)), {})}
GONE = Change(gone=(("http", "192.0.2.1", 1),))


@pytest.fixture
async def control(kit, monkeypatch):
    """A worker in this process, seen from the control plane."""
    Options.kit = kit
    # What a process sets once is not for the one that runs the tests.
    monkeypatch.setattr("gateway.runtime.worker.calm_garbage_collector", lambda: None)
    monkeypatch.setattr("gateway.runtime.worker.shorten_turns_of_threads", lambda: None)
    monkeypatch.setattr("gateway.runtime.worker.log_as", lambda *arguments: None)
    ours, theirs = socket.socketpair()
    made = Control(ours)
    worker = Worker(theirs, 3)
    task = asyncio.ensure_future(worker.run())
    made.worker, made.task = worker, task  # type: ignore[attr-defined]  # for the tests
    await asyncio.sleep(0)
    yield made
    made.channel.tell("drain", 0.0)
    await asyncio.wait_for(task, 30)
    made.channel.close()
    for each in made.sockets.values():
        each.close()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().remove_signal_handler(number)


async def test_it_serves_what_it_is_told(control, connect):
    assert await control.serve() == [("127.0.0.1", 0)]
    client = await connect(control.address)
    assert await client.ask("GET /a") == "200 /a"


async def test_a_configuration_that_it_cannot_serve_is_refused(control, connect, kit):
    await control.serve()

    async def fail(self):
        raise OSError("refused")

    kit.add(kit.policy("broken", __aenter__=fail))
    text = """\
    router: {rules: [{id: all, path: "/*", serviceName: s}]}
    registry: {fixed: {services: {s: [1]}}}
    plugins: {broken: {}}
    """
    with pytest.raises(ConfigurationError, match="could not start: OSError: refused"):
        await control.serve(text)
    control.channel.tell("discard")
    client = await connect(control.address)
    assert await client.ask("GET /a") == "200 /a"


async def test_instances_are_those_of_the_control_plane(control, connect, until):
    await control.serve()
    client = await connect(control.address)
    directory = control.worker._directory
    control.channel.tell("change", "s", GONE)
    await until(lambda: not directory.service("s").available)
    assert (await client.ask()).startswith("503 ")
    control.channel.tell("change", "s", Change((PACKED,)))
    await until(lambda: directory.service("s").available)
    assert (await client.ask()).startswith("200 ")


async def test_news_of_services_that_come_while_it_prepares_are_not_overwritten(control, connect):
    loading = asyncio.ensure_future(control.channel.call("prepare", Options(""), SERVICES))
    await asyncio.sleep(0)
    control.channel.tell("change", "s", GONE)
    await loading
    await control.channel.call("commit")
    client = await connect(control.address)
    assert (await client.ask()).startswith("503 ")


async def test_requests_under_gateway_go_to_the_control_plane(control, connect):
    await control.serve()
    client = await connect(control.address)
    assert await client.ask("GET /_gateway/health") == "200 /health None"
    assert (await client.ask("GET /_gateway/refused")).startswith("403 ")
    assert (await client.ask("GET /_gateway/broken")).startswith("500 ")


async def test_what_it_finds_out_about_an_instance_it_tells(control, kit, until):
    await control.serve()
    directory = control.worker._directory
    (instance,) = directory.instances("s")
    directory.mark(instance, is_healthy=False, reason="refused")
    directory.mark(instance, is_healthy=False, reason="refused")
    assert directory.service("s").available == ()
    await until(lambda: control.told)
    assert [each for each in control.told if each[0] == "mark"] == [
        (
            "mark",
            "s",
            Endpoint(address="192.0.2.1", port=1),
            "somebody",
            Mark(share_percent=0, reason="refused"),
            "refused",
        )
    ]
    assert list(directory.marks(instance)) == ["worker 3: somebody"]


async def test_a_word_about_an_instance_reaches_it(control, kit, until):
    await control.serve()
    directory = control.worker._directory
    marks = {"active": Mark(share_percent=0, reason="500")}
    control.channel.tell("marks", "s", Endpoint(address="192.0.2.1", port=1), marks)
    await until(lambda: not directory.service("s").available)
    directory.forget_marks("passive")
    assert not directory.service("s").available
    await until(lambda: ("forget_marks", "passive") in control.told)


async def test_how_it_is_doing(control, connect, kit, until):
    async def crash():
        raise OSError("gone")

    def init(self, config, context):
        context.background.start("refresh", crash)

    async def nothing(self, *error):
        pass

    kit.add(kit.policy("busy", __init__=init, __aenter__=nothing, __aexit__=nothing))
    text = """\
    router: {rules: [{id: all, path: "/*", serviceName: s}]}
    registry: {fixed: {services: {s: [1]}}}
    plugins: {busy: {}}
    """
    await control.serve(text)
    await connect(control.address)
    await until(lambda: control.worker._plane.connections() == 1)
    assert await control.channel.call("report") == {"connections": 1, "inFlight": 0}
    await until(lambda: any(each[1] and each[1][0].is_restarting for each in control.told))


async def test_signals_are_for_the_control_plane(control, connect):
    """Service managers signal every process; a worker that stopped by itself would not wait for load balancers."""
    await control.serve()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(os.getpid(), number)
        await asyncio.sleep(0.01)
    client = await connect(control.address)
    assert await client.ask("GET /a") == "200 /a"


async def test_it_drains_when_told(control, connect, kit, until):
    release = asyncio.Event()

    async def slow(exchange):
        await release.wait()
        return Response.text("finished")

    kit.answer = slow
    await control.serve()
    client = await connect(control.address)
    asking = asyncio.ensure_future(client.ask("GET /a"))
    await until(lambda: control.worker._plane.in_flight() == 1)
    control.channel.tell("drain", 300.0)
    await asyncio.sleep(0.05)
    assert not control.task.done()
    release.set()
    assert await asking == "200 finished"
    await asyncio.wait_for(control.task, 30)
    await until(lambda: control.is_closed)


async def test_told_twice_it_hurries(control, connect, kit, until):
    async def stuck(exchange):
        await asyncio.Event().wait()

    kit.answer = stuck
    await control.serve()
    client = await connect(control.address)
    asking = asyncio.ensure_future(client.ask("GET /a"))
    await until(lambda: control.worker._plane.in_flight() == 1)
    control.channel.tell("drain", 300.0)
    await asyncio.sleep(0.05)
    control.channel.tell("drain", 0.0)
    await asyncio.wait_for(control.task, 30)
    await asyncio.wait([asking])


async def test_without_a_control_plane_it_finishes_and_stops(control, connect, caplog):
    await control.serve()
    client = await connect(control.address)
    control.channel.close()
    assert await client.line() == ""
    await asyncio.wait_for(control.task, 20)
    assert "the control plane is gone" in caplog.text


async def test_without_a_control_plane_there_is_no_health(control, connect, kit, until):
    await control.serve()
    client = await connect(control.address)
    plane = control.worker._plane

    async def gone(*arguments: Any, **options: Any) -> Any:
        raise ChannelClosed("gone")

    control.worker._channel.call = gone
    assert (await client.ask("GET /_gateway/health")).startswith("503 ")
    assert plane.in_flight() == 0


def test_its_records_carry_its_number(capsys):
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    try:
        log_as(4, "info", "text")
        logging.getLogger("gateway.runtime").info("hello")
        assert "hello worker=4" in capsys.readouterr().out
        log_as(4, "info", "text")
        (handler,) = (each for each in root.handlers if each not in before)
        assert len(handler.filters) == 1, "a reload adds nothing"
        configure_logging("info")
    finally:
        for handler in [each for each in root.handlers if each not in before]:
            root.removeHandler(handler)
        root.setLevel(level)
        logging.getLogger("gateway").setLevel(logging.NOTSET)
