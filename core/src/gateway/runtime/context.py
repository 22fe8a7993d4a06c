"""What a component is given when it is built."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from gateway.errors import ErrorType, GatewayError
from gateway.metrics import Metrics
from gateway.runtime.quotas import limits_of, quota_of
from gateway.runtime.shared_memory import own_memory
from gateway.runtime.supervision import end_tasks

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from gateway.config import Configuration, Configured
    from gateway.exchange import Exchange
    from gateway.interfaces import AdminRequest, Background, Deadlines, Directory, Outbox, Quota
    from gateway.messages import Response
    from gateway.metrics import FamilySnapshot
    from gateway.pluginhost import Plugin
    from gateway.runtime.shared_memory import SharedMemory
    from gateway.runtime.supervision import Supervisor
    from gateway.services.directory import ServiceDirectory

    AnswerAdmin = Callable[[AdminRequest, str | None], Awaitable[Response]]
    """Answers a request under ``/_gateway`` that came with this ``Authorization``."""

T = TypeVar("T")

__all__ = ["ComponentContext", "Gather", "Surroundings"]


@dataclass(slots=True, kw_only=True)
class Surroundings:
    """What all components of a gateway share.

    Attributes:
        directory: The services.
        deadlines: The coarse sweep.
        outbox: Sends small messages together.
        supervisor: Runs background work.
        serve: Answers an exchange.
        refuse: Answers an exchange with an error, before any route is matched.
        metrics: What this process measures.
        shared_memory: Returns the memory of a plugin, by its name, key and size; by itself one that nobody shares.
        gather: What the control plane knows of all workers; ``None`` elsewhere.
        answer_admin: Answers requests under ``/_gateway``; ``None`` where nobody does.
        folder: What relative paths in the configuration are relative to.
        configuration: The one that components are built for; ``None`` if they are built for none.
        kept: State that outlives reloads, by registration and key.
        exposed: What components let the control plane see, by plugin and key; the last of them is asked.
        speaking: How many components speak to the directory under a name.
    """

    directory: ServiceDirectory
    deadlines: Deadlines
    outbox: Outbox
    supervisor: Supervisor
    serve: Callable[[Exchange], None]
    refuse: Callable[[Exchange, GatewayError], None]
    metrics: Metrics = field(default_factory=Metrics)
    shared_memory: Callable[[str, str, int], Awaitable[SharedMemory]] = own_memory
    gather: Gather | None = None
    answer_admin: AnswerAdmin | None = None
    folder: Path = field(default_factory=Path.cwd)
    configuration: Configuration | None = None
    kept: dict[tuple[str, str, str], Any] = field(default_factory=dict)
    exposed: dict[tuple[str, str], dict[object, Callable[..., object]]] = field(default_factory=dict)
    speaking: Counter[str] = field(default_factory=Counter)

    def exposes(self, plugin: str, key: str, *arguments: object) -> list[object]:
        """Return what components of a plugin expose here: nothing, or one value."""
        made = list(self.exposed.get((plugin, key), {}).values())
        return [made[-1](*arguments)] if made else []


class Gather(Protocol):
    """What is known of the whole gateway."""

    async def metrics(self) -> Sequence[FamilySnapshot]:
        """Return what all processes measure together."""

    async def exposed(self, plugin: str, key: str, *arguments: object) -> Sequence[object]:
        """Return what components of a plugin expose, one value for each process that has one."""


class ComponentContext:
    """Implements ``gateway.interfaces.BuildContext`` for one component."""

    def __init__(
        self,
        kind: str,
        name: str,
        plugin: Plugin,
        surroundings: Surroundings,
        obtain: Callable[[Configured], Any] | None = None,
    ) -> None:
        self.name = name
        self._obtain = obtain
        self._quotas: list[tuple[str, Mapping[str, object], list[object]]] = []
        self._connectors: dict[str, object | None] = {}
        self.logger = logging.getLogger(f"gateway.plugins.{plugin.distribution}")
        self.deadlines = surroundings.deadlines
        self.outbox = surroundings.outbox
        self._source = f"{kind} {name!r}"
        self.directory: Directory = surroundings.directory.heard_from(self._source)
        self.serve = surroundings.serve
        self.refuse = surroundings.refuse
        self.metrics = surroundings.metrics
        self._kind = kind
        self._plugin = plugin.name
        self._surroundings = surroundings
        self._work: list[tuple[str, Callable[[], Awaitable[None]]]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_started = False
        self._is_stopped = False
        self._has_begun = False

    @property
    def background(self) -> Background:
        """The component's supervised work."""
        return self

    def quotas(self, limiter: str, settings: Mapping[str, object]) -> Sequence[Quota]:
        """Return limits of another plugin's limiter that this component charges."""
        configuration = self._surroundings.configuration
        if configuration is None or self._obtain is None:
            msg = f"{self._source} is built for no configuration, which would know of the limiter {limiter!r}"
            raise ValueError(msg)
        limits = limits_of(configuration, limiter, settings)
        self._quotas.append((limiter, settings, [limit.config for limit in limits]))
        return [quota_of(self._source, limit, self._obtain(limit)) for limit in limits]

    def connector_config(self, name: str) -> object | None:
        """Return how a connector is configured; ``None`` if it is not on."""
        found = self._connectors[name] = self._config_of_connector(name)
        return found

    def resolve(self, path: str | Path) -> Path:
        """Return ``path``, relative to the configuration file's folder."""
        return self._surroundings.folder / Path(path).expanduser()

    def keep(self, key: str, make: Callable[[], T]) -> T:
        """Return what is kept under ``key``, else keep what ``make`` returns."""
        full_key = (self._kind, self.name, key)
        if full_key not in self._surroundings.kept:
            self._surroundings.kept[full_key] = make()
        kept: T = self._surroundings.kept[full_key]
        return kept

    async def gather_metrics(self) -> Sequence[FamilySnapshot]:
        """Return what all processes measure together."""
        return await self._gather().metrics()

    def expose(self, key: str, make: Callable[..., object]) -> None:
        """Let the control plane see what ``make`` returns."""
        self._surroundings.exposed.setdefault((self._plugin, key), {})[self] = make

    async def collect(self, key: str, *arguments: object) -> Sequence[object]:
        """Return what the plugin's components expose under ``key``."""
        return await self._gather().exposed(self._plugin, key, *arguments)

    async def ask_admin(self, request: AdminRequest) -> Response:
        """Return what an endpoint under ``/_gateway`` answers to somebody without the token."""
        if self._surroundings.answer_admin is None:
            raise GatewayError(ErrorType.UNAVAILABLE, "nobody answers under /_gateway")
        return await self._surroundings.answer_admin(request, None)

    async def shared_memory(self, key: str, size_bytes: int) -> SharedMemory:
        """Return the plugin's memory ``key``."""
        return await self._surroundings.shared_memory(self._plugin, key, size_bytes)

    def _gather(self) -> Gather:
        if self._surroundings.gather is None:
            msg = f"{self._kind} {self.name!r} serves requests; only components of the control plane know all workers"
            raise RuntimeError(msg)
        return self._surroundings.gather

    # gateway.interfaces.Background

    def start(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run ``work`` once the component is entered, or at once if it is.

        Raises:
            RuntimeError: If the component was exited.
        """
        if self._is_stopped:
            msg = f"{self._kind} {self.name!r} was exited; it cannot start {name!r} any more"
            raise RuntimeError(msg)
        self._work.append((f"{self._kind} {self.name}: {name}", work))
        if self._is_started:
            self.start_background()

    # The core's side.

    def begin(self) -> None:
        """The component begins to be used."""
        self._has_begun = True
        self._surroundings.speaking[self._source] += 1

    def end(self) -> None:
        """The component is not used any more; the last one of its registration takes what they said with it."""
        if not self._has_begun:
            return
        self._has_begun = False
        self._surroundings.speaking[self._source] -= 1
        if not self._surroundings.speaking[self._source]:
            del self._surroundings.speaking[self._source]
            self._surroundings.directory.forget_marks(self._source)

    def _config_of_connector(self, name: str) -> object | None:
        configuration = self._surroundings.configuration
        connectors = configuration.connectors if configuration is not None else ()
        return next((configured.config for configured in connectors if configured.name == name), None)

    @property
    def is_current(self) -> bool:
        """Whether what it was told of limiters and connectors is still what the configuration says of them."""
        configuration = self._surroundings.configuration
        if configuration is not None and any(
            self._config_of_connector(name) != config for name, config in self._connectors.items()
        ):
            return False
        try:
            return configuration is None or all(
                configs == [limit.config for limit in limits_of(configuration, limiter, settings)]
                for limiter, settings, configs in self._quotas
            )
        except ValueError:
            return False

    @property
    def has_background(self) -> bool:
        """Whether the component has asked for background work."""
        return bool(self._work or self._tasks)

    def start_background(self) -> None:
        """Start what was asked for."""
        self._is_started = True
        work, self._work = self._work, []
        for label, each in work:
            task = self._surroundings.supervisor.start(label, each)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def stop_background(self) -> None:
        """Cancel the component's work and wait for it."""
        self._is_stopped = True
        await end_tasks(self._tasks)
        for each in self._surroundings.exposed.values():
            each.pop(self, None)


if TYPE_CHECKING:
    from gateway.interfaces import BuildContext

    _: type[BuildContext] = ComponentContext
