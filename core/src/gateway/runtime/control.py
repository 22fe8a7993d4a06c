"""The control plane: reads configuration, runs discovery and health checks, answers ``/_gateway``."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from gateway.admin import AdminEndpoint, AdminSurface, ControlView
from gateway.config import add_rules
from gateway.errors import ConfigurationError, ErrorType, GatewayError, Problem
from gateway.metrics import Metrics, merge_metrics
from gateway.runtime.components import ComponentStore
from gateway.runtime.context import Surroundings
from gateway.runtime.deadlines import DeadlineSweep
from gateway.runtime.outbox import Outbox
from gateway.runtime.route_sources import RouteSources
from gateway.runtime.supervision import Supervisor
from gateway.runtime.watches import Watches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.config import Configuration, Configured, SourcedRules
    from gateway.exchange import Exchange
    from gateway.interfaces import AdminRequest
    from gateway.messages import Response
    from gateway.metrics import FamilySnapshot
    from gateway.runtime.components import Component
    from gateway.runtime.options import RunOptions
    from gateway.runtime.plane import Plane
    from gateway.runtime.shared_memory import SharedMemory

__all__ = ["ControlPlane", "build_control", "log_warnings"]

logger = logging.getLogger("gateway.runtime")

SETTLE_TIMEOUT_S = 15.0
"""How long a reload may still take when the gateway is told to stop."""


class ControlPlane:
    """Keeps the data plane configured.

    Args:
        options: Where the configuration comes from.
        plane: What serves.

    Attributes:
        is_ready: Whether traffic is welcome.
        supervisor: Runs discovery, health checks and whatever else keeps the gateway up to date.
    """

    def __init__(self, options: RunOptions, plane: Plane) -> None:
        self.is_ready = False
        self.supervisor = Supervisor()
        self._options = options
        self._directory = plane.directory
        self._plane = plane
        # What was loaded, and the same with the rules of route sources.
        self._base: Configuration | None = None
        self._configuration: Configuration | None = None
        self._deadlines = DeadlineSweep()
        self._metrics = Metrics()
        self._reloads = self._metrics.counter(
            "gateway_reloads_total", "Reloads of the configuration, by what became of them.", ("result",)
        )
        self._surroundings = Surroundings(
            directory=plane.directory,
            deadlines=self._deadlines,
            outbox=Outbox(),
            supervisor=self.supervisor,
            serve=_serves_nothing,
            refuse=_refuses_nothing,
            metrics=self._metrics,
            shared_memory=self._shared_memory,
            gather=self,
            answer_admin=self.answer_admin,
        )
        self._store = ComponentStore(self._surroundings)
        self._sources = RouteSources(self._take_over_rules, self._metrics)
        self._watches = Watches(self.supervisor, plane.directory, self._sources)
        self._held: list[Component] = []
        self._admin: AdminSurface | None = None
        self._changing = asyncio.Lock()
        self._is_stopping = False

    @property
    def configuration(self) -> Configuration:
        """The configuration in force."""
        assert self._configuration is not None  # noqa: S101 - start() came first
        return self._configuration

    def read_from(self, options: RunOptions) -> None:
        """Say where the next reload finds its configuration."""
        self._options = options

    async def start(self, configuration: Configuration) -> None:
        """Serve ``configuration``.

        Raises:
            ConfigurationError: If it cannot be served.
        """
        self._deadlines.start(asyncio.get_running_loop())
        async with self._changing:
            await self._apply(configuration)
        self.is_ready = not self._is_stopping

    async def reload(self) -> None:
        """Read the configuration again and serve it; a bad one changes nothing.

        Raises:
            ConfigurationError: With what is wrong.
        """
        async with self._changing:
            if self._is_stopping:
                raise ConfigurationError([Problem("the gateway is stopping; the configuration is not reloaded")])
            try:
                configuration = await asyncio.to_thread(self._options.load)
                await self._apply(configuration)
            except ConfigurationError as error:
                logger.error(  # noqa: TRY400 - the problems say it all, a traceback says nothing
                    "the configuration was not reloaded; the old one stays in force:\n%s", error
                )
                self._reloads.labels("failed").add()
                raise
            except Exception as error:
                self._reloads.labels("failed").add()
                logger.exception("the configuration was not reloaded; the old one stays in force")
                raise ConfigurationError([Problem(f"it cannot be served: {type(error).__name__}: {error}")]) from error
            self._reloads.labels("done").add()
            log_warnings(configuration)
            logger.info("configuration reloaded: %d routes", len(configuration.rules))

    async def _take_over_rules(self) -> None:
        """Serve what route sources have published, beside the file as it was when it was loaded.

        Raises:
            ConfigurationError: If that cannot be served; nothing has changed then.
        """
        async with self._changing:
            if self._is_stopping or self._base is None:
                return
            before = self.configuration
            try:
                await self._apply(self._base)
            except ConfigurationError as error:
                logger.error(  # noqa: TRY400 - the problems say it all, a traceback says nothing
                    "what changed in route sources is not served; the routes in force stay:\n%s", error
                )
                raise
            except Exception as error:
                logger.exception("what changed in route sources is not served; the routes in force stay")
                raise ConfigurationError([Problem(f"it cannot be served: {type(error).__name__}: {error}")]) from error
            log_warnings(self.configuration, known=before.warnings)
            logger.info("route sources: %d routes, %d before", len(self.configuration.rules), len(before.rules))

    async def answer_admin(self, request: AdminRequest, authorization: str | None) -> Response:
        """Answer a request under ``/_gateway``.

        Raises:
            GatewayError: If it is refused, or its endpoint fails.
        """
        if self._admin is None:
            raise GatewayError(ErrorType.UNAVAILABLE, "the gateway is starting")
        try:
            return await self._admin.answer(request, authorization)
        except GatewayError:
            raise
        except Exception as error:
            # Logged here, where its frames are: it may be a worker that asks.
            plugin = self.configuration.host.blame(error.__traceback__)
            who = f"plugin {plugin.name!r}" if plugin is not None else "the gateway"
            logger.exception("%s failed to answer %s %s", who, request.method, request.path)
            raise GatewayError(ErrorType.INTERNAL, "internal error") from error

    async def metrics(self) -> Sequence[FamilySnapshot]:
        """Return what all processes measure together."""
        return merge_metrics([self._metrics.snapshot(), *await self._plane.metrics()])

    async def exposed(self, plugin: str, key: str, *arguments: object) -> Sequence[object]:
        """Return what components of a plugin expose, one value for each process that has one."""
        return [
            *self._surroundings.exposes(plugin, key, *arguments),
            *await self._plane.exposed(plugin, key, *arguments),
        ]

    async def _shared_memory(self, plugin: str, key: str, size_bytes: int) -> SharedMemory:
        return await self._plane.shared_memory(plugin, key, size_bytes)

    def refuse_traffic(self) -> None:
        """Say that traffic is not welcome any more, and let nothing change any more: the gateway is about to stop."""
        self.is_ready = False
        self._is_stopping = True

    async def settle(self) -> None:
        """Wait until a reload that is under way has come to its end; no other one begins."""
        self.refuse_traffic()
        try:
            async with asyncio.timeout(SETTLE_TIMEOUT_S), self._changing:
                pass
        except TimeoutError:
            logger.warning("a reload that is under way does not end, and is cut")

    async def stop(self) -> None:
        """End discovery, health checks and admin endpoints."""
        await self.supervisor.stop()
        self._watches.forget()
        held, self._held = self._held, []
        await self._release_all(held)
        self._deadlines.stop()

    async def _apply(self, configuration: Configuration) -> None:
        self._surroundings.folder = configuration.folder
        self._surroundings.configuration = configuration
        # In a thread: meanwhile the event loop serves.
        held = await asyncio.to_thread(build_control, configuration, self._store)
        for component in held:
            component.uses += 1
        try:
            admin = self._admin_surface(configuration, held)
            for component in held:
                await component.enter()
            await self._watches.start(held)
            sources = self._watches.sources_of(held)
            collected = self._sources.collect(sources)
            merged = await self._prepare(configuration, collected)
        except BaseException:
            await self._release_all(held)
            raise
        # From here on there is no way back. Instances come first: a new route must not meet an empty service.
        self._watches.go_live(held)
        before, self._held = self._held, [*self._held, *held]
        await self._directory.settled()
        await self._plane.commit()
        self._held, self._base, self._configuration, self._admin = held, configuration, merged, admin
        self._sources.serve(sources, collected, merged)
        self._sources.start(self.supervisor)
        await self._release_all(before)

    async def _prepare(self, configuration: Configuration, collected: tuple[SourcedRules, ...]) -> Configuration:
        """Have the data plane prepare a configuration with the rules of route sources, and return that.

        Raises:
            ConfigurationError: If it cannot be served.
        """
        try:
            merged = await asyncio.to_thread(add_rules, configuration, collected)
            await self._plane.prepare(merged)
        except ConfigurationError as error:
            if configuration is self._base:
                self._sources.refuse(collected, str(error).partition("\n")[0])
            raise
        return merged

    async def _release_all(self, components: Sequence[Component]) -> None:
        for component in reversed(components):
            if component.uses == 1:
                await self._watches.end(component)
            await self._store.release(component)

    def _admin_surface(self, configuration: Configuration, components: Sequence[Component]) -> AdminSurface:
        token = configuration.gateway.admin.token
        view = ControlView(
            configuration=lambda: self.configuration,
            directory=self._directory,
            is_ready=lambda: self.is_ready,
            work=lambda: [*self.supervisor.reports(), *self._plane.work()],
            workers=self._plane.workers,
            reload=self.reload,
            metrics=self.metrics,
            sources=self._sources,
        )
        routes = [each for each in components if each.configured.registration.kind == "admin route"]
        endpoints = [
            AdminEndpoint(
                method=registration.method,
                path=registration.admin_path,
                answer=component.instance,
                is_public=_is_public(component.configured),
            )
            for component in routes
            if (registration := component.configured.registration)
        ]
        try:
            return AdminSurface(view, endpoints, token.get_secret_value() if token is not None else None)
        except ValueError as error:
            raise ConfigurationError([Problem(f"the endpoints under /_gateway cannot be served: {error}")]) from error


def build_control(configuration: Configuration, store: ComponentStore) -> list[Component]:
    """Build the components of the control plane.

    Raises:
        ConfigurationError: With everything that cannot be built.
    """
    built: list[Component] = []
    problems: list[Problem] = []
    for configured in (
        *configuration.discovery,
        *configuration.health_checkers,
        *configuration.admin_routes,
        *configuration.route_sources,
    ):
        try:
            built.append(store.obtain(configured))
        except ConfigurationError as error:
            problems.extend(error.problems)
    if problems:
        store.forget_unused()
        raise ConfigurationError(problems)
    return built


def _is_public(configured: Configured) -> bool:
    is_public = configured.registration.is_public
    return bool(is_public(configured.config) if callable(is_public) else is_public)


def log_warnings(configuration: Configuration, known: Sequence[Problem] = ()) -> None:
    """Log what is odd about a configuration but does no harm.

    Args:
        configuration: The configuration.
        known: What was logged before.
    """
    logged = set(map(str, known))
    for warning in map(str, configuration.warnings):
        if warning not in logged:
            logger.warning("%s", warning)


def _serves_nothing(exchange: Exchange) -> None:
    raise AssertionError("the control plane serves no exchanges")


def _refuses_nothing(exchange: Exchange, error: GatewayError) -> None:
    raise AssertionError("the control plane serves no exchanges")
