"""Obtains the components that a configuration needs, and collects everything that keeps one from being built."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from gateway.errors import ConfigurationError, Problem
from gateway.handover import Takeover

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType

    from gateway.config import Configuration, Configured
    from gateway.interfaces import Adapter, Connector, Listener
    from gateway.pluginhost import PluginHost
    from gateway.runtime.components import Component, ComponentStore

__all__ = ["Assembly"]

logger = logging.getLogger("gateway.runtime")


class Assembly:
    """The components of one configuration.

    Args:
        host: The plugins, to name the one whose code failed.
        store: Builds components, or hands out the ones that stay.

    Attributes:
        components: What was obtained, in that order, each once; only what has a life, of that which is a route's own.
        takeovers: For each adapter, which of its connections are handed over to those that it carries.
        blame: Returns the name of the plugin whose code a traceback ends in; ``None`` if it is the gateway's.
    """

    def __init__(self, host: PluginHost, store: ComponentStore) -> None:
        self.components: dict[Component, None] = {}
        self.takeovers: dict[Adapter, list[Takeover]] = {}
        self.blame = _blamer(host)
        self._store = store
        # Looked up by identity: of equal ones there is only one in a configuration.
        self._obtained: dict[int, Component | None] = {}
        self._problems: dict[str, Problem] = {}

    # Components.

    def obtain(self, configured: Configured) -> Component | None:
        """Return the component; ``None`` if it cannot be built, which is noted."""
        if id(configured) in self._obtained:
            return self._obtained[id(configured)]
        component = None
        try:
            component = self._store.obtain(configured)
        except ConfigurationError as error:
            self.add(error.problems)
        else:
            self.components[component] = None
        self._obtained[id(configured)] = component
        return component

    def build(self, configured: Configured) -> Component | None:
        """Return a component that is nobody else's, such as a route's balancer; ``None`` if it cannot be built."""
        if self._obtained.get(id(configured), configured) is None:
            return None  # as for an earlier rule
        try:
            component = self._store.build(configured)
        except ConfigurationError as error:
            self.add(error.problems)
            self._obtained[id(configured)] = None
            return None
        if component.has_life:
            self.components[component] = None
        return component

    def instances(self, configured: Iterable[Configured]) -> list[Any]:
        """Return the objects that plugins built, as far as they could."""
        components = [self.obtain(each) for each in configured]
        return [component.instance for component in components if component is not None]

    # Protocols.

    def connectors(self, configuration: Configuration) -> dict[str, dict[str, Connector]]:
        """Return the connectors by protocol and scheme, each carried one over those that carry it."""
        found: dict[str, dict[str, Connector]] = {}
        carried = []
        for configured in configuration.connectors:
            registration, component = configured.registration, self.obtain(configured)
            if component is None:
                continue
            if registration.over is not None:
                carried.append((registration, component))
                continue
            for protocol, schemes in {**registration.also, registration.protocol: registration.schemes}.items():
                found.setdefault(protocol, {}).update(dict.fromkeys(schemes, component.instance))
        for registration, component in carried:
            carriers = found.get(registration.over, {})
            by_scheme = {scheme: component.instance.over(carrier) for scheme, carrier in carriers.items()}
            found.setdefault(registration.protocol, {}).update(by_scheme)
        return found

    def adapters(self, configuration: Configuration) -> list[Adapter]:
        """Return the adapters, each carried one over the one that carries it."""
        found: dict[str, Adapter] = {}
        carried = []
        for configured in configuration.adapters:
            registration, component = configured.registration, self.obtain(configured)
            if component is None:
                continue
            if registration.over is None:
                found[registration.name] = component.instance
            else:
                carried.append((registration, component))
        adapters = list(found.values())
        self.takeovers = {adapter: [] for adapter in adapters}
        for registration, component in carried:
            if registration.over in found:
                carrier = found[registration.over]
                adapter = component.instance.over(carrier)
                adapters.append(adapter)
                if registration.alpn or registration.opening:
                    takeover = Takeover(alpn=registration.alpn, opening=registration.opening, take=adapter.take)
                    self.takeovers[carrier].append(takeover)
            else:
                what = f"the adapter {registration.name!r} needs the adapter {registration.over!r}, which is off"
                self.add([Problem(f"{what}; turn both on or both off", where=component.configured.where)])
        return adapters

    def listeners(self, adapters: Iterable[Adapter]) -> list[tuple[Adapter, Listener]]:
        """Return what the adapters want to serve."""
        return [(adapter, listener) for adapter in adapters for listener in self._listeners_of(adapter)]

    def _listeners_of(self, adapter: Adapter) -> Sequence[Listener]:
        try:
            return adapter.listeners()
        except Exception as error:  # noqa: BLE001 - whatever a plugin raises while it is put together is contained
            self.report_bug(error, "listening", "")
            return []

    # Problems.

    @property
    def has_problems(self) -> bool:
        """Whether something cannot be built."""
        return bool(self._problems)

    def check(self) -> None:
        """Raise ``ConfigurationError`` with all problems, if there are any."""
        if self._problems:
            raise ConfigurationError(self._problems.values())

    def report_bug(self, error: Exception, where_used: str, where: str) -> None:
        """Note what a plugin raised where it must not; once, if it raises the same for every rule."""
        plugin = self.blame(error.__traceback__)
        who = f"plugin {plugin!r}" if plugin else "the gateway"
        what = f"{who} failed: {type(error).__name__}: {error}"
        logger.debug("%s", what, exc_info=error)
        self._problems.setdefault(what, Problem(f"{what}; needed for {where_used}", where=where))

    def add(self, problems: Iterable[Problem]) -> None:
        """Note problems."""
        for problem in problems:
            self._problems.setdefault(str(problem), problem)


def _blamer(host: PluginHost) -> Callable[[TracebackType | None], str | None]:
    """Return what names the plugin whose code a traceback ends in. It does not hold the generation."""

    def blame(traceback: TracebackType | None) -> str | None:
        plugin = host.blame(traceback)
        return plugin.name if plugin is not None else None

    return blame
