"""The data plane: serves exchanges with the current generation. One per worker, or the only one of the process."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING

from gateway.metrics import Metrics
from gateway.runtime.components import ComponentStore
from gateway.runtime.context import Surroundings
from gateway.runtime.deadlines import DeadlineSweep
from gateway.runtime.generation import Generation
from gateway.runtime.listeners import Listeners
from gateway.runtime.outbox import Outbox
from gateway.runtime.shared_memory import MemoryStore, SharedMemory
from gateway.runtime.supervision import Supervisor, end_tasks
from gateway.services.directory import ServiceDirectory

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from gateway.config import Configuration
    from gateway.errors import GatewayError
    from gateway.exchange import Exchange
    from gateway.interfaces import Adapter
    from gateway.metrics import FamilySnapshot
    from gateway.runtime.compiling import AnswerAdmin
    from gateway.runtime.listeners import Address, ObtainSocket
    from gateway.runtime.supervision import WorkReport

    ObtainMemory = Callable[[str, str, int], Awaitable[int]]
    """Returns the descriptor of a plugin's shared memory, given its name, the memory's key and its size in bytes."""

__all__ = ["DataPlane"]

logger = logging.getLogger("gateway.runtime")

POLL_S = 0.02
CUT_TIMEOUT_S = 1.0
"""How long connections that were cut may take to say so."""


class DataPlane:
    """Serves exchanges.

    Args:
        answer_admin: Answers requests under ``/_gateway``.
        obtain_socket: Returns a listening socket; ``None`` binds one.
        directory: The services; ``None`` makes a new one.
        changed: Called when background work is doing otherwise than before.
        obtain_memory: Returns the descriptor of shared memory; ``None`` makes it.

    Attributes:
        directory: The services.
    """

    def __init__(
        self,
        answer_admin: AnswerAdmin,
        obtain_socket: ObtainSocket | None = None,
        directory: ServiceDirectory | None = None,
        changed: Callable[[], None] = lambda: None,
        obtain_memory: ObtainMemory | None = None,
    ) -> None:
        self.directory = directory if directory is not None else ServiceDirectory()
        self._metrics = Metrics()
        self._own_gauges = _OwnGauges(self._metrics)
        self._memories = MemoryStore()
        self._obtain_memory = obtain_memory
        self._supervisor = Supervisor(changed)
        self._answer_admin = answer_admin
        self._deadlines = DeadlineSweep()
        self._listeners = Listeners(obtain_socket, self._metrics)
        self._surroundings = Surroundings(
            directory=self.directory,
            deadlines=self._deadlines,
            outbox=Outbox(),
            supervisor=self._supervisor,
            serve=self.serve,
            refuse=self.refuse,
            metrics=self._metrics,
            shared_memory=self.shared_memory,
            answer_admin=answer_admin,
        )
        self._store = ComponentStore(self._surroundings)
        self._generation: Generation | None = None
        self._prepared: Generation | None = None
        self._retiring: dict[Generation, asyncio.Task[None]] = {}
        self._is_hurried = False

    # Serving.

    def serve(self, exchange: Exchange) -> None:
        """Match ``exchange`` and run its route. Called by adapters for every request."""
        generation = self._generation
        assert generation is not None  # noqa: S101 - adapters accept connections after the first apply()
        generation.in_flight += 1
        request = exchange.request
        known = generation.known_routes.get((request.method, request.origin.host, request.path))
        if known is None:
            known = generation.find(exchange)
        compiled, params, path = known
        exchange.params = params
        request.path = exchange.upstream_path = path
        exchange.start(compiled)

    def refuse(self, exchange: Exchange, error: GatewayError) -> None:
        """Answer ``exchange`` with ``error``, before any route is matched."""
        generation = self._generation
        assert generation is not None  # noqa: S101 - adapters accept connections after the first apply()
        generation.in_flight += 1
        exchange.error = error
        exchange.start(generation.refused)

    # Configurations.

    async def prepare(self, configuration: Configuration) -> None:
        """Build and enter ``configuration`` beside what serves now; ``commit`` or ``discard`` follows.

        Raises:
            ConfigurationError: If it cannot be served; nothing has changed then.
        """
        await self.discard()
        self._surroundings.folder = configuration.folder
        self._surroundings.configuration = configuration
        services = {rule.route.service: self.directory.service(rule.route.service) for rule in configuration.rules}
        try:
            # In a thread: meanwhile the event loop serves.
            generation = await asyncio.to_thread(
                Generation, configuration, self._store, services, self._answer_admin, self._metrics
            )
        except BaseException:
            self._store.forget_unused()
            raise
        await generation.enter()
        try:
            await self._listeners.prepare(generation.listeners)
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
        """Serve what was prepared from now on; what served until now retires when nobody needs it any more."""
        generation, self._prepared = self._prepared, None
        assert generation is not None  # noqa: S101 - prepare() came first
        before, self._generation = self._generation, generation
        generation.connect_adapters()
        await self._listeners.commit()
        if before is None:
            self._deadlines.start(asyncio.get_running_loop())
        else:
            task = asyncio.get_running_loop().create_task(before.retire(), name="gateway retiring a configuration")
            self._retiring[before] = task
            task.add_done_callback(lambda task: self._retiring.pop(before, None))

    def adapter(self, name: str) -> Adapter:
        """Return the adapter of that name in the configuration in force.

        Raises:
            LookupError: If it is not on.
        """
        generation = self._generation
        for component in generation.components() if generation is not None else ():
            registration = component.configured.registration
            if (registration.kind, registration.name) == ("adapter", name):
                adapter: Adapter = component.instance
                return adapter
        raise LookupError(f"the adapter {name!r} is not on")

    # How it is doing.

    def addresses(self) -> list[Address]:
        """Return the addresses that are served, with the ports that the system chose."""
        return self._listeners.addresses()

    def wanted(self) -> list[Address]:
        """Return the addresses that are served, as the configuration has them."""
        return self._listeners.wanted()

    def connections(self) -> int:
        """Return how many clients are connected."""
        return sum(adapter.connections() for adapter in self._adapters())

    def in_flight(self) -> int:
        """Return how many exchanges are under way."""
        return sum(generation.in_flight for generation in self._generations())

    def work(self) -> Sequence[WorkReport]:
        """Return how the background work of its components is doing."""
        return self._supervisor.reports()

    async def workers(self) -> Sequence[dict[str, object]]:
        """Return nothing: this data plane lives in the process of the control plane."""
        return []

    async def metrics(self) -> Sequence[Sequence[FamilySnapshot]]:
        """Return what it measures."""
        self._own_gauges.connections.set(self.connections())
        self._own_gauges.in_flight.set(self.in_flight())
        return [self._metrics.snapshot()]

    async def exposed(self, plugin: str, key: str, *arguments: object) -> Sequence[object]:
        """Return what components of a plugin expose."""
        return self._surroundings.exposes(plugin, key, *arguments)

    def owner(self, module: str) -> str | None:
        """Return the name of the plugin that a module belongs to; ``None`` if it belongs to none."""
        plugin = self._generation.configuration.host.owner_of_module(module) if self._generation is not None else None
        return plugin.name if plugin is not None else None

    def _generations(self) -> list[Generation]:
        """Return those that are in use, the current one first."""
        return [*([self._generation] if self._generation is not None else []), *reversed(self._retiring)]

    def _adapters(self) -> list[Adapter]:
        """Return those that may have connections, each once."""
        return list(dict.fromkeys(adapter for generation in self._generations() for adapter in generation.adapters))

    # The end.

    async def stop(self, timeout_s: float) -> None:
        """Accept no more, finish what is under way, then exit all components.

        Args:
            timeout_s: After so many seconds what is still under way is cut.
        """
        await self._listeners.close()
        await self.discard()
        adapters = self._adapters()
        for drain in self._drains(adapters):
            _contained(drain)
        await self._until(lambda: self._is_hurried or not self.connections(), timeout_s)
        if open_connections := self.connections():
            logger.warning("%d connections did not finish in time and are cut", open_connections)
        for adapter in adapters:
            _contained(adapter.close)
        await self._until(lambda: not self.connections() and not self.in_flight(), CUT_TIMEOUT_S)
        self._deadlines.stop()
        generations = self._generations()
        await end_tasks(self._retiring.values())
        for generation in generations:
            await generation.leave()
        await self._supervisor.stop()
        self._memories.close()

    def _drains(self, adapters: Sequence[Adapter]) -> list[Callable[[], None]]:
        """Return what tells those who hold clients that the gateway stops; connections that are idle end last."""
        others = (
            component.instance
            for generation in self._generations()
            for component in generation.components()
            if component.instance not in adapters and hasattr(component.instance, "drain")
        )
        return [instance.drain for instance in (*dict.fromkeys(others), *adapters)]

    def hurry(self) -> None:
        """Cut what is under way: whoever stops the gateway does not want to wait."""
        self._is_hurried = True

    async def shared_memory(self, plugin: str, key: str, size_bytes: int) -> SharedMemory:
        """Return the shared memory of a plugin."""
        if self._obtain_memory is not None:
            return SharedMemory(await self._obtain_memory(plugin, key, size_bytes), size_bytes)
        descriptor = os.dup(self._memories.file(plugin, key, size_bytes).fileno())
        return SharedMemory(descriptor, size_bytes, is_alone=True)

    async def _until(self, is_so: Callable[[], bool], timeout_s: float) -> None:
        # Polled: connections end in protocol callbacks, which would each have to know of an event.
        deadline_s = asyncio.get_running_loop().time() + timeout_s
        while not is_so() and asyncio.get_running_loop().time() < deadline_s:  # noqa: ASYNC110 - see above
            await asyncio.sleep(POLL_S)


class _OwnGauges:
    """What the data plane itself measures."""

    def __init__(self, metrics: Metrics) -> None:
        self.connections = metrics.gauge("gateway_client_connections", "Clients that are connected.").labels()
        self.in_flight = metrics.gauge("gateway_exchanges_in_flight", "Requests that are being answered.").labels()


def _contained(tell: Callable[[], None]) -> None:
    """Tell a component something; its failure must not keep the rest from stopping."""
    try:
        tell()
    except Exception:
        logger.exception("a component failed when it was told to stop")
