"""A worker: one data plane in a process of its own, told what to do by the control plane.

Started as ``python -m gateway.runtime.worker FD NUMBER``, where ``FD`` is its end of the channel.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.headers import Headers
from gateway.logs import LogHandler, configure_logging
from gateway.messages import Response
from gateway.runtime.channel import Channel, ChannelClosed
from gateway.runtime.dataplane import DataPlane
from gateway.runtime.loop import calm_garbage_collector, new_event_loop, shorten_turns_of_threads
from gateway.runtime.watchdog import LoopWatchdog
from gateway.services import Change, Published, ServiceDirectory, worker_source

if TYPE_CHECKING:
    from gateway.config import Configuration
    from gateway.errors import GatewayError
    from gateway.interfaces import AdminRequest, Endpoint, Instance, Mark
    from gateway.metrics import FamilySnapshot
    from gateway.runtime.listeners import Address
    from gateway.runtime.options import RunOptions

__all__ = ["AdminAnswer", "Worker", "main"]

logger = logging.getLogger("gateway.runtime")

AdminAnswer = tuple[int, list[tuple[bytes, bytes]], bytes]
"""An answer of the control plane under ``/_gateway``: status, fields and body."""

Services = Mapping[str, Published]
"""What services of the control plane are made of, by their names."""

ORPHAN_DRAIN_S = 30.0
"""How long exchanges may take when the control plane is gone, and cannot say."""


class Worker:
    """The worker's side of the channel.

    Args:
        end: Its end of the channel.
        number: Which worker it is, for logs.
    """

    def __init__(self, end: socket.socket, number: int) -> None:
        self._number = number
        self._over = asyncio.Event()
        self._drain_s = ORPHAN_DRAIN_S
        self._is_serving = False
        self._base: Configuration | None = None
        self._base_id = ""
        self._directory = _MirroredDirectory(number, self._tell)
        # Of changes that came in part.
        self._pieces: dict[str, list[Change]] = {}
        self._plane = DataPlane(
            self._answer_admin, self._obtain_socket, self._directory, self._work_changed, self._obtain_memory
        )
        handlers: dict[str, Callable[..., Awaitable[Any]]] = {
            "prepare": self._prepare,
            "commit": self._commit,
            "discard": self._plane.discard,
            "change": self._take_change,
            "marks": self._take_marks,
            "drain": self._drain,
            "report": self._report,
            "metrics": self._metrics,
            "exposed": self._plane.exposed,
        }
        self._channel = Channel(end, handlers, self._orphaned)

    async def run(self) -> None:
        """Serve until told to drain, or until the control plane is gone."""
        loop = asyncio.get_running_loop()
        # Whoever signals a whole group of processes means the control plane, which decides what follows.
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(each, lambda: None)
        watchdog = LoopWatchdog(loop, self._plane.owner)
        watchdog.start()
        await self._over.wait()
        await self._plane.stop(self._drain_s)
        watchdog.stop()
        self._channel.close()

    # What the control plane calls.

    async def _prepare(self, options: RunOptions, services: Services) -> None:
        # Before anything is waited for: what the control plane tells of services from now on is newer.
        for name, published in services.items():
            self._directory.take_over(name, published)
        configuration = await asyncio.to_thread(self._load, options)
        log_as(self._number, configuration.gateway.logging.level, configuration.gateway.logging.format)
        await self._plane.prepare(configuration)

    def _load(self, options: RunOptions) -> Configuration:
        """Load what the control plane validated; nothing is read again where only rules of route sources changed."""
        from gateway.config import add_rules  # noqa: PLC0415 - as in RunOptions.load

        base = self._base
        if base is None or not options.base or options.base != self._base_id:
            base = self._base = options.load()
            self._base_id = options.base
        return add_rules(base, options.sourced)

    async def _commit(self) -> list[Address]:
        # A new route must not meet a service that is still being made.
        await self._directory.settled()
        await self._plane.commit()
        if not self._is_serving:
            self._is_serving = True
            calm_garbage_collector()
            shorten_turns_of_threads()
        return self._plane.wanted()

    async def _take_change(self, service: str, piece: Change) -> None:
        pieces = self._pieces.setdefault(service, [])
        pieces.append(piece)
        if piece.is_last:
            del self._pieces[service]
            self._directory.take_change(service, Change.of(pieces))

    async def _take_marks(self, service: str, endpoint: Endpoint, marks: Mapping[str, Mark]) -> None:
        self._directory.take_marks(service, endpoint, marks)

    async def _drain(self, timeout_s: float) -> None:
        self._drain_s = timeout_s
        if self._over.is_set():
            self._plane.hurry()
        self._over.set()

    async def _report(self) -> dict[str, object]:
        return {"connections": self._plane.connections(), "inFlight": self._plane.in_flight()}

    async def _metrics(self) -> Sequence[FamilySnapshot]:
        (snapshot,) = await self._plane.metrics()
        return snapshot

    # What it asks the control plane.

    async def _obtain_socket(self, address: Address, backlog: int) -> socket.socket:
        return socket.socket(fileno=await self._channel.call("socket", address, backlog))

    async def _obtain_memory(self, plugin: str, key: str, size_bytes: int) -> int:
        descriptor: int = await self._channel.call("memory", plugin, key, size_bytes)
        return descriptor

    async def _answer_admin(self, request: AdminRequest, authorization: str | None) -> Response:
        try:
            answer: AdminAnswer | GatewayError = await self._channel.call("admin", request, authorization)
        except (ChannelClosed, TimeoutError):
            return Response.json({"status": "unhealthy"}, status=503)
        if isinstance(answer, tuple):
            status, pairs, body = answer
            return Response(status, headers=Headers(pairs), body=body)
        raise answer

    def _tell(self, name: str, *arguments: object) -> None:
        self._channel.tell(name, *arguments)

    def _work_changed(self) -> None:
        self._channel.tell("work", self._plane.work())

    def _orphaned(self) -> None:
        if not self._over.is_set():
            logger.error("the control plane is gone; this worker finishes what is under way and stops")
            self._over.set()


class _MirroredDirectory(ServiceDirectory):
    """What the control plane's directory says. What is found out here is told there, and so to every worker.

    Args:
        number: Which worker it is.
        tell: Tells the control plane.
    """

    def __init__(self, number: int, tell: Callable[..., None]) -> None:
        super().__init__()
        self._number = number
        self._tell_control = tell

    def put_mark(self, source: str, instance: Instance, mark: Mark | None, reason: str) -> bool:
        """Take over what a component says: here at once, elsewhere soon. The control plane logs it."""
        has_changed = self.service(instance.service).put_mark(worker_source(self._number, source), instance, mark)
        if has_changed:
            self._tell_control("mark", instance.service, instance.endpoint, source, mark, reason)
        return has_changed

    def forget_marks(self, source: str) -> None:
        """Forget what a component of this worker said."""
        super().forget_marks(worker_source(self._number, source))
        self._tell_control("forget_marks", source)


def log_as(number: int, level: str, format: str) -> None:  # noqa: A002 - as the configuration has it: logging.format
    """Write log records, each with the worker's number.

    Args:
        number: The number.
        level: As for ``configure_logging``.
        format: As for ``configure_logging``.
    """
    configure_logging(level, format)
    for handler in logging.getLogger().handlers:
        if isinstance(handler, LogHandler):
            handler.addFilter(_WorkerNumber(number))


@dataclass(frozen=True)
class _WorkerNumber(logging.Filter):
    """Notes in every record which worker wrote it. Equal ones are added to a handler once."""

    number: int

    def filter(self, record: logging.LogRecord) -> bool:
        """Let the record pass."""
        record.worker = self.number
        return True


def main(arguments: list[str]) -> int:
    """Run a worker."""
    descriptor, number = map(int, arguments)
    log_as(number, "info", "text")
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_run(socket.socket(fileno=descriptor), number))
    return os.EX_OK


async def _run(end: socket.socket, number: int) -> None:
    await Worker(end, number).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
