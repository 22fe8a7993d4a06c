"""The control plane: reads configuration, runs discovery and health checks, answers ``/_gateway``."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

from gateway.admin import AdminEndpoint, AdminSurface, ControlView
from gateway.errors import ConfigurationError, ErrorType, GatewayError
from gateway.runtime.components import ComponentStore
from gateway.runtime.context import Surroundings
from gateway.runtime.deadlines import DeadlineSweep
from gateway.runtime.outbox import Outbox

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.config import Configuration, Configured
    from gateway.exchange import Exchange, Response
    from gateway.interfaces import AdminRequest, DiscoveryProvider, Endpoint, HealthChecker
    from gateway.runtime.components import Component
    from gateway.runtime.options import RunOptions
    from gateway.runtime.supervision import Supervisor, WorkReport
    from gateway.services.directory import ServiceDirectory

__all__ = ["ControlPlane", "Plane"]

logger = logging.getLogger("gateway.runtime")

FIRST_SNAPSHOT_TIMEOUT_S = 3.0
"""How long a configuration waits for the first word of its discovery; what is slower is served as soon as it speaks."""


class Plane(Protocol):
    """What serves: the data plane of this process, or all workers."""

    async def prepare(self, configuration: Configuration) -> None:
        """Build and enter ``configuration`` beside what serves now.

        Raises:
            ConfigurationError: If it cannot be served; nothing has changed then.
        """

    async def commit(self) -> None:
        """Serve what was prepared from now on."""

    async def discard(self) -> None:
        """Forget what was prepared."""

    def workers(self) -> Sequence[dict[str, object]]:
        """Return how the workers are doing; empty if there are none."""


class ControlPlane:
    """Keeps the data plane configured.

    Args:
        options: Where the configuration comes from.
        directory: The services; discovery publishes into it.
        supervisor: Runs discovery and health checks.
        plane: What serves.

    Attributes:
        is_ready: Whether traffic is welcome.
    """

    def __init__(self, options: RunOptions, directory: ServiceDirectory, supervisor: Supervisor, plane: Plane) -> None:
        self.is_ready = False
        self._options = options
        self._directory = directory
        self._supervisor = supervisor
        self._plane = plane
        self._configuration: Configuration | None = None
        self._surroundings = Surroundings(
            directory=directory,
            deadlines=DeadlineSweep(),
            outbox=Outbox(),
            supervisor=supervisor,
            serve=_serves_nothing,
            refuse=_refuses_nothing,
        )
        self._store = ComponentStore(self._surroundings)
        self._watches: dict[Component, _Watch] = {}
        self._numbers = 0
        self._held: list[Component] = []
        self._admin: AdminSurface | None = None
        self._reloading = asyncio.Lock()

    @property
    def configuration(self) -> Configuration:
        """The configuration in force."""
        assert self._configuration is not None  # noqa: S101 - start() came first
        return self._configuration

    async def start(self, configuration: Configuration) -> None:
        """Serve ``configuration``.

        Raises:
            ConfigurationError: If it cannot be served.
        """
        await self._apply(configuration)
        self.is_ready = True

    async def reload(self) -> None:
        """Read the configuration again and serve it; a bad one changes nothing.

        Raises:
            ConfigurationError: With what is wrong.
        """
        async with self._reloading:
            try:
                configuration = await asyncio.to_thread(self._options.load)
                await self._apply(configuration)
            except ConfigurationError as error:
                logger.error(  # noqa: TRY400 - the problems say it all, a traceback says nothing
                    "the configuration was not reloaded; the old one stays in force:\n%s", error
                )
                raise
            logger.info("configuration reloaded: %d routes", len(configuration.rules))

    async def answer_admin(self, request: AdminRequest, authorization: str | None) -> Response:
        """Answer a request under ``/_gateway``."""
        if self._admin is None:
            raise GatewayError(ErrorType.UNAVAILABLE, "the gateway is starting")
        return await self._admin.answer(request, authorization)

    async def stop(self) -> None:
        """End discovery, health checks and admin endpoints."""
        held, self._held = self._held, []
        await self._release_all(held)
        await self._supervisor.stop()

    async def _apply(self, configuration: Configuration) -> None:
        self._surroundings.folder = configuration.folder
        held: list[Component] = []
        try:
            wanted = (*configuration.discovery, *configuration.health_checkers, *configuration.admin_routes)
            # One by one: what was obtained before one of them fails must be released.
            for configured in wanted:
                held.append(self._obtain(configured))  # noqa: PERF401 - see above
            admin = self._admin_surface(configuration, held)
            for component in held:
                await component.enter()
            await self._watch(held)
            await self._plane.prepare(configuration)
        except BaseException:
            await self._release_all(held)
            raise
        # Instances first: a new route must not meet an empty service.
        for component in held:
            if (watch := self._watches.get(component)) is not None:
                watch.go_live()
        await self._plane.commit()
        before, self._held = self._held, held
        self._configuration, self._admin = configuration, admin
        await self._release_all(before)

    def _obtain(self, configured: Configured) -> Component:
        component = self._store.obtain(configured)
        component.uses += 1
        return component

    async def _release_all(self, components: Sequence[Component]) -> None:
        for component in reversed(components):
            watch = self._watches.get(component)
            if watch is not None and component.uses == 1:
                del self._watches[component]
                watch.end()
            await self._store.release(component)

    async def _watch(self, components: Sequence[Component]) -> None:
        """Start discovery and health checks that are new, and wait for the first snapshots."""
        fresh = []
        for component in components:
            kind = component.configured.registration.kind
            if component in self._watches or kind == "admin route":
                continue
            self._numbers += 1
            watch = _Watch(f"{component.configured.name}#{self._numbers}", component, self._directory)
            self._watches[component] = watch
            watch.start(self._supervisor)
            if kind == "discovery provider":
                fresh.append(watch)
        for watch in fresh:
            try:
                await asyncio.wait_for(watch.has_published.wait(), FIRST_SNAPSHOT_TIMEOUT_S)
            except TimeoutError:
                logger.warning("%s has not found anything yet; its services have no instances", watch.component.name)

    def _admin_surface(self, configuration: Configuration, components: Sequence[Component]) -> AdminSurface:
        token = configuration.gateway.admin.token
        view = ControlView(
            configuration=lambda: self.configuration,
            directory=self._directory,
            is_ready=lambda: self.is_ready,
            work=self._reports,
            workers=self._plane.workers,
            reload=self.reload,
        )
        routes = [each for each in components if each.configured.registration.kind == "admin route"]
        endpoints = [
            AdminEndpoint(
                method=registration.method,
                path=registration.admin_path,
                answer=component.instance,
                is_public=registration.is_public,
            )
            for component in routes
            if (registration := component.configured.registration)
        ]
        return AdminSurface(view, endpoints, token.get_secret_value() if token is not None else None)

    def _reports(self) -> Sequence[WorkReport]:
        return self._supervisor.reports()


class _Watch:
    """A discovery provider or health checker at work.

    Until it goes live, what a provider publishes is held back: a configuration that fails must not change anything.

    Args:
        key: What the directory knows the provider as; two configurations of one provider have two.
        component: The provider or checker.
        directory: The services.

    Attributes:
        has_published: Set with the first snapshot.
    """

    def __init__(self, key: str, component: Component, directory: ServiceDirectory) -> None:
        self.component = component
        self.has_published = asyncio.Event()
        self._key = key
        self._directory = directory
        self._snapshot: Mapping[str, Sequence[Endpoint]] = {}
        self._is_live = False
        self._task: asyncio.Task[None] | None = None

    def start(self, supervisor: Supervisor) -> None:
        """Begin to watch."""
        self._task = supervisor.start(self.component.name, self._work)

    def go_live(self) -> None:
        """Let what was published so far, and whatever follows, into the directory."""
        if not self._is_live:
            self._is_live = True
            self._directory.publish(self._key, self._snapshot)

    def end(self) -> None:
        """Stop watching, and forget what was published."""
        if self._task is not None:
            self._task.cancel()
        if self._is_live:
            self._is_live = False
            self._directory.withdraw(self._key)

    async def _work(self) -> None:
        if self.component.configured.registration.kind == "health checker":
            checker: HealthChecker = self.component.instance
            await checker.monitor(self._directory)
        else:
            provider: DiscoveryProvider = self.component.instance
            await provider.watch(self._publish)

    def _publish(self, snapshot: Mapping[str, Sequence[Endpoint]]) -> None:
        self._snapshot = snapshot
        self.has_published.set()
        if self._is_live:
            self._directory.publish(self._key, snapshot)


def _serves_nothing(exchange: Exchange) -> None:
    raise AssertionError("the control plane serves no exchanges")


def _refuses_nothing(exchange: Exchange, error: GatewayError) -> None:
    raise AssertionError("the control plane serves no exchanges")
