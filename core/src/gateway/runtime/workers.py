"""Workers, seen from the control plane: started, kept alike, replaced when they die."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from gateway.errors import ConfigurationError, GatewayError, Problem
from gateway.runtime.channel import Channel, ChannelClosed, Handed
from gateway.runtime.listeners import bind
from gateway.runtime.supervision import FIRST_DELAY_S, LONGEST_DELAY_S

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from gateway.config import Configuration
    from gateway.exchange import Response
    from gateway.interfaces import AdminRequest
    from gateway.runtime.listeners import Address
    from gateway.runtime.options import RunOptions
    from gateway.runtime.worker import AdminAnswer
    from gateway.services.directory import Service, ServiceDirectory

    AnswerAdmin = Callable[[AdminRequest, str | None], Awaitable[Response]]

__all__ = ["WorkerPool", "worker_count"]

logger = logging.getLogger("gateway.runtime")

STEADY_AFTER_S = 30.0
KILL_AFTER_S = 5.0


def worker_count(wanted: int | str) -> int:
    """Return how many workers ``wanted`` means: ``auto`` is one for each core this process may use."""
    if wanted == "auto":
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return int(wanted)


class _Slot:
    """The place of one worker. Its listening sockets outlive it: what the kernel keeps for it is served by the next."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.sockets: dict[Address, socket.socket] = {}
        self.process: subprocess.Popen[bytes] | None = None
        self.channel: Channel | None = None
        self.delay_s = FIRST_DELAY_S
        self.started_s = 0.0
        self.restarts = 0
        self.is_serving = False


class WorkerPool:
    """All workers. Implements ``gateway.runtime.control.Plane``.

    Args:
        options: What workers load.
        count: How many.
        directory: The services; every change of it is told to the workers.
        answer_admin: Answers requests under ``/_gateway``.
    """

    def __init__(self, options: RunOptions, count: int, directory: ServiceDirectory, answer_admin: AnswerAdmin) -> None:
        self._options = options
        self._directory = directory
        self._answer_admin = answer_admin
        self._slots = [_Slot(number) for number in range(1, count + 1)]
        self._restarting: set[asyncio.Task[None]] = set()
        self._addresses: list[Address] = []
        self._is_stopping = False

    # gateway.runtime.control.Plane

    async def prepare(self, configuration: Configuration) -> None:
        """Have every worker build and enter the configuration.

        Raises:
            ConfigurationError: If one of them cannot.
        """
        await asyncio.gather(*(self._start(slot) for slot in self._slots if slot.channel is None))
        services = self._services()
        outcomes = await asyncio.gather(
            *(self._call(slot, "prepare", self._options, services) for slot in self._slots), return_exceptions=True
        )
        failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        if failures:
            await self.discard()
            refusal = next((each for each in failures if isinstance(each, ConfigurationError)), None)
            if refusal is not None:
                raise refusal
            message = f"a worker could not be started: {failures[0]}; its output above says why"
            raise ConfigurationError([Problem(message)]) from failures[0]

    async def commit(self) -> None:
        """Have every worker serve what was prepared."""
        for slot in self._slots:
            await self._call(slot, "commit")
            slot.is_serving = True
        self._addresses = list(dict.fromkeys(address for slot in self._slots for address in _bound(slot)))

    async def discard(self) -> None:
        """Have every worker forget what was prepared."""
        for slot in self._slots:
            if slot.channel is not None:
                slot.channel.tell("discard")

    def workers(self) -> Sequence[dict[str, object]]:
        """Return how the workers are doing."""
        return [
            {
                "worker": slot.number,
                "pid": slot.process.pid if slot.process is not None else None,
                "serving": slot.is_serving,
                "restarts": slot.restarts,
            }
            for slot in self._slots
        ]

    # The rest.

    def addresses(self) -> list[Address]:
        """Return the addresses that are served."""
        return self._addresses

    def service_changed(self, service: Service) -> None:
        """Tell the workers about a service."""
        for slot in self._slots:
            if slot.channel is not None:
                slot.channel.tell("services", {service.name: service.published()})

    async def stop(self, timeout_s: float) -> None:
        """Drain all workers, and end those that do not.

        Args:
            timeout_s: How long exchanges that are under way may take.
        """
        self._is_stopping = True
        for task in self._restarting:
            task.cancel()
        for slot in self._slots:
            if slot.channel is not None:
                slot.channel.tell("drain", timeout_s)
        deadline_s = time.monotonic() + timeout_s + KILL_AFTER_S
        for slot in self._slots:
            if slot.process is not None:
                await _ended(slot.process, deadline_s)
            for listening in slot.sockets.values():
                listening.close()

    async def _start(self, slot: _Slot) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        command = [sys.executable, "-m", "gateway.runtime.worker", str(theirs.fileno())]
        slot.process = await asyncio.to_thread(
            subprocess.Popen,
            command,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            # The terminal's Ctrl-C is for the control plane, which then drains the workers.
            start_new_session=True,
        )
        theirs.close()
        slot.started_s = time.monotonic()
        handlers: dict[str, Callable[..., Awaitable[Any]]] = {
            "socket": lambda address, backlog: self._socket(slot, address, backlog),
            "admin": self._admin,
        }
        slot.channel = Channel(ours, handlers, lambda: self._lost(slot))

    async def _call(self, slot: _Slot, name: str, *arguments: object) -> Any:  # noqa: ANN401 - as the handler says
        if slot.channel is None:
            raise ChannelClosed(f"worker {slot.number} is gone")
        return await slot.channel.call(name, *arguments)

    def _lost(self, slot: _Slot) -> None:
        slot.channel = None
        was_serving, slot.is_serving = slot.is_serving, False
        if self._is_stopping or not was_serving:
            return
        task = asyncio.get_running_loop().create_task(self._replace(slot))
        self._restarting.add(task)
        task.add_done_callback(self._restarting.discard)

    async def _replace(self, slot: _Slot) -> None:
        process = slot.process
        if process is not None:
            await _ended(process, time.monotonic() + KILL_AFTER_S)
            logger.error("worker %d (pid %d) died (%s) and is replaced", slot.number, process.pid, _exit_of(process))
        while not self._is_stopping:
            if time.monotonic() - slot.started_s > STEADY_AFTER_S:
                slot.delay_s = FIRST_DELAY_S
            else:
                await asyncio.sleep(slot.delay_s)
                slot.delay_s = min(2 * slot.delay_s, LONGEST_DELAY_S)
            slot.restarts += 1
            try:
                await self._start(slot)
                await self._call(slot, "prepare", self._options, self._services())
                await self._call(slot, "commit")
            except (ConfigurationError, ChannelClosed, TimeoutError, OSError) as error:
                logger.error("worker %d could not be replaced: %s", slot.number, error)  # noqa: TRY400 - says it all
                if slot.channel is not None:
                    slot.channel.close()
                if slot.process is not None:
                    await _ended(slot.process, time.monotonic())
                continue
            slot.is_serving = True
            logger.info("worker %d serves again", slot.number)
            return

    async def _socket(self, slot: _Slot, address: Address, backlog: int) -> Handed:
        listening = slot.sockets.get(address)
        if listening is None:
            host, port = address
            first = self._slots[0].sockets.get(address)
            if port == 0 and first is not None:
                # One free port for all of them.
                port = first.getsockname()[1]
            listening = slot.sockets[address] = bind((host, port), backlog=backlog, reuse_port=len(self._slots) > 1)
        return Handed(listening)

    async def _admin(self, request: AdminRequest, authorization: str | None) -> AdminAnswer | GatewayError:
        try:
            response = await self._answer_admin(request, authorization)
        except GatewayError as error:
            return error
        body = response.body if isinstance(response.body, bytes) else await response.body.read(16 * 1024 * 1024)
        return response.status, response.headers.pairs, body

    def _services(self) -> dict[str, Any]:
        return {name: self._directory.service(name).published() for name in self._directory.services()}


def _bound(slot: _Slot) -> list[Address]:
    return [listening.getsockname()[:2] for listening in slot.sockets.values()]


async def _ended(process: subprocess.Popen[bytes], deadline_s: float) -> None:
    """Wait until ``process`` ended; at the deadline it is killed."""
    while process.poll() is None and time.monotonic() < deadline_s:  # noqa: ASYNC110 - a process sets no event
        await asyncio.sleep(0.02)
    if process.poll() is None:
        logger.warning("worker with pid %d does not stop and is killed", process.pid)
        process.kill()
        await asyncio.to_thread(process.wait)


def _exit_of(process: subprocess.Popen[bytes]) -> str:
    code = process.returncode
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
