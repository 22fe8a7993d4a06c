"""Where components are built, entered and exited as a gateway does it, with nothing around them."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from gateway.config import Configured
from gateway.pluginhost import Plugin
from gateway.registrations import LimiterRegistration
from gateway.runtime.components import ComponentStore
from gateway.runtime.context import Surroundings
from gateway.runtime.deadlines import DeadlineSweep
from gateway.runtime.outbox import Outbox
from gateway.runtime.supervision import Supervisor
from gateway.services import ServiceDirectory

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from gateway.errors import GatewayError
    from gateway.exchange import Exchange
    from gateway.interfaces import Directory
    from gateway.metrics import FamilySnapshot, Metrics
    from gateway.registrations import Registration
    from gateway.runtime.components import Component

__all__ = ["Workbench"]

_RESTART_S = 0.02
"""How long crashed background work waits at most; a gateway waits up to half a minute, a test need not."""

_CONTROL_KINDS = frozenset({"admin route", "discovery provider", "health checker", "route source"})
"""The components of the control plane, which may ask what all workers have."""


class Workbench:
    """``async with Workbench() as bench: limiter = await bench.build(registration, {"rate": 5})``.

    What is built is entered, and exited when the bench is left, in reverse order.

    Args:
        folder: What relative paths in a configuration are relative to; ``None`` is the working folder.
        plugin: The plugin that everything on the bench belongs to, so that its components see what they expose to each
            other; empty takes each as a plugin of its own.

    Attributes:
        serve: Takes the exchanges that adapters begin; a test sets it.
        refuse: Takes what adapters refuse, likewise.
        directory: The services, which a test may publish to.
        metrics: What the components measure.
        supervisor: Runs background work, and starts it again at once if it crashes.
        complaints: What the gateway would have logged about the components' lives, warnings and errors.
    """

    def __init__(self, folder: Path | None = None, *, plugin: str = "") -> None:
        self.serve: Callable[[Exchange], None] = _serve_nothing
        self.refuse: Callable[[Exchange, GatewayError], None] = _refuse_nothing
        self.directory = ServiceDirectory()
        self.supervisor = Supervisor(sleep=lambda delay_s: asyncio.sleep(min(delay_s, _RESTART_S)))
        self.complaints: list[str] = []
        self._deadlines = DeadlineSweep()
        self._surroundings = Surroundings(
            directory=self.directory,
            deadlines=self._deadlines,
            outbox=Outbox(),
            supervisor=self.supervisor,
            serve=self._serve,
            refuse=self._refuse,
        )
        if folder is not None:
            self._surroundings.folder = folder
        self._plugin = plugin
        self._store = ComponentStore(self._surroundings)
        self._control_store = ComponentStore(replace(self._surroundings, gather=_OnlyThis(self._surroundings)))
        self._entered: list[Component] = []
        self._listener = _Listener(self.complaints.append)

    @property
    def metrics(self) -> Metrics:
        """What the components measure."""
        return self._surroundings.metrics

    async def build(self, registration: Registration, block: Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401 - of any interface
        """Build a component, in a thread as a gateway does, and enter it.

        Args:
            registration: What is offered.
            block: Its configuration as it stands in the YAML; a limiter's must mean one limit.

        Raises:
            ConfigurationError: If it cannot be built or entered.
            ValidationError: If the configuration is not valid.
        """
        component = await self._component(registration, block)
        self._entered.append(component)
        await component.enter()
        return component.instance

    def heard_from(self, name: str) -> Directory:
        """Return the directory as a component called ``name`` sees it."""
        return self.directory.heard_from(name)

    async def clear(self) -> None:
        """Exit everything that was built."""
        while self._entered:
            await self._entered.pop().exit()

    def _serve(self, exchange: Exchange) -> None:
        self.serve(exchange)  # as it is by then

    def _refuse(self, exchange: Exchange, error: GatewayError) -> None:
        self.refuse(exchange, error)

    async def _component(self, registration: Registration, block: Mapping[str, Any] | None) -> Component:
        config: Any = registration.config.model_validate(dict(block or {}))
        if isinstance(registration, LimiterRegistration):
            (config,) = registration.limits_of(config)
        plugin = Plugin(name=self._plugin or registration.name, distribution=f"gateway-{registration.name}")
        configured = Configured(plugin=plugin, registration=registration, config=config, where="test")
        store = self._control_store if registration.kind in _CONTROL_KINDS else self._store
        return await asyncio.to_thread(store.build, configured)

    async def __aenter__(self) -> Self:
        logging.getLogger("gateway.runtime").addHandler(self._listener)
        self._deadlines.start(asyncio.get_running_loop())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self.clear()
            await self.supervisor.stop()
        finally:
            self._deadlines.stop()
            logging.getLogger("gateway.runtime").removeHandler(self._listener)


class _OnlyThis:
    """What is known of a gateway that is one process. Implements ``gateway.runtime.context.Gather``."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings

    async def metrics(self) -> Sequence[FamilySnapshot]:
        return self._surroundings.metrics.snapshot()

    async def exposed(self, plugin: str, key: str, *arguments: object) -> Sequence[object]:
        return self._surroundings.exposes(plugin, key, *arguments)


class _Listener(logging.Handler):
    """Hands on what is logged, warnings and errors."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        self._tell(record.getMessage())


def _serve_nothing(exchange: Exchange) -> None:
    raise NotImplementedError("nobody serves on this workbench; set its serve and refuse, or use gateway_factory")


def _refuse_nothing(exchange: Exchange, error: GatewayError) -> None:
    _serve_nothing(exchange)
