"""A worker: one data plane in a process of its own, told what to do by the control plane.

Started as ``python -m gateway.runtime.worker FD``, where ``FD`` is its end of the channel.
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
from gateway.logs import configure_logging
from gateway.runtime.channel import Channel, ChannelClosed
from gateway.runtime.dataplane import DataPlane
from gateway.runtime.loop import new_event_loop

if TYPE_CHECKING:
    from gateway.errors import GatewayError
    from gateway.interfaces import AdminRequest
    from gateway.runtime.listeners import Address
    from gateway.runtime.options import RunOptions

__all__ = ["AdminAnswer", "main"]

logger = logging.getLogger("gateway.runtime")

AdminAnswer = tuple[int, list[tuple[bytes, bytes]], bytes]
"""An answer of the control plane under ``/_gateway``: status, fields and body."""

Services = Mapping[str, tuple[tuple[Endpoint, ...], frozenset[tuple[str, str, int]]]]
"""What a service of the control plane is made of, by its name; see ``Service.published``."""

ORPHAN_DRAIN_S = 30.0


class Worker:
    """The worker's side of the channel."""

    def __init__(self, end: socket.socket) -> None:
        self._over = asyncio.Event()
        self._plane = DataPlane(self._answer_admin, self._obtain_socket)
        self._drain_s = ORPHAN_DRAIN_S
        handlers: dict[str, Callable[..., Awaitable[Any]]] = {
            "prepare": self._prepare,
            "commit": self._plane.commit,
            "discard": self._plane.discard,
            "services": self._take_services,
            "drain": self._drain,
            "report": self._report,
        }
        self._channel = Channel(end, handlers, self._orphaned)

    async def run(self) -> None:
        """Serve until told to drain, or until the control plane is gone."""
        loop = asyncio.get_running_loop()
        # The terminal sends SIGINT to the whole group; the control plane decides what follows.
        loop.add_signal_handler(signal.SIGINT, lambda: None)
        loop.add_signal_handler(signal.SIGTERM, self._over.set)
        await self._over.wait()
        await self._plane.drain(self._drain_s)
        self._channel.close()

    async def _prepare(self, options: RunOptions, services: Services) -> None:
        configuration = await asyncio.to_thread(options.load)
        configure_logging(configuration.gateway.logging.level, configuration.gateway.logging.format)
        await self._take_services(services)
        await self._plane.prepare(configuration)

    async def _take_services(self, services: Services) -> None:
        for name, (endpoints, refused) in services.items():
            self._plane.directory.take_over(name, endpoints, refused)

    async def _drain(self, timeout_s: float) -> None:
        self._drain_s = timeout_s
        self._over.set()

    async def _report(self) -> dict[str, object]:
        return {"pid": os.getpid(), "connections": self._plane.connections(), "inFlight": self._plane.in_flight()}

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

    def _orphaned(self) -> None:
        if not self._over.is_set():
            logger.error("the control plane is gone; this worker finishes what is under way and stops")
            self._over.set()


def main(arguments: list[str]) -> int:
    """Run a worker."""
    end = socket.socket(fileno=int(arguments[0]))
    configure_logging("info", "text")
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_run(end))
    return 0


async def _run(end: socket.socket) -> None:
    await Worker(end).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
