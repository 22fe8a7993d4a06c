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
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from gateway.exchange import Response
from gateway.headers import Headers
from gateway.interfaces import Endpoint
from gateway.logs import LogHandler, configure_logging
from gateway.runtime.channel import Channel, ChannelClosed
from gateway.runtime.dataplane import DataPlane
from gateway.runtime.loop import calm_garbage_collector, new_event_loop
from gateway.runtime.watchdog import LoopWatchdog
from gateway.services import ServiceDirectory

if TYPE_CHECKING:
    from gateway.errors import GatewayError
    from gateway.interfaces import AdminRequest, Instance
    from gateway.runtime.listeners import Address
    from gateway.runtime.options import RunOptions

__all__ = ["AdminAnswer", "Worker", "main"]

logger = logging.getLogger("gateway.runtime")

AdminAnswer = tuple[int, list[tuple[bytes, bytes]], bytes]
"""An answer of the control plane under ``/_gateway``: status, fields and body."""

Services = Mapping[str, tuple[tuple[Endpoint, ...], frozenset[tuple[str, str, int]]]]
"""What a service of the control plane is made of, by its name; see ``Service.published``."""

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
        self._directory = _MirroredDirectory(self._mark_everywhere)
        self._plane = DataPlane(self._answer_admin, self._obtain_socket, self._directory, self._work_changed)
        handlers: dict[str, Callable[..., Awaitable[Any]]] = {
            "prepare": self._prepare,
            "commit": self._commit,
            "discard": self._plane.discard,
            "services": self._take_services,
            "drain": self._drain,
            "report": self._report,
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
        await self._take_services(services)
        configuration = await asyncio.to_thread(options.load)
        log_as(self._number, configuration.gateway.logging.level, configuration.gateway.logging.format)
        await self._plane.prepare(configuration)

    async def _commit(self) -> list[Address]:
        await self._plane.commit()
        if not self._is_serving:
            self._is_serving = True
            calm_garbage_collector()
        return self._plane.wanted()

    async def _take_services(self, services: Services) -> None:
        for name, (endpoints, refused) in services.items():
            self._directory.take_over(name, endpoints, refused)

    async def _drain(self, timeout_s: float) -> None:
        self._drain_s = timeout_s
        if self._over.is_set():
            self._plane.hurry()
        self._over.set()

    async def _report(self) -> dict[str, object]:
        return {"connections": self._plane.connections(), "inFlight": self._plane.in_flight()}

    # What it asks the control plane.

    async def _obtain_socket(self, address: Address, backlog: int) -> socket.socket:
        found: socket.socket = await self._channel.call("socket", address, backlog)
        return found

    async def _answer_admin(self, request: AdminRequest, authorization: str | None) -> Response:
        try:
            answer: AdminAnswer | GatewayError = await self._channel.call("admin", request, authorization)
        except (ChannelClosed, TimeoutError):
            return Response.json({"status": "unhealthy"}, status=503)
        if isinstance(answer, tuple):
            status, pairs, body = answer
            return Response(status, headers=Headers(pairs), body=body)
        raise answer

    def _mark_everywhere(self, instance: Instance, *, is_healthy: bool, reason: str) -> None:
        self._channel.tell("mark", instance.service, instance.endpoint, is_healthy, reason)

    def _work_changed(self) -> None:
        self._channel.tell("work", self._plane.work())

    def _orphaned(self) -> None:
        if not self._over.is_set():
            logger.error("the control plane is gone; this worker finishes what is under way and stops")
            self._over.set()


class _MirroredDirectory(ServiceDirectory):
    """What the control plane's directory says. What is found out here is told there, and so to every worker.

    Args:
        mark: Tells it.
    """

    def __init__(self, mark: Callable[..., None]) -> None:
        super().__init__()
        self._mark = mark

    def mark(self, instance: Instance, *, is_healthy: bool, reason: str) -> None:
        """Say whether ``instance`` works: here at once, elsewhere soon. The control plane logs it."""
        if self.service(instance.service).mark(instance, is_healthy=is_healthy):
            self._mark(instance, is_healthy=is_healthy, reason=reason)


def log_as(number: int, level: str, format: str) -> None:  # noqa: A002 - as the configuration has it: logging.format
    """Write log records, each with the worker's number.

    Args:
        number: The number.
        level: As for ``configure_logging``.
        format: As for ``configure_logging``.
    """

    def note(record: logging.LogRecord) -> bool:
        record.worker = number
        return True

    configure_logging(level, format)
    for handler in logging.getLogger().handlers:
        if isinstance(handler, LogHandler):
            handler.addFilter(note)


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
