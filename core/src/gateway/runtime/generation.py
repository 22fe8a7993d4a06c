"""A generation: one immutable set of compiled routes and the components they use. A reload makes a new one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from gateway.config.collector import collector_paused
from gateway.errors import ErrorType, GatewayError
from gateway.exchange import NO_PARAMS
from gateway.pipeline import CompiledRoute
from gateway.pluginhost import PseudoMethods
from gateway.registrations import AdapterRegistration
from gateway.routing import MalformedPath, Miss, RouteTable, normalise_path
from gateway.runtime.assembly import Assembly
from gateway.runtime.compiling import RouteCompiler
from gateway.runtime.letting_go import let_go, pieces_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.config import Configuration, ConfiguredRule
    from gateway.exchange import Exchange, Handler
    from gateway.interfaces import Adapter
    from gateway.metrics import Metrics
    from gateway.routing import RouteEntry
    from gateway.runtime.compiling import AnswerAdmin
    from gateway.runtime.components import Component, ComponentStore
    from gateway.services import Service

__all__ = ["Generation", "KnownRoute"]

logger = logging.getLogger("gateway.runtime")

KnownRoute = tuple[CompiledRoute, Mapping[str, str], str]
"""A compiled route, the parameters of the path, and the path in canonical form."""

RETIRE_POLL_S = 0.5
MAX_KNOWN_ROUTES = 4096
"""Matches that are remembered: finding a route again costs a tenth of finding it."""
MAX_KNOWN_LENGTH = 512
"""Characters of path and host up to which a match is remembered; with the number above it bounds the memory."""


class Generation:
    """What one configuration compiles to.

    It is made without an event loop, in a thread, so that ten thousand routes do not stop the ones that are served.

    Args:
        configuration: The configuration.
        store: Builds components, or hands out the ones that stay.
        services: The services of its rules, by name.
        answer_admin: Answers requests under ``/_gateway``.
        metrics: Where the core's own policies count.

    Attributes:
        configuration: As given.
        table: The routes.
        adapters: The adapters, in the order of their names.
        listeners: What the adapters want to serve.
        refused: The route that answers ``exchange.error``, for what never was a request or matches no rule.
        known_routes: What was found for a method, host and path as they came; empty where headers or query decide too.
        in_flight: How many exchanges are under way.

    Raises:
        ConfigurationError: If a component cannot be built; all that cannot are named.
    """

    refused: CompiledRoute

    def __init__(
        self,
        configuration: Configuration,
        store: ComponentStore,
        services: Mapping[str, Service],
        answer_admin: AnswerAdmin,
        metrics: Metrics,
    ) -> None:
        self.configuration = configuration
        self.in_flight = 0
        self.known_routes: dict[tuple[str, str, str], KnownRoute] = {}
        self._store = store
        self._is_idle = asyncio.Event()
        self._is_retired = False
        self._preflights: dict[str, CompiledRoute] = {}
        assembly = Assembly(configuration.host, store)
        self._compiler = RouteCompiler(configuration, assembly, services, metrics, self._finished)
        self.adapters: list[Adapter] = assembly.adapters(configuration)
        self._takeovers = assembly.takeovers
        entries = self._compile(answer_admin)
        self.listeners = assembly.listeners(self.adapters)
        assembly.check()
        self._components = assembly.components
        with collector_paused():
            named = frozenset(method for entry in entries for method in entry.methods or ())
            self._pseudo_methods = PseudoMethods(configuration.host, named)
            self.table = RouteTable(entries, pseudo_methods=self._pseudo_methods.names)
        self._keeps_encoded_slashes = configuration.gateway.router.encoded_slashes
        self._is_memorable = not self._pseudo_methods.names and not any(
            entry.headers or entry.query for entry in self.table.entries
        )

    def _compile(self, answer_admin: AnswerAdmin) -> list[RouteEntry[CompiledRoute]]:
        """Compile the rules and the gateway's own routes; returns them for the table."""
        entries = []
        with collector_paused():
            for rule, compiled, preflight in self._compiler.rules():
                entries.append(rule.entry(compiled))
                if preflight is not None:
                    self._preflights[rule.route.id] = preflight
            refused, own = self._compiler.own(answer_admin)
        if refused is not None:
            self.refused = refused
        return [*entries, *own]

    # Serving.

    def find(self, exchange: Exchange) -> KnownRoute:
        """Return the route for ``exchange``, its parameters and the canonical path."""
        request = exchange.request
        try:
            path = normalise_path(request.path, encoded_slashes=self._keeps_encoded_slashes)
        except MalformedPath as error:
            exchange.error = GatewayError(ErrorType.BAD_REQUEST, "the request path is malformed", detail=str(error))
            return self.refused, NO_PARAMS, request.path
        method = request.method
        if self._pseudo_methods.names:
            try:
                method = self._pseudo_methods.method_of(request)
            except Exception as error:
                logger.exception("a function for pseudo methods failed, so that no rule can be chosen")
                exchange.error = GatewayError(ErrorType.INTERNAL, "internal error", detail=repr(error))
                return self.refused, NO_PARAMS, path
        if method == "OPTIONS" and self._preflights:
            preflight = self._find_preflight(exchange, path)
            if preflight is not None:
                return preflight, NO_PARAMS, path
        found = self.table.match(method, request.host, path, request.query, request.headers)
        if isinstance(found, Miss):
            exchange.error = _missed(found)
            return self.refused, NO_PARAMS, path
        compiled, params = found
        # Shared from now on by all who ask for it.
        known = (compiled, MappingProxyType(params) if params else NO_PARAMS, path)
        is_memorable = self._is_memorable and not (method == "OPTIONS" and self._preflights)
        if is_memorable and len(request.path) + len(request.host) <= MAX_KNOWN_LENGTH:
            if len(self.known_routes) >= MAX_KNOWN_ROUTES:
                # Begin anew: whoever is asked for often is back at once, and strangers cannot fill it for good.
                self.known_routes.clear()
            self.known_routes[request.method, request.host, request.path] = known
        return known

    def _find_preflight(self, exchange: Exchange, path: str) -> CompiledRoute | None:
        """Return what answers a CORS preflight for a route that does not take OPTIONS (Fetch standard, section 3.2.2).

        ``None`` if it is no preflight, or is matched like any request.
        """
        request = exchange.request
        wanted = request.headers.get("access-control-request-method")
        if wanted is None or "origin" not in request.headers:
            return None
        found = self.table.match(wanted, request.host, path, request.query, request.headers)
        compiled = self._preflights.get(found[0].route.id) if not isinstance(found, Miss) else None
        if compiled is not None:
            exchange.error = _missed(Miss((wanted,)))
        return compiled

    def explained_route(self, rule: ConfiguredRule, stub: Handler) -> CompiledRoute:
        """Return the route of a rule with every policy watched, and ``stub`` in place of the service."""
        return self._compiler.explained(rule, stub)

    def components(self) -> Sequence[Component]:
        """Return what it is made of."""
        return list(self._components)

    # Its life.

    async def enter(self) -> None:
        """Enter its components, in the order of the pipeline; those that stay from an earlier generation are entered.

        Raises:
            ConfigurationError: If one fails; those entered before it are exited again.
        """
        for component in self._components:
            component.uses += 1
        try:
            for component in self._components:
                await component.enter()
        except BaseException:
            await self.leave()
            raise

    def connect_adapters(self) -> None:
        """Tell the adapters who takes connections over from them, now that this generation serves."""
        for adapter, takeovers in self._takeovers.items():
            hand_over_to = getattr(adapter, "hand_over_to", None)
            if hand_over_to is not None:
                hand_over_to(takeovers)

    async def leave(self) -> None:
        """Give its components up, in reverse order; the ones nobody else uses are exited. It serves nothing more."""
        components, self._components = self._components, {}
        for component in reversed(components):
            await self._store.release(component)
        # Its routes know it, as it knows them: let go of them, or they wait for the garbage collector.
        self.known_routes.clear()
        self._preflights.clear()
        self.adapters, self.listeners, self._takeovers = [], [], {}
        self.__dict__.pop("table", None)
        self.__dict__.pop("refused", None)
        self.__dict__.pop("_compiler", None)

    async def retire(self) -> None:
        """Wait until nobody needs it any more, then leave.

        Its exchanges may be streams and WebSockets that live for days, and so may the connections that only its
        adapters know: they all stay as they are.
        """
        self._is_retired = True
        if self.in_flight:
            await self._is_idle.wait()
        # Polled: connections end in protocol callbacks, which would each have to know of an event.
        while self._has_connections():  # noqa: ASYNC110 - see above
            await asyncio.sleep(RETIRE_POLL_S)
        pieces: list[object] = [*self.table.entries, *await pieces_of(self.configuration)]
        await self.leave()
        self.__dict__.pop("configuration", None)
        await let_go(pieces)

    def _has_connections(self) -> bool:
        """Say whether there are connections of adapters that no other generation has."""
        return any(
            component.uses == 1 and component.instance.connections()
            for component in self._components
            if isinstance(component.configured.registration, AdapterRegistration)
            and component.configured.registration.over is None
        )

    def _finished(self) -> None:
        self.in_flight -= 1
        if self._is_retired and not self.in_flight:
            self._is_idle.set()


def _missed(miss: Miss) -> GatewayError:
    if not miss.allowed:
        return GatewayError(ErrorType.NOT_FOUND, "route not found")
    allow = ", ".join(miss.allowed).encode("latin-1")
    return GatewayError(ErrorType.METHOD_NOT_ALLOWED, "method not allowed", headers=((b"allow", allow),))
