"""Workers, seen from the control plane: started, kept alike, replaced when they die."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import time
from typing import TYPE_CHECKING, Any

from gateway.errors import ConfigurationError, GatewayError, Problem
from gateway.metrics import lasting, merge_metrics
from gateway.runtime.channel import CALL_TIMEOUT_S, Channel, ChannelClosed, Handed
from gateway.runtime.listeners import bind
from gateway.runtime.shared_memory import MemoryStore, SharedMemory
from gateway.runtime.supervision import FIRST_DELAY_S, LONGEST_DELAY_S, end_tasks
from gateway.runtime.worker_slot import WorkerSlot
from gateway.services.directory import ServiceDirectory, worker_source

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from gateway.config import Configuration
    from gateway.interfaces import AdminRequest, Endpoint, Instance, Mark
    from gateway.messages import Response
    from gateway.metrics import FamilySnapshot
    from gateway.runtime.listeners import Address
    from gateway.runtime.options import RunOptions
    from gateway.runtime.supervision import WorkReport
    from gateway.runtime.worker import AdminAnswer, Services
    from gateway.services.service import Service

    AnswerAdmin = Callable[[AdminRequest, str | None], Awaitable[Response]]

__all__ = ["WorkerPool", "worker_count"]

logger = logging.getLogger("gateway.runtime")

STEADY_AFTER_S = 30.0
"""A worker that lived so long is replaced at once when it dies, whatever became of those before it."""
REPORT_TIMEOUT_S = 1.0
MOST_ENDPOINTS = 1000
"""How many endpoints a worker is told of in one message, which it takes in without a pause."""
MAX_ADMIN_ANSWER_BYTES = 16 * 1024 * 1024


def worker_count(wanted: int | str) -> int:
    """Return how many workers ``wanted`` means: ``auto`` is one for each core this process may use."""
    if wanted == "auto":
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return int(wanted)


class WorkerPool:
    """All workers. Implements ``gateway.runtime.plane.Plane``.

    A configuration goes to all of them in two steps. From the first to the second nothing else changes: a worker that
    dies meanwhile is replaced afterwards, so that it gets what the others have.

    Args:
        options: What workers load.
        count: How many.
        answer_admin: Answers requests under ``/_gateway``.

    Attributes:
        directory: The services; every change of it is told to the workers.
    """

    def __init__(self, options: RunOptions, count: int, answer_admin: AnswerAdmin) -> None:
        self.directory = ServiceDirectory(self._service_changed)
        self._is_telling = False
        self._newly_marked: list[tuple[Service, Instance]] = []
        self._options = options
        self._answer_admin = answer_admin
        self._slots = [WorkerSlot(number) for number in range(1, count + 1)]
        self._changing = asyncio.Lock()
        self._candidate: RunOptions | None = None
        self._current: RunOptions | None = None
        self._replacing: set[asyncio.Task[None]] = set()
        self._addresses: list[Address] = []
        self._is_stopping = False
        self._memories = MemoryStore()
        self._counted_before: Sequence[FamilySnapshot] = ()

    # gateway.runtime.plane.Plane

    async def prepare(self, configuration: Configuration) -> None:
        """Have every worker build and enter the configuration; ``commit`` or ``discard`` follows.

        Raises:
            ConfigurationError: If one of them cannot; nothing has changed then.
        """
        await self._changing.acquire()
        self._candidate = candidate = self._options.pinned(configuration)
        try:
            outcomes = await asyncio.gather(
                *(self._prepare(slot, candidate) for slot in self._slots), return_exceptions=True
            )
            _raise_first([outcome for outcome in outcomes if isinstance(outcome, BaseException)])
        except BaseException:
            await self.discard()
            raise

    async def commit(self) -> None:
        """Have every worker serve what was prepared."""
        self._current, self._candidate = self._candidate, None
        try:
            await asyncio.gather(*(self._commit(slot) for slot in self._slots))
        finally:
            self._changing.release()
        self._addresses = list(dict.fromkeys(address for slot in self._slots for address in slot.bound()))

    async def discard(self) -> None:
        """Have every worker forget what was prepared."""
        if self._candidate is None:
            return
        self._candidate = None
        for slot in self._slots:
            if slot.channel is not None:
                slot.channel.tell("discard")
            slot.close_sockets(but=slot.wanted)
        self._changing.release()

    def addresses(self) -> list[Address]:
        """Return the addresses that are served, with the ports that the system chose."""
        return self._addresses

    def work(self) -> Sequence[WorkReport]:
        """Return how the background work in the workers is doing."""
        return [
            dataclasses.replace(report, name=f"worker {slot.number}: {report.name}")
            for slot in self._slots
            for report in slot.work
        ]

    async def workers(self) -> Sequence[dict[str, object]]:
        """Return how the workers are doing."""
        return await asyncio.gather(*(self._report(slot) for slot in self._slots))

    async def metrics(self) -> Sequence[Sequence[FamilySnapshot]]:
        """Return what the workers measure, and what those counted that are gone."""
        await asyncio.gather(*(self._take_metrics(slot) for slot in self._slots))
        return [self._counted_before, *(slot.metrics for slot in self._slots)]

    async def exposed(self, plugin: str, key: str, *arguments: object) -> Sequence[object]:
        """Return what components of a plugin expose, of each worker that answers."""
        answers = await asyncio.gather(*(self._ask(slot, "exposed", plugin, key, *arguments) for slot in self._slots))
        return [value for values in answers if values is not None for value in values]

    async def stop(self, timeout_s: float) -> None:
        """Drain all workers, and end those that do not.

        Args:
            timeout_s: How long exchanges that are under way may take.
        """
        self._is_stopping = True
        await end_tasks(self._replacing)
        for slot in self._slots:
            # Workers have copies, which they close; as long as there is one the kernel takes connections.
            slot.close_sockets()
            if slot.channel is not None:
                slot.channel.tell("drain", timeout_s)
        await asyncio.gather(*(slot.end(timeout_s) for slot in self._slots))
        for slot in self._slots:
            if slot.channel is not None:
                slot.channel.close()
        self._memories.close()

    def hurry(self) -> None:
        """Cut what is under way: whoever stops the gateway does not want to wait."""
        for slot in self._slots:
            if slot.channel is not None:
                slot.channel.tell("drain", 0.0)

    # One worker.

    async def _start(self, slot: WorkerSlot) -> None:
        await slot.bury()
        self._spawn(slot)

    def _spawn(self, slot: WorkerSlot) -> None:
        ours = slot.spawn()
        slot.restarts += self._current is not None
        # What its predecessor counted since it was last asked is lost.
        self._counted_before = merge_metrics([self._counted_before, lasting(slot.metrics)])
        slot.metrics = ()
        handlers: dict[str, Callable[..., Awaitable[Any]]] = {
            "socket": lambda address, backlog: self._socket(slot, address, backlog),
            "admin": self._admin,
            "mark": lambda *arguments: self._mark(slot, *arguments),
            "forget_marks": lambda source: self._forget_marks(slot, source),
            "memory": self._memory,
            "work": lambda reports: self._take_work(slot, reports),
        }
        channel = slot.channel = Channel(ours, handlers, lambda: self._lost(slot, channel))

    async def _prepare(self, slot: WorkerSlot, options: RunOptions) -> None:
        """Have a worker prepare, started first if there is none; if it dies, another one is given the same."""
        if slot.channel is not None:
            try:
                await self._call(slot, "prepare", options, self._services_for(slot))
            except ChannelClosed:
                pass  # by accident, perhaps; if it is the configuration that kills workers, it kills the next one too
            else:
                return
        if slot.channel is None:
            await self._start(slot)
        await self._call(slot, "prepare", options, self._services_for(slot))

    def _services_for(self, slot: WorkerSlot) -> Services:
        """Return the services as a new worker needs them; one that serves has been told of every change."""
        if not slot.is_new:
            return {}
        return {name: self.directory.service(name).published() for name in self.directory.services()}

    async def _commit(self, slot: WorkerSlot) -> None:
        try:
            await self._serve(slot)
        except (ChannelClosed, TimeoutError) as error:
            # Too late to go back: the others serve it already. It is replaced by one that does, too.
            logger.error("worker %d does not serve the new configuration: %r", slot.number, error)  # noqa: TRY400 - says it all
            if slot.channel is not None:
                slot.channel.close()

    async def _serve(self, slot: WorkerSlot) -> None:
        """Have a worker serve what it prepared."""
        slot.wanted = set(await self._call(slot, "commit"))
        slot.close_sockets(but=slot.wanted)
        is_new, slot.is_new = slot.is_new, False
        if is_new and slot.restarts:
            logger.info("worker %d was replaced and serves", slot.number)

    async def _call(self, slot: WorkerSlot, name: str, *arguments: object, timeout_s: float = CALL_TIMEOUT_S) -> Any:  # noqa: ANN401 - as the handler says
        if slot.channel is None:
            raise ChannelClosed(f"worker {slot.number} is gone")
        return await slot.channel.call(name, *arguments, timeout_s=timeout_s)

    def _lost(self, slot: WorkerSlot, channel: Channel) -> None:
        if slot.channel is channel:
            slot.channel = None
            # Nobody is left to take back what it said.
            self.directory.forget_marks(worker_source(slot.number, ""))
        if not self._is_stopping and not slot.is_being_replaced:
            slot.is_being_replaced = True
            task = asyncio.get_running_loop().create_task(self._replace(slot), name=f"gateway worker {slot.number}")
            self._replacing.add(task)
            task.add_done_callback(self._replacing.discard)

    async def _replace(self, slot: WorkerSlot) -> None:
        """Start a worker again until it serves; not before the very first configuration is served by any."""
        try:
            if slot.channel is None:
                await slot.bury()
            while slot.channel is None and self._current is not None:
                if time.monotonic() - slot.started_s > STEADY_AFTER_S:
                    slot.delay_s = 0.0
                # At once the first time: what the kernel keeps for it waits.
                await asyncio.sleep(slot.delay_s)
                slot.delay_s = min(max(FIRST_DELAY_S, 2 * slot.delay_s), LONGEST_DELAY_S)
                async with self._changing:
                    if slot.channel is None:  # no reload came first
                        await self._start_again(slot, self._current)
        finally:
            slot.is_being_replaced = False

    async def _start_again(self, slot: WorkerSlot, options: RunOptions) -> None:
        try:
            await self._prepare(slot, options)
            await self._serve(slot)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
            logger.error("worker %d could not be replaced: %s", slot.number, error)  # noqa: TRY400 - says it all
            if slot.channel is not None:
                slot.channel.close()

    async def _report(self, slot: WorkerSlot) -> dict[str, object]:
        report: dict[str, object] = {
            "worker": slot.number,
            "pid": slot.process.pid if slot.process is not None else None,
            "serving": slot.channel is not None,
            "restarts": slot.restarts,
        }
        if slot.channel is not None:
            answer = await self._ask(slot, "report")
            report.update(answer if answer is not None else {"serving": False})
        return report

    async def _take_metrics(self, slot: WorkerSlot) -> None:
        answer = await self._ask(slot, "metrics")
        if answer is not None:
            slot.metrics = answer

    async def _ask(self, slot: WorkerSlot, name: str, *arguments: object) -> Any:  # noqa: ANN401 - as the handler says
        """Ask a worker something that can do without an answer: ``None`` if there is none."""
        try:
            return await self._call(slot, name, *arguments, timeout_s=REPORT_TIMEOUT_S)
        except (ChannelClosed, TimeoutError):
            return None

    async def shared_memory(self, plugin: str, key: str, size_bytes: int) -> SharedMemory:
        """Return the shared memory of a plugin, for the control plane itself."""
        return SharedMemory(os.dup(self._memories.file(plugin, key, size_bytes).fileno()), size_bytes)

    # What workers ask.

    async def _memory(self, plugin: str, key: str, size_bytes: int) -> Handed:
        return Handed(self._memories.file(plugin, key, size_bytes))

    async def _socket(self, slot: WorkerSlot, address: Address, backlog: int) -> Handed:
        listening = slot.sockets.get(address)
        if listening is None:
            shared = next((each.sockets[address] for each in self._slots if address in each.sockets), None)
            # One free port for all of them.
            place = shared.getsockname()[:2] if shared is not None else address
            if shared is None and len(self._slots) > 1:
                # Sockets that share a port do not notice another gateway that shares it too; this one does.
                with bind(place, backlog=backlog) as probe:
                    place = probe.getsockname()[:2]
            listening = slot.sockets[address] = bind(place, backlog=backlog, reuse_port=len(self._slots) > 1)
        return Handed(listening)

    async def _admin(self, request: AdminRequest, authorization: str | None) -> AdminAnswer | GatewayError:
        try:
            response = await self._answer_admin(request, authorization)
        except GatewayError as error:
            return error
        body = response.body if isinstance(response.body, bytes) else await response.body.read(MAX_ADMIN_ANSWER_BYTES)
        return response.status, response.headers.pairs, body

    async def _mark(
        self, slot: WorkerSlot, service: str, endpoint: Endpoint, source: str, mark: Mark | None, reason: str
    ) -> None:
        instance = self.directory.service(service).instance(endpoint)
        if instance is not None:
            self.directory.put_mark(worker_source(slot.number, source), instance, mark, reason)

    async def _forget_marks(self, slot: WorkerSlot, source: str) -> None:
        self.directory.forget_marks(worker_source(slot.number, source))

    async def _take_work(self, slot: WorkerSlot, reports: Sequence[WorkReport]) -> None:
        slot.work = reports

    def _service_changed(self, service: Service, instance: Instance | None) -> Iterator[None] | None:
        if instance is None:
            return self._tell_change(service)
        self._newly_marked.append((service, instance))
        if not self._is_telling:
            self._tell_marks()
        return None

    def _tell_change(self, service: Service) -> Iterator[None]:
        """Tell the workers how the endpoints changed, in steps: it may be thousands of them."""
        self._is_telling = True
        try:
            for piece in service.changes(MOST_ENDPOINTS):
                self._tell_all("change", service.name, piece)
                yield
        finally:
            self._is_telling = False
        self._tell_marks()

    def _tell_marks(self) -> None:
        """Tell the workers what is said against instances; not before the change that brings them is told."""
        for service, instance in self._newly_marked:
            self._tell_all("marks", service.name, instance.endpoint, dict(service.marks(instance)))
        self._newly_marked.clear()

    def _tell_all(self, name: str, *arguments: object) -> None:
        for slot in self._slots:
            if slot.channel is not None:
                slot.channel.tell(name, *arguments)


def _raise_first(failures: Sequence[BaseException]) -> None:
    """Raise what is wrong with the configuration, if anything, else why a worker could not be given it."""
    for failure in failures:
        if isinstance(failure, ConfigurationError):
            raise failure
    for failure in failures:
        message = f"a worker could not be started: {failure!r}; its output above says why"
        raise ConfigurationError([Problem(message)]) from failure
