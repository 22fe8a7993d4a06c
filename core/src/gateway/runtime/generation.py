"""A generation: one immutable set of compiled routes and the components they use. A reload makes a new one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gateway.body import Body
from gateway.errors import ConfigurationError, ErrorType, GatewayError
from gateway.exchange import NO_PARAMS
from gateway.interfaces import AdminRequest, Route, Stage
from gateway.pipeline import CompiledRoute, Containment, Observers, PlacedPolicy, RouteComponents, compile_route
from gateway.pipeline.authentication import AuthenticationPolicy, ScopePolicy
from gateway.pipeline.limiting import AppliedLimiter, LimitPolicy, key_function
from gateway.routing import MalformedPath, Miss, RouteEntry, RouteTable, normalise_path, parse_pattern
from gateway.services.dispatch import build_dispatch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from types import TracebackType

    from gateway.config import Configuration, Configured, ConfiguredRule
    from gateway.errors import Problem
    from gateway.exchange import Exchange, Handler, Request, Response
    from gateway.interfaces import Adapter, Connector
    from gateway.runtime.components import Component, ComponentStore
    from gateway.services.directory import ServiceDirectory

__all__ = ["ADMIN_PREFIX", "AnswerAdmin", "Generation", "KnownRoute"]

KnownRoute = tuple[CompiledRoute, Mapping[str, str], str]
"""A compiled route, the parameters of the path, and the path in canonical form."""

logger = logging.getLogger("gateway.runtime")

ADMIN_PREFIX = "/_gateway"
MAX_ADMIN_BODY_BYTES = 1024 * 1024
MAX_KNOWN_ROUTES = 4096
"""Matches that are remembered: finding a route again costs a tenth of finding it."""
MAX_KNOWN_LENGTH = 512
"""Characters of path and host up to which a match is remembered; with the number above it bounds the memory."""
ADMIN_PRIORITY = 2**31
"""Above every rule: a route for everything must not hide the gateway's own health."""

if TYPE_CHECKING:
    AnswerAdmin = Callable[[AdminRequest, str | None], Awaitable[Response]]
    """Answers a request under ``/_gateway``, given its ``Authorization`` field."""


class Generation:
    """What one configuration compiles to.

    Args:
        configuration: The configuration.
        store: Builds components, or hands out the ones that stay.
        directory: The services.
        answer_admin: Answers requests under ``/_gateway``.

    Attributes:
        table: The routes.
        adapters: The adapters, in the order of their names.
        known_routes: What was found for a method, host and path as they came; empty where headers or query decide too.
        in_flight: How many exchanges are under way.

    Raises:
        ConfigurationError: If a component cannot be built; all that cannot are named.
    """

    def __init__(
        self,
        configuration: Configuration,
        store: ComponentStore,
        directory: ServiceDirectory,
        answer_admin: AnswerAdmin,
    ) -> None:
        self.configuration = configuration
        self.in_flight = 0
        self._store = store
        self._directory = directory
        self._components: dict[int, Component] = {}
        self._problems: list[Problem] = []
        self._is_idle = asyncio.Event()
        self._is_retired = False
        self._containment = Containment(self._blame, configuration.gateway.errors.upstream_timeout_status)
        self._observers = Observers(self._instances(configuration.observers), self._blame)
        self._connectors = self._connectors_by_protocol()
        self.adapters: list[Adapter] = self._instances(configuration.adapters)
        self._edge = self._placed(configuration.edge_policies)
        entries = [entry for rule in configuration.rules if (entry := self._entry(rule)) is not None]
        if self._problems:
            raise ConfigurationError(self._problems)
        self.table = RouteTable([*entries, self._admin_entry(answer_admin)])
        self._not_found = self._refusing(GatewayError(ErrorType.NOT_FOUND, "route not found"))
        self._keeps_encoded_slashes = configuration.gateway.router.encoded_slashes
        self._has_pseudo_methods = any(
            {"WEBSOCKET", "SSE"} & (entry.methods or frozenset()) for entry in self.table.entries
        )
        self._is_memorable = not self._has_pseudo_methods and not any(
            entry.headers or entry.query for entry in self.table.entries
        )
        self.known_routes: dict[tuple[str, str, str], KnownRoute] = {}

    # Serving.

    def find(self, request: Request) -> KnownRoute:
        """Return the route for ``request``, its parameters and the canonical path."""
        try:
            path = normalise_path(request.path, encoded_slashes=self._keeps_encoded_slashes)
        except MalformedPath as error:
            refusal = GatewayError(ErrorType.BAD_REQUEST, "the request path is malformed", detail=str(error))
            return self.refusing(refusal), NO_PARAMS, request.path
        method = _pseudo_method(request) if self._has_pseudo_methods else request.method
        found = self.table.match(method, request.host, path, request.query, request.headers)
        if isinstance(found, Miss):
            return self._missed(found), NO_PARAMS, path
        compiled, params = found
        known = (compiled, params, path)
        if self._is_memorable and len(request.path) + len(request.host) <= MAX_KNOWN_LENGTH:
            if len(self.known_routes) >= MAX_KNOWN_ROUTES:
                # Begin anew: whoever is asked for often is back at once, and strangers cannot fill it for good.
                self.known_routes.clear()
            self.known_routes[request.method, request.host, request.path] = known
        return known

    def refusing(self, error: GatewayError) -> CompiledRoute:
        """Return a route that answers ``error``, for what never was a request."""
        return self._refusing(error)

    def _missed(self, miss: Miss) -> CompiledRoute:
        """Return the route for requests that no rule matches."""
        if not miss.allowed:
            return self._not_found
        allow = ", ".join(miss.allowed).encode("latin-1")
        error = GatewayError(ErrorType.METHOD_NOT_ALLOWED, "method not allowed", headers=((b"allow", allow),))
        return self._refusing(error)

    # Its life.

    async def enter(self) -> None:
        """Enter its components, in the order of the pipeline; those that stay from an earlier generation are entered.

        Raises:
            ConfigurationError: If one fails; those entered before it are exited again.
        """
        for component in self._components.values():
            component.uses += 1
        try:
            for component in self._components.values():
                await component.enter()
        except BaseException:
            await self.leave()
            raise

    async def leave(self) -> None:
        """Give its components up, in reverse order; the ones nobody else uses are exited."""
        for component in reversed(self._components.values()):
            await self._store.release(component)

    async def retire(self, timeout_s: float) -> None:
        """Wait until its exchanges are over, then leave.

        Args:
            timeout_s: After so many seconds the components are given up all the same.
        """
        self._is_retired = True
        if self.in_flight:
            try:
                await asyncio.wait_for(self._is_idle.wait(), timeout_s)
            except TimeoutError:
                logger.info("%d exchanges outlive their configuration", self.in_flight)
        await self.leave()

    def _finished(self) -> None:
        self.in_flight -= 1
        if self._is_retired and not self.in_flight:
            self._is_idle.set()

    # Compiling.

    def _entry(self, rule: ConfiguredRule) -> RouteEntry[CompiledRoute] | None:
        before = len(self._problems)
        policies = self._policies(rule)
        terminal = self._terminal(rule)
        if terminal is None or len(self._problems) > before:
            return None
        components = RouteComponents(
            route=rule.route,
            policies=policies,
            terminal=terminal,
            rewrite=rule.rewrite,
            observers=self._observers,
        )
        compiled = compile_route(components, self._containment, on_finish=self._finished)
        return rule.entry(compiled)

    def _terminal(self, rule: ConfiguredRule) -> Handler | None:
        try:
            balancer = self._store.build(rule.balancer)
        except ConfigurationError as error:
            self._problems.extend(error.problems)
            return None
        connectors = self._connectors.get(rule.route.protocol, {})
        service = self._directory.service(rule.route.service)
        return build_dispatch(service, balancer.instance, connectors, self._observers)

    def _policies(self, rule: ConfiguredRule) -> list[PlacedPolicy]:
        """Return the policies of a rule in pipeline order; the core's own come first in their stages."""
        own = [
            PlacedPolicy(stage=Stage.AUTHENTICATE, name="auth", policy=self._authentication(rule)),
            PlacedPolicy(
                stage=Stage.AUTHORIZE, name="scopes", policy=ScopePolicy(rule.auth.scopes, skips=_skips(rule))
            ),
            PlacedPolicy(stage=Stage.LIMIT, name="limits", policy=self._limits(rule)),
        ]
        # sorted() is stable: within a stage what comes first stays first.
        return sorted([*own, *self._placed(rule.policies)], key=lambda placed: placed.stage)

    def _authentication(self, rule: ConfiguredRule) -> AuthenticationPolicy:
        authenticators = [
            (configured.registration.name, configured.registration.challenge, component.instance)
            for configured in rule.authenticators
            if (component := self._obtain(configured)) is not None
        ]
        return AuthenticationPolicy(authenticators, is_required=rule.auth.required, skips=_skips(rule))

    def _limits(self, rule: ConfiguredRule) -> LimitPolicy:
        limiters = [
            AppliedLimiter(
                name=configured.name,
                key=key_function(configured.config.key),
                limiter=component.instance,
                is_optional=configured.on_error == "allow",
            )
            for configured in rule.limiters
            if (component := self._obtain(configured)) is not None
        ]
        return LimitPolicy(limiters)

    def _placed(self, configured_policies: Iterable[Configured]) -> list[PlacedPolicy]:
        return [
            PlacedPolicy(
                stage=configured.registration.stage,
                name=configured.registration.name,
                policy=component.instance,
                is_optional=configured.on_error == "allow",
            )
            for configured in configured_policies
            if (component := self._obtain(configured)) is not None
        ]

    def _connectors_by_protocol(self) -> dict[str, dict[str, Connector]]:
        found: dict[str, dict[str, Connector]] = {}
        for configured in self.configuration.connectors:
            component = self._obtain(configured)
            if component is not None:
                by_scheme = found.setdefault(configured.registration.protocol, {})
                by_scheme.update(dict.fromkeys(configured.registration.schemes, component.instance))
        return found

    def _admin_entry(self, answer_admin: AnswerAdmin) -> RouteEntry[CompiledRoute]:
        async def admin(exchange: Exchange) -> Response:
            request = exchange.request
            body = request.body
            if isinstance(body, Body):
                body = await body.read(MAX_ADMIN_BODY_BYTES)
            asked = AdminRequest(
                method=request.method,
                path=request.path.removeprefix(ADMIN_PREFIX) or "/",
                query=request.query,
                body=body,
            )
            return await answer_admin(asked, request.headers.get("authorization"))

        compiled = self._own_route("gateway.admin", f"{ADMIN_PREFIX}/*", admin, needs_task=True)
        pattern = parse_pattern(f"{ADMIN_PREFIX}/*")
        return RouteEntry(id="gateway.admin", pattern=pattern, target=compiled, priority=ADMIN_PRIORITY)

    def _refusing(self, error: GatewayError) -> CompiledRoute:
        async def refuse(exchange: Exchange) -> Response:
            raise GatewayError(
                error.type, error.message, detail=error.detail, headers=error.headers, plugin=error.plugin
            )

        return self._own_route("gateway.unmatched", "*", refuse)

    def _own_route(self, route_id: str, path: str, terminal: Handler, *, needs_task: bool = False) -> CompiledRoute:
        components = RouteComponents(
            route=Route(id=route_id, path=path), policies=self._edge, terminal=terminal, observers=self._observers
        )
        compiled = compile_route(components, self._containment, on_finish=self._finished)
        compiled.needs_task = compiled.needs_task or needs_task
        return compiled

    # Components.

    def _instances(self, configured: Iterable[Configured]) -> list[Any]:
        components = [self._obtain(each) for each in configured]
        return [component.instance for component in components if component is not None]

    def _obtain(self, configured: Configured) -> Component | None:
        try:
            component = self._store.obtain(configured)
        except ConfigurationError as error:
            self._problems.extend(problem for problem in error.problems if problem not in self._problems)
            return None
        self._components.setdefault(id(component), component)
        return component

    def _blame(self, traceback: TracebackType | None) -> str | None:
        plugin = self.configuration.host.blame(traceback)
        return plugin.name if plugin is not None else None


def _skips(rule: ConfiguredRule) -> Callable[[str], bool] | None:
    """Return what says on which paths of a rule nobody is asked for credentials; ``None`` if there are none."""
    return rule.auth.skips if rule.auth.skip or rule.auth.skip_paths else None


def _pseudo_method(request: Request) -> str:
    """Return the method as rules may name it: ``WEBSOCKET`` and ``SSE`` stand for a GET that asks for one."""
    if request.method != "GET":
        return request.method
    if request.upgrade == "websocket":
        return "WEBSOCKET"
    return "SSE" if "text/event-stream" in (request.headers.get("accept") or "") else "GET"
