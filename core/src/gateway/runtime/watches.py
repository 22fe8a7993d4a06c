"""What watches for the control plane: discovery providers, health checkers and route sources, while they are used."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from gateway.interfaces import Endpoint
from gateway.runtime.supervision import end_tasks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.interfaces import DiscoveryProvider, HealthChecker, RouteSource
    from gateway.runtime.components import Component
    from gateway.runtime.route_sources import RouteSources, SourceWatch
    from gateway.runtime.supervision import Supervisor
    from gateway.services import ServiceDirectory

__all__ = ["Watches"]

logger = logging.getLogger("gateway.runtime")

FIRST_SNAPSHOT_TIMEOUT_S = 3.0
"""How long a configuration waits for the first word of its discovery; what is slower is served as soon as it speaks."""


class Watches:
    """Whatever watches for the components of the control plane.

    Args:
        supervisor: Runs it.
        directory: Where instances that are found belong.
        sources: Where rules that are found belong.
    """

    def __init__(self, supervisor: Supervisor, directory: ServiceDirectory, sources: RouteSources) -> None:
        self._supervisor = supervisor
        self._directory = directory
        self._sources = sources
        self._watches: dict[Component, _Watch] = {}
        # By the source and the provider that it works with.
        self._source_watches: dict[tuple[Component, Component | None], SourceWatch] = {}
        self._numbers = 0

    async def start(self, components: Sequence[Component]) -> None:
        """Start discovery and route sources that are new, and wait for their first word, but not for long."""
        fresh = self._start_discovery(components)
        sources = self._start_sources(components)
        try:
            async with asyncio.timeout(FIRST_SNAPSHOT_TIMEOUT_S):
                for has_published in (
                    *[each.has_published for each in fresh],
                    *[each.has_published for each in sources],
                ):
                    await has_published.wait()
        except TimeoutError:
            for each in fresh:
                if not each.has_published.is_set():
                    follows = any(other.is_live and other.has_same_name(each) for other in self._watches.values())
                    kept = "what was found before stays" if follows else "its services have no instances"
                    logger.warning("%s has not found anything yet; %s", each.component.name, kept)
            for source in sources:
                if not source.has_published.is_set():
                    logger.warning("route source %r has not said anything yet", source.name)

    def go_live(self, components: Sequence[Component]) -> None:
        """Let what was found so far, and whatever follows, into the directory, and start health checkers."""
        for component in components:
            if (watch := self._watches.get(component)) is not None:
                watch.go_live(self._supervisor)

    def sources_of(self, components: Sequence[Component]) -> list[SourceWatch]:
        """Return what watches the route sources among components."""
        return [self._source_watches[pair] for pair in _source_pairs(components)]

    async def end(self, component: Component) -> None:
        """Stop watching for a component that nobody else uses, and withdraw what it published.

        Of a discovery provider that goes on with another configuration, but has not reached anybody yet, what was found
        stays until it has: a reload while a registry is down takes no instances away.
        """
        for pair, source in list(self._source_watches.items()):
            if component in pair:
                del self._source_watches[pair]
                await source.end()
        watch = self._watches.pop(component, None)
        if watch is not None:
            heirs = (each for each in self._watches.values() if each.is_live and each.has_same_name(watch))
            await watch.end(next(heirs, None))

    def forget(self) -> None:
        """Forget what watches for instances, but not what it found: nobody is left to be told that it is gone."""
        self._watches.clear()

    def _start_discovery(self, components: Sequence[Component]) -> list[_Watch]:
        """Start the discovery providers that are new; health checkers wait until they go live."""
        fresh = []
        for component in components:
            kind = component.configured.registration.kind
            if component in self._watches or kind in ("admin route", "route source"):
                continue
            self._numbers += 1
            watch = _Watch(f"{component.configured.name}#{self._numbers}", component, self._directory)
            self._watches[component] = watch
            if kind == "discovery provider":
                watch.start(self._supervisor)
                fresh.append(watch)
        return fresh

    def _start_sources(self, components: Sequence[Component]) -> list[SourceWatch]:
        """Start the route sources that are new."""
        fresh = []
        for component, provider in _source_pairs(components):
            if (component, provider) not in self._source_watches:
                instance = component.instance
                source: RouteSource = instance if provider is None else instance.over(provider.instance)
                watch = self._sources.watch(component.configured, source)
                self._source_watches[component, provider] = watch
                watch.start(self._supervisor)
                fresh.append(watch)
        return fresh


class _Watch:
    """A discovery provider or health checker at work.

    Until it goes live, what a provider publishes is held back: a configuration that fails must not change anything. A
    checker, which changes what it finds, is not started before.

    Args:
        key: What the directory knows the provider as; two configurations of one provider have two.
        component: The provider or checker.
        directory: The services.

    Attributes:
        component: As given.
        has_published: Set with the first snapshot.
        is_live: Whether what it publishes counts.
    """

    def __init__(self, key: str, component: Component, directory: ServiceDirectory) -> None:
        self.component = component
        self.has_published = asyncio.Event()
        self._key = key
        self._directory = directory
        self._snapshot: Mapping[str, Sequence[Endpoint]] = {}
        # Of earlier configurations, until it publishes itself.
        self._inherited: list[str] = []
        self.is_live = False
        self._task: asyncio.Task[None] | None = None

    def start(self, supervisor: Supervisor) -> None:
        """Begin to watch."""
        self._task = supervisor.start(self.component.name, self._work)

    def go_live(self, supervisor: Supervisor) -> None:
        """Let what was published so far, and whatever follows, into the directory."""
        if not self.is_live:
            self.is_live = True
            self._directory.publish(self._key, self._snapshot)
        if self._task is None:
            self.start(supervisor)

    def has_same_name(self, other: _Watch) -> bool:
        """Tell whether it does the same as another one, with another configuration."""
        return self.component is not other.component and self.component.name == other.component.name

    async def end(self, heir: _Watch | None) -> None:
        """Stop watching, and forget what was published.

        Args:
            heir: What goes on in its place; ``None`` if nothing does.
        """
        if self._task is not None:
            await end_tasks([self._task])
        if not self.is_live:
            return
        self.is_live = False
        left = [*self._inherited, self._key]
        if heir is not None and not heir.has_published.is_set():
            heir._inherited += left  # noqa: SLF001 - it is one of its own kind
        else:
            self._withdraw(left)

    def _withdraw(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._directory.withdraw(key)

    async def _work(self) -> None:
        if self.component.configured.registration.kind == "health checker":
            checker: HealthChecker = self.component.instance
            await checker.monitor(self.component.directory)
        else:
            provider: DiscoveryProvider = self.component.instance
            await provider.watch(self._publish)

    def _publish(self, snapshot: Mapping[str, Sequence[Endpoint]]) -> None:
        # A copy: the provider may go on to change what it has.
        self._snapshot = {name: _checked(name, endpoints) for name, endpoints in snapshot.items()}
        self.has_published.set()
        if self.is_live:
            self._directory.publish(self._key, self._snapshot)
            inherited, self._inherited = self._inherited, []
            self._withdraw(inherited)


def _source_pairs(components: Sequence[Component]) -> list[tuple[Component, Component | None]]:
    """Return the route sources among components, each with the discovery provider that it works with."""
    providers = {
        component.configured.name: component
        for component in components
        if component.configured.registration.kind == "discovery provider"
    }
    return [
        (component, providers[over] if (over := component.configured.registration.over) is not None else None)
        for component in components
        if component.configured.registration.kind == "route source"
    ]


def _checked(service: str, published: Sequence[object]) -> tuple[Endpoint, ...]:
    endpoints = tuple(endpoint for endpoint in published if isinstance(endpoint, Endpoint))
    if len(endpoints) < len(published):
        msg = f"service {service!r}: {published!r} was published; publish gateway.Endpoint objects"
        raise TypeError(msg)
    return endpoints
