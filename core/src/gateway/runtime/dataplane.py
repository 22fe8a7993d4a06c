"""The data plane: serves exchanges with the current generation. One per worker, or the only one of the process."""

from __future__ import annotations

import asyncio
import gc
import logging
from typing import TYPE_CHECKING

from gateway.runtime.components import ComponentStore
from gateway.runtime.context import Surroundings
from gateway.runtime.deadlines import DeadlineSweep
from gateway.runtime.generation import Generation
from gateway.runtime.listeners import Listeners
from gateway.runtime.outbox import Outbox
from gateway.runtime.supervision import Supervisor
from gateway.services.directory import ServiceDirectory

if TYPE_CHECKING:
    from gateway.config import Configuration
    from gateway.errors import GatewayError
    from gateway.exchange import Exchange
    from gateway.interfaces import Adapter, Listener
    from gateway.runtime.generation import AnswerAdmin
    from gateway.runtime.listeners import Address, ObtainSocket

__all__ = ["DataPlane"]

logger = logging.getLogger("gateway.runtime")

DRAIN_POLL_S = 0.02
GC_GENERATION_0 = 50_000
"""Allocations between two collections. The request path makes no cycles, so collecting often only costs."""


class DataPlane:
    """Serves exchanges.

    Args:
        answer_admin: Answers requests under ``/_gateway``.
        obtain_socket: Returns a listening socket; ``None`` binds one.
        directory: The services; ``None`` makes a new one.

    Attributes:
        directory: The services.
        supervisor: The background work of its components.
        is_draining: Whether it is about to stop.
    """

    def __init__(
        self,
        answer_admin: AnswerAdmin,
        obtain_socket: ObtainSocket | None = None,
        directory: ServiceDirectory | None = None,
    ) -> None:
        self.directory = directory if directory is not None else ServiceDirectory()
        self.supervisor = Supervisor()
        self.is_draining = False
        self._answer_admin = answer_admin
        self._deadlines = DeadlineSweep()
        self._listeners = Listeners(obtain_socket)
        self._surroundings = Surroundings(
            directory=self.directory,
            deadlines=self._deadlines,
            outbox=Outbox(),
            supervisor=self.supervisor,
            serve=self.serve,
            refuse=self.refuse,
        )
        self._store = ComponentStore(self._surroundings)
        self._generation: Generation | None = None
        self._prepared: Generation | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        self._adapters: list[Adapter] = []

    # Serving.

    def serve(self, exchange: Exchange) -> None:
        """Match ``exchange`` and run its route. Called by adapters for every request."""
        generation = self._generation
        assert generation is not None  # noqa: S101 - adapters accept connections after the first apply()
        generation.in_flight += 1
        request = exchange.request
        known = generation.known_routes.get((request.method, request.host, request.path))
        if known is None:
            known = generation.find(request)
        compiled, params, path = known
        exchange.params = params
        request.path = exchange.upstream_path = path
        exchange.start(compiled)

    def refuse(self, exchange: Exchange, error: GatewayError) -> None:
        """Answer ``exchange`` with ``error``, before any route is matched."""
        generation = self._generation
        assert generation is not None  # noqa: S101 - adapters accept connections after the first apply()
        generation.in_flight += 1
        exchange.start(generation.refusing(error))

    # Configurations.

    async def prepare(self, configuration: Configuration) -> None:
        """Build and enter ``configuration`` beside what serves now; ``commit`` or ``discard`` follows.

        Raises:
            ConfigurationError: If it cannot be served; nothing has changed then.
        """
        await self.discard()
        self._surroundings.folder = configuration.folder
        generation = Generation(configuration, self._store, self.directory, self._answer_admin)
        await generation.enter()
        try:
            await self._listeners.open([listener for _, listener in _listeners_of(generation)])
        except BaseException:
            await generation.leave()
            raise
        self._prepared = generation

    async def discard(self) -> None:
        """Forget what was prepared."""
        prepared, self._prepared = self._prepared, None
        if prepared is not None:
            self._listeners.discard()
            await prepared.leave()

    async def commit(self) -> None:
        """Serve what was prepared from now on; what served until now drains."""
        generation, self._prepared = self._prepared, None
        assert generation is not None  # noqa: S101 - prepare() came first
        before, self._generation = self._generation, generation
        await self._listeners.serve(_listeners_of(generation))
        self._adapters = [*(each for each in self._adapters if each.connections()), *generation.adapters]
        if before is None:
            self._deadlines.start(asyncio.get_running_loop())
            _calm_garbage_collector()
        else:
            self._retire(before)

    def addresses(self) -> list[Address]:
        """Return the addresses that are served."""
        return self._listeners.addresses()

    def connections(self) -> int:
        """Return how many clients are connected."""
        return sum(adapter.connections() for adapter in dict.fromkeys(self._adapters))

    def in_flight(self) -> int:
        """Return how many exchanges of the current generation are under way."""
        return self._generation.in_flight if self._generation is not None else 0

    def workers(self) -> list[dict[str, object]]:
        """Return nothing: this data plane lives in the process of the control plane."""
        return []

    def _retire(self, generation: Generation) -> None:
        timeout_s = generation.configuration.gateway.shutdown_timeout
        task = asyncio.get_running_loop().create_task(generation.retire(timeout_s))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    # The end.

    async def drain(self, timeout_s: float) -> None:
        """Stop: accept no more, finish what is under way, then exit all components.

        Args:
            timeout_s: After so many seconds what is still under way is cut.
        """
        self.is_draining = True
        self._listeners.close()
        adapters = list(dict.fromkeys(self._adapters))
        for adapter in adapters:
            adapter.drain()
        deadline_s = asyncio.get_running_loop().time() + timeout_s
        # Polled: connections end in protocol callbacks, which would each have to know of an event.
        while self.connections() and asyncio.get_running_loop().time() < deadline_s:  # noqa: ASYNC110 - see above
            await asyncio.sleep(DRAIN_POLL_S)
        if open_connections := self.connections():
            logger.warning("%d connections did not finish within %.0f s and are cut", open_connections, timeout_s)
        for adapter in adapters:
            adapter.close()
        self._deadlines.stop()
        for task in list(self._retiring):
            task.cancel()
        if self._generation is not None:
            await self._generation.leave()
        await self.supervisor.stop()


def _listeners_of(generation: Generation) -> list[tuple[Adapter, Listener]]:
    return [(adapter, listener) for adapter in generation.adapters for listener in adapter.listeners()]


def _calm_garbage_collector() -> None:
    """Collect rarely, and never look at what was loaded at the start (Instagram's gc.freeze, CPython 3.7)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_GENERATION_0, 20, 50)
