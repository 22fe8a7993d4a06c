"""What a component is given when it is built."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from gateway.runtime.supervision import end_tasks

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    from gateway.errors import GatewayError
    from gateway.exchange import Exchange
    from gateway.interfaces import Background, Deadlines, Outbox
    from gateway.pluginhost import Plugin
    from gateway.runtime.supervision import Supervisor
    from gateway.services.directory import ServiceDirectory

T = TypeVar("T")

__all__ = ["ComponentContext", "Surroundings"]


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
        folder: What relative paths in the configuration are relative to.
        kept: State that outlives reloads, by registration and key.
    """

    directory: ServiceDirectory
    deadlines: Deadlines
    outbox: Outbox
    supervisor: Supervisor
    serve: Callable[[Exchange], None]
    refuse: Callable[[Exchange, GatewayError], None]
    folder: Path = field(default_factory=Path.cwd)
    kept: dict[tuple[str, str, str], Any] = field(default_factory=dict)


class ComponentContext:
    """Implements ``gateway.interfaces.BuildContext`` for one component."""

    def __init__(self, kind: str, name: str, plugin: Plugin, surroundings: Surroundings) -> None:
        self.name = name
        self.logger = logging.getLogger(f"gateway.plugins.{plugin.distribution}")
        self.deadlines = surroundings.deadlines
        self.outbox = surroundings.outbox
        self.directory = surroundings.directory
        self.serve = surroundings.serve
        self.refuse = surroundings.refuse
        self._kind = kind
        self._surroundings = surroundings
        self._work: list[tuple[str, Callable[[], Awaitable[None]]]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_started = False
        self._is_stopped = False

    @property
    def background(self) -> Background:
        """The component's supervised work."""
        return self

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


if TYPE_CHECKING:
    from gateway.interfaces import BuildContext

    _: type[BuildContext] = ComponentContext
