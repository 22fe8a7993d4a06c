"""The pool with workers that are not processes, so that they can die at any moment."""

from __future__ import annotations

import asyncio
import logging
import socket
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gateway import Endpoint, ErrorType, GatewayError, Response
from gateway.errors import ConfigurationError, Problem
from gateway.interfaces import AdminRequest, Mark
from gateway.runtime import channel as channels
from gateway.runtime import worker_slot
from gateway.runtime import workers as pools
from gateway.runtime.channel import Channel
from gateway.runtime.options import RunOptions
from gateway.runtime.supervision import WorkReport
from gateway.runtime.workers import WorkerPool, worker_count
from gateway.testing import free_port

if TYPE_CHECKING:
    from gateway.services import Change

pytestmark = pytest.mark.anyio

ADDRESS = ("127.0.0.1", 0)


class Configuration:
    """As much of one as the pool looks at."""

    def __init__(self, text: str) -> None:
        self.path = Path("gateway.yaml")
        self.text = text
        self.sourced: tuple[Any, ...] = ()
        self.id = text


class Process:
    """A worker, seen as a process; it ends with its channel."""

    pids = 1000

    def __init__(self, number: int, end: socket.socket, script: Script) -> None:
        Process.pids += 1
        self.pid = Process.pids
        self.number = number
        self.returncode: int | None = None
        self.script = script
        self.served: list[str] = []
        self.prepared = ""
        self.ports: dict[str, set[int]] = {}
        self.marks: list[Any] = []
        self.drained: list[float] = []
        self.sockets: dict[Any, socket.socket] = {}
        handlers = {
            name: getattr(self, f"_{name}")
            for name in ("prepare", "commit", "discard", "change", "marks", "drain", "report")
        }
        self.channel = Channel(end, handlers, lambda: None)

    def poll(self) -> int | None:
        return self.returncode

    def kill(self) -> None:
        self.die(-9)

    def wait(self) -> None:
        pass

    def die(self, code: int = -9) -> None:
        self.returncode = code
        self.channel.close()
        for each in self.sockets.values():
            each.close()

    async def _prepare(self, options: RunOptions, services: dict[str, Any]) -> None:
        self.ports.update({name: {packed[2] for packed in change.put} for name, (change, _) in services.items()})
        await self.script.on("prepare", self)
        self.prepared = options.text or ""
        for address in self.script.addresses:
            if address not in self.sockets:
                self.sockets[address] = socket.socket(fileno=await self.channel.call("socket", address, 16))

    async def _commit(self) -> list[Any]:
        await self.script.on("commit", self)
        self.served.append(self.prepared)
        return list(self.script.addresses)

    async def _discard(self) -> None:
        self.prepared = ""

    async def _change(self, service: str, piece: Change) -> None:
        ports = self.ports.setdefault(service, set())
        ports |= {packed[2] for packed in piece.put}
        ports -= {port for _, _, port in piece.gone}

    async def _marks(self, service: str, endpoint: Endpoint, marks: dict[str, Mark]) -> None:
        self.marks.append((service, endpoint.port, {source: mark.reason for source, mark in marks.items()}))

    async def _drain(self, timeout_s: float) -> None:
        self.drained.append(timeout_s)
        await self.script.on("drain", self)
        self.die(0)

    async def _report(self) -> dict[str, object]:
        await self.script.on("report", self)
        return {"connections": 3, "inFlight": 1}


class Script:
    """What happens to workers: a function for each step, given the worker."""

    def __init__(self) -> None:
        self.steps: dict[str, Any] = {}
        self.addresses: list[Any] = [ADDRESS]

    async def on(self, step: str, process: Process) -> None:
        if step in self.steps:
            outcome = self.steps[step](process)
            if hasattr(outcome, "__await__"):
                await outcome


@pytest.fixture
def script():
    return Script()


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    monkeypatch.setattr(pools, "FIRST_DELAY_S", 0.01)
    monkeypatch.setattr(worker_slot, "KILL_AFTER_S", 0.2)


@pytest.fixture
async def pool(script, monkeypatch):
    processes: list[Process] = []

    def popen(command: list[str], *, pass_fds: list[int], **options: Any) -> Process:
        script.command = command
        if "start" in script.steps:
            script.steps["start"](int(command[-1]))
        process = Process(int(command[-1]), socket.socket(fileno=socket.dup(pass_fds[0])), script)
        processes.append(process)
        return process

    monkeypatch.setattr("subprocess.Popen", popen)

    async def answer(request: AdminRequest, authorization: str | None) -> Response:
        if request.path == "/refused":
            raise GatewayError(ErrorType.FORBIDDEN, "no")
        return Response.text(f"{request.path} {authorization}")

    made = WorkerPool(RunOptions(), 2, answer)
    made.processes = processes  # type: ignore[attr-defined]  # for the tests
    yield made
    await asyncio.wait_for(made.stop(0), 30)
    for process in processes:
        process.die()


async def serve(pool: WorkerPool, text: str) -> None:
    configuration: Any = Configuration(text)
    await pool.prepare(configuration)
    await pool.commit()


def alive(pool: Any) -> list[Process]:
    return [process for process in pool.processes if process.returncode is None]


def serving(pool: Any) -> list[str]:
    return [process.served[-1] if process.served else "" for process in alive(pool)]


# All is well.


def test_how_many_workers():
    assert worker_count(3) == worker_count("3") == 3
    assert worker_count("auto") >= 1


async def test_all_workers_serve_the_text_that_was_validated(pool):
    await serve(pool, "one")
    assert serving(pool) == ["one", "one"]
    await serve(pool, "two")
    assert serving(pool) == ["two", "two"]
    assert len(pool.processes) == 2


async def test_workers_share_a_port_that_the_system_chose(pool):
    await serve(pool, "one")
    assert len(pool.addresses()) == 1
    ports = {each.sockets[ADDRESS].getsockname()[1] for each in pool.processes}
    assert ports == {pool.addresses()[0][1]}


async def test_what_changes_in_the_directory_is_told(pool, until):
    pool.directory.publish("static", {"orders": [Endpoint(address="192.0.2.1", port=1)]})
    await serve(pool, "one")
    assert [each.ports["orders"] for each in pool.processes] == [{1}, {1}]
    pool.directory.publish("static", {"orders": [Endpoint(address="192.0.2.1", port=1), Endpoint(address="b", port=2)]})
    await until(lambda: [each.ports["orders"] for each in pool.processes] == [{1, 2}, {1, 2}])
    pool.directory.publish("docker", {"orders": [Endpoint(address="c", port=port) for port in range(3, 3000)]})
    pool.directory.publish("static", {})
    await until(lambda: [each.ports["orders"] for each in pool.processes] == [set(range(3, 3000))] * 2)
    pool.directory.mark(pool.directory.instances("orders")[0], is_healthy=False, reason="500")
    await until(lambda: [each.marks for each in pool.processes] == [[("orders", 3, {"somebody": "500"})]] * 2)


async def test_what_is_said_of_a_new_instance_is_told_after_the_instance(pool, until):
    """Thousands of instances are told in pieces; a worker that does not know one takes nothing to heart about it."""
    await serve(pool, "one")
    service = pool.directory.service("orders")
    pool.directory.publish("static", {"orders": [Endpoint(address="c", port=port) for port in range(1, 5000)]})
    await until(lambda: service.instances)
    pool.directory.mark(service.instances[-1], is_healthy=False, reason="500")
    assert [each.marks for each in pool.processes] == [[], []]
    await until(lambda: [each.marks for each in pool.processes] == [[("orders", 4999, {"somebody": "500"})]] * 2)
    assert [each.ports["orders"] for each in pool.processes] == [set(range(1, 5000))] * 2
    pool.directory.mark(service.instances[-1], is_healthy=True, reason="")
    await until(lambda: [each.marks[1:] for each in pool.processes] == [[("orders", 4999, {})]] * 2)


async def test_what_one_worker_finds_out_every_worker_learns(pool, until):
    endpoint = Endpoint(address="192.0.2.1", port=1)
    pool.directory.publish("static", {"orders": [endpoint]})
    await serve(pool, "one")
    mark = Mark(share_percent=0, reason="refused")
    pool.processes[0].channel.tell("mark", "orders", endpoint, "passive", mark, "refused")
    learned = [("orders", 1, {"worker 1: passive": "refused"})]
    await until(lambda: [each.marks for each in pool.processes] == [learned] * 2)
    assert pool.directory.service("orders").available == ()
    pool.processes[0].channel.tell("mark", "unknown", endpoint, "passive", mark, "refused")
    pool.processes[1].channel.tell("forget_marks", "passive")
    await asyncio.sleep(0.02)
    assert pool.directory.service("orders").available == ()
    pool.processes[0].channel.tell("forget_marks", "passive")
    await until(lambda: pool.directory.service("orders").available)


async def test_what_a_worker_said_goes_with_it(pool, until):
    """Nobody is left to take it back."""
    endpoint = Endpoint(address="192.0.2.1", port=1)
    pool.directory.publish("static", {"orders": [endpoint]})
    await serve(pool, "one")
    mark = Mark(share_percent=0, reason="refused")
    for process in list(pool.processes):
        process.channel.tell("mark", "orders", endpoint, "passive", mark, "refused")
    (instance,) = pool.directory.instances("orders")
    await until(lambda: len(pool.directory.marks(instance)) == 2)
    pool.processes[0].die()
    await until(lambda: list(pool.directory.marks(instance)) == ["worker 2: passive"])


async def test_workers_pass_requests_on(pool):
    await serve(pool, "one")
    worker = pool.processes[1].channel
    status, _, body = await worker.call("admin", AdminRequest(method="GET", path="/health"), "Bearer x")
    assert (status, body) == (200, b"/health Bearer x")
    refusal = await worker.call("admin", AdminRequest(method="GET", path="/refused"), None)
    assert refusal.type is ErrorType.FORBIDDEN


async def test_how_the_workers_are_doing(pool, script):
    await serve(pool, "one")
    pids = [process.pid for process in pool.processes]
    assert await pool.workers() == [
        {"worker": number, "pid": pid, "serving": True, "restarts": 0, "connections": 3, "inFlight": 1}
        for number, pid in zip((1, 2), pids, strict=True)
    ]


async def test_a_worker_that_does_not_say_how_it_is_doing_does_not_serve(pool, script):
    await serve(pool, "one")
    script.steps["report"] = lambda process: asyncio.Event().wait() if process.number == 2 else None
    assert [report["serving"] for report in await pool.workers()] == [True, False]


async def test_background_work_in_workers_is_known_here(pool, until):
    await serve(pool, "one")
    pool.processes[1].channel.tell("work", [WorkReport("policy cache: refresh", is_restarting=True)])
    await until(pool.work)
    assert [report.name for report in pool.work()] == ["worker 2: policy cache: refresh"]


# A configuration that cannot be served.


async def test_a_refusal_of_one_is_a_refusal_of_all(pool, script):
    await serve(pool, "one")

    def refuse(process):
        if process.number == 2:
            raise ConfigurationError([Problem("no key", where="gateway.yaml:3:5")])

    script.steps["prepare"] = refuse
    with pytest.raises(ConfigurationError) as refused:
        await serve(pool, "two")
    assert str(refused.value) == "gateway.yaml:3:5: no key"
    assert serving(pool) == ["one", "one"]
    script.steps.clear()
    await serve(pool, "three")
    assert serving(pool) == ["three", "three"]


async def test_a_socket_that_cannot_be_had_is_a_refusal(pool, script):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        script.addresses = [taken.getsockname()]
        with pytest.raises(ConfigurationError, match="another process has the port"):
            await serve(pool, "one")


async def test_a_port_that_other_workers_share_is_taken(pool, script):
    """Sockets that share a port do not notice each other: two gateways would each get half of the requests."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        script.addresses = [other.getsockname()]
        with pytest.raises(ConfigurationError, match="another process has the port"):
            await serve(pool, "one")


async def test_sockets_of_a_refused_configuration_are_closed(pool, script):
    await serve(pool, "one")
    free = ("127.0.0.1", free_port())

    def refuse(process):
        raise ConfigurationError([Problem("no")])

    async def open_and_refuse(process):
        process.sockets[free] = socket.socket(fileno=await process.channel.call("socket", free, 16))
        refuse(process)

    script.steps["prepare"] = open_and_refuse
    with pytest.raises(ConfigurationError):
        await serve(pool, "two")
    for process in pool.processes:
        process.sockets.pop(free).close()
    with socket.create_server(free):
        pass


async def test_sockets_that_nobody_serves_any_more_are_closed(pool, script):
    """The kernel would take connections for them, and nobody would ever accept."""
    # Of three by chance two differ.
    before, after = (("127.0.0.1", port) for port in sorted({free_port(), free_port(), free_port()})[:2])
    script.addresses = [before]
    await serve(pool, "one")
    script.addresses = [after]
    await serve(pool, "two")
    assert pool.addresses() == [after]
    for process in pool.processes:
        process.sockets.pop(before).close()
    with socket.create_server(before):
        pass


# Workers die.


async def test_a_worker_that_dies_is_replaced(pool, until, caplog):
    caplog.set_level(logging.INFO, "gateway")
    await serve(pool, "one")
    pool.processes[0].die()
    await until(lambda: serving(pool) == ["one", "one"])
    assert [process.number for process in alive(pool)] == [2, 1]
    assert f"worker 1 (pid {pool.processes[0].pid}) died (signal 9)" in caplog.text
    await until(lambda: "worker 1 was replaced and serves" in caplog.text)
    assert [report["restarts"] for report in await pool.workers()] == [1, 0]


async def test_a_replaced_worker_gets_the_sockets_of_the_one_that_died(pool, until):
    """What the kernel has accepted for it is served by the next."""
    await serve(pool, "one")
    before = pool.addresses()
    pool.processes[0].die()
    await until(lambda: serving(pool) == ["one", "one"])
    assert alive(pool)[1].sockets[ADDRESS].getsockname() == before[0]


async def test_a_worker_that_ends_by_itself_is_replaced_too(pool, until, caplog):
    await serve(pool, "one")
    pool.processes[1].die(code=3)
    await until(lambda: serving(pool) == ["one", "one"])
    assert "died (exit code 3)" in caplog.text


async def test_a_worker_that_dies_again_and_again_is_replaced_ever_later(pool, script, until, caplog):
    await serve(pool, "one")
    deaths = []

    def die(process):
        deaths.append(asyncio.get_running_loop().time())
        if len(deaths) < 7:
            process.die()

    script.steps["prepare"] = die
    pool.processes[0].die()
    await until(lambda: serving(pool) == ["one", "one"])
    gaps = [after - before for before, after in pairwise(deaths)]
    assert gaps[-1] > 0.05
    assert "worker 1 could not be replaced" in caplog.text


async def test_a_worker_that_cannot_be_started_is_tried_again(pool, script, until, caplog):
    await serve(pool, "one")
    tries = []

    def refuse(number):
        tries.append(number)
        if len(tries) < 3:
            raise OSError(11, "no more processes")

    script.steps["start"] = refuse
    pool.processes[0].die()
    await until(lambda: serving(pool) == ["one", "one"])
    assert tries == [1, 1, 1]
    assert "no more processes" in caplog.text


async def test_a_worker_that_fails_oddly_is_tried_again(pool, script, until):
    await serve(pool, "one")
    tries = []

    def fail(process):
        tries.append(1)
        if len(tries) == 1:
            raise ZeroDivisionError

    script.steps["prepare"] = fail
    pool.processes[0].die()
    await until(lambda: serving(pool) == ["one", "one"])


async def test_a_worker_whose_channel_breaks_is_killed_and_replaced(pool, until):
    await serve(pool, "one")
    pool.processes[0].channel.close()
    await until(lambda: serving(pool) == ["one", "one"] and len(pool.processes) == 3)
    assert pool.processes[0].returncode == -9


async def test_a_worker_that_takes_nothing_is_replaced(pool, until, monkeypatch):
    await serve(pool, "one")
    monkeypatch.setattr(channels, "MAX_OUTGOING_BYTES", 2_000_000)
    asyncio.get_running_loop().remove_reader(pool.processes[0].channel._socket)
    big = {"note": "x" * 100_000}
    for number in range(40):
        pool.directory.publish("static", {"orders": [Endpoint(address="a", port=number + 1, metadata=big)]})
        await asyncio.sleep(0)
    await until(lambda: len(pool.processes) == 3 and serving(pool) == ["one", "one"])


# Workers die while the configuration changes.


@pytest.mark.parametrize("step", ["prepare", "commit"])
async def test_a_worker_that_dies_during_a_reload_does_not_stop_it(pool, script, until, step):
    await serve(pool, "one")
    died: list[Process] = []

    def die_once(process):
        if process.number == 1 and not died:
            died.append(process)
            process.die()

    script.steps[step] = die_once
    await serve(pool, "two")
    await until(lambda: serving(pool) == ["two", "two"])
    assert len(pool.processes) == 3


async def test_a_worker_that_is_dead_when_a_reload_begins_is_started_by_it(pool, until, monkeypatch):
    monkeypatch.setattr(pools, "FIRST_DELAY_S", 0.05)
    await serve(pool, "one")
    for slot in pool._slots:
        slot.delay_s = 0.05
    pool.processes[0].die()
    await asyncio.sleep(0.01)
    await serve(pool, "two")
    assert serving(pool) == ["two", "two"]
    await asyncio.sleep(0.1)
    assert len(pool.processes) == 3


async def test_a_worker_that_dies_between_the_two_steps_gets_the_new_one(pool, script, until):
    await serve(pool, "one")
    configuration: Any = Configuration("two")
    await pool.prepare(configuration)
    pool.processes[0].die()
    await asyncio.sleep(0.05)
    assert len(pool.processes) == 2
    await pool.commit()
    await until(lambda: serving(pool) == ["two", "two"])


async def test_a_worker_that_is_being_replaced_does_not_keep_the_old_configuration(pool, script, until):
    await serve(pool, "one")
    go_on = asyncio.Event()
    script.steps["prepare"] = lambda process: go_on.wait() if process is not pool.processes[1] else None
    pool.processes[0].die()
    await until(lambda: len(pool.processes) == 3)
    reloading = asyncio.ensure_future(serve(pool, "two"))
    await asyncio.sleep(0.05)
    go_on.set()
    await reloading
    await until(lambda: serving(pool) == ["two", "two"])


async def test_a_configuration_that_kills_workers_is_refused(pool, script, until):
    await serve(pool, "one")

    def die_of_two(process):
        if process.number == 1 and deadly:
            process.die(code=1)

    deadly = [True]
    script.steps["prepare"] = die_of_two
    with pytest.raises(ConfigurationError, match="a worker could not be started: ChannelClosed"):
        await serve(pool, "two")
    deadly.clear()
    await until(lambda: serving(pool) == ["one", "one"])


async def test_a_first_configuration_that_kills_workers_is_refused(pool, script):
    script.steps["prepare"] = lambda process: process.die(code=1)
    with pytest.raises(ConfigurationError, match="a worker could not be started"):
        await serve(pool, "one")
    await asyncio.sleep(0.1)
    assert alive(pool) == []


async def test_a_worker_that_does_not_commit_is_replaced(pool, script, until, monkeypatch, caplog):
    await serve(pool, "one")
    call = Channel.call

    async def impatient(self, name, *arguments, **options):
        return await call(self, name, *arguments, timeout_s=0.05 if name == "commit" else 5)

    monkeypatch.setattr(Channel, "call", impatient)
    stuck = pool.processes[0]
    script.steps["commit"] = lambda process: asyncio.Event().wait() if process is stuck else None
    await serve(pool, "two")
    await until(lambda: serving(pool) == ["two", "two"])
    assert "worker 1 does not serve the new configuration" in caplog.text


# The end.


async def test_stopping_drains_and_replaces_nobody(pool, script, caplog):
    await serve(pool, "one")
    (address,) = pool.addresses()
    await pool.stop(7)
    assert [process.drained for process in pool.processes] == [[7], [7]]
    assert len(pool.processes) == 2
    assert "died" not in caplog.text
    with socket.create_server(address):
        pass


async def test_while_workers_drain_nobody_is_kept_waiting_for_them(pool, script, until):
    """As long as there is one open copy of its socket, the kernel takes connections that nobody accepts."""
    await serve(pool, "one")
    (address,) = pool.addresses()
    for process in pool.processes:
        process.sockets.pop(ADDRESS).close()
    go_on = asyncio.Event()
    script.steps["drain"] = lambda process: go_on.wait()
    stopping = asyncio.ensure_future(pool.stop(5))
    await until(lambda: all(process.drained for process in pool.processes))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, 1)
    go_on.set()
    await stopping


async def test_whoever_is_in_a_hurry_is_passed_on(pool, script, until):
    await serve(pool, "one")
    go_on = asyncio.Event()
    script.steps["drain"] = lambda process: go_on.wait()
    stopping = asyncio.ensure_future(pool.stop(60))
    await until(lambda: all(process.drained for process in pool.processes))
    pool.hurry()
    await until(lambda: [process.drained for process in pool.processes] == [[60, 0], [60, 0]])
    go_on.set()
    await stopping


async def test_a_worker_that_does_not_end_is_killed(pool, script, caplog):
    await serve(pool, "one")
    script.steps["drain"] = lambda process: asyncio.Event().wait()
    await asyncio.wait_for(pool.stop(0), 30)
    assert [process.returncode for process in pool.processes] == [-9, -9]
    assert "does not stop and is killed" in caplog.text


async def test_stopping_while_a_worker_is_being_replaced(pool, until, monkeypatch):
    await serve(pool, "one")
    for slot in pool._slots:
        slot.delay_s = 60
    pool.processes[0].die()
    await asyncio.sleep(0.02)
    await asyncio.wait_for(pool.stop(0), 30)
    assert alive(pool) == []


async def test_stopping_before_anything_was_served(pool):
    await pool.stop(0)
    assert pool.processes == []
