"""A generation: one immutable set of compiled routes and the components they use. A reload makes a new one."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from gateway.body import Body
from gateway.config.collector import collector_paused
from gateway.errors import ConfigurationError, ErrorType, GatewayError, Problem
from gateway.exchange import NO_PARAMS
from gateway.interfaces import AdminRequest, Route, Stage
from gateway.pipeline import CompiledRoute, Containment, Observers, PlacedPolicy, RouteComponents, compile_route
from gateway.pipeline.authentication import AppliedAuthenticator, AuthenticationPolicy, ScopePolicy
from gateway.pipeline.explaining import explainable, explained
from gateway.pipeline.identity import IdentityPolicy
from gateway.pipeline.limiting import AppliedLimiter, LimitPolicy, key_function
from gateway.pipeline.shadow import ShadowRecord
from gateway.registrations import AdapterRegistration
from gateway.routing import MalformedPath, Miss, RouteEntry, RouteTable, normalise_path, parse_pattern
from gateway.services.dispatch import build_dispatch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
    from types import TracebackType

    from gateway.config import Configuration, Configured, ConfiguredRule
    from gateway.exchange import Exchange, Handler, Request, Response
    from gateway.interfaces import Adapter, Connector, Listener
    from gateway.metrics import Metrics
    from gateway.pluginhost import PluginHost
    from gateway.runtime.components import Component, ComponentStore
    from gateway.services import Service

__all__ = ["ADMIN_PREFIX", "AnswerAdmin", "Generation", "KnownRoute"]

KnownRoute = tuple[CompiledRoute, Mapping[str, str], str]
"""A compiled route, the parameters of the path, and the path in canonical form."""

logger = logging.getLogger("gateway.runtime")

ADMIN_PREFIX = "/_gateway"
RETIRE_POLL_S = 0.5
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

    def __init__(
        self,
        configuration: Configuration,
        store: ComponentStore,
        services: Mapping[str, Service],
        answer_admin: AnswerAdmin,
        metrics: Metrics,
    ) -> None:
        self.configuration = configuration
        self._metrics = metrics
        self._shadow = ShadowRecord(metrics)
        self._identity = _identity_of(configuration)
        self.in_flight = 0
        self._store = store
        self._services = services
        # What a rule needs is looked up by identity: of equal ones there is only one in a configuration.
        self._obtained: dict[int, Component | None] = {}
        self._components: dict[Component, None] = {}
        self._problems: dict[str, Problem] = {}
        self._is_idle = asyncio.Event()
        self._is_retired = False
        self._blame = _blamer(configuration.host)
        self._containment = Containment(self._blame, configuration.gateway.errors.upstream_timeout_status)
        self._observers = Observers(self._instances(configuration.observers), self._blame)
        self._connectors = self._connectors_by_protocol()
        self.adapters: list[Adapter] = self._adapters_in_use()
        self._edge = self._placed(configuration.edge_policies)
        self._preflights: dict[str, CompiledRoute] = {}
        with collector_paused():
            entries = [*self._entries(), *self._own_entries(answer_admin)]
        self.listeners = [(adapter, listener) for adapter in self.adapters for listener in self._listeners_of(adapter)]
        if self._problems:
            raise ConfigurationError(self._problems.values())
        with collector_paused():
            self.table = RouteTable(entries)
        self._keeps_encoded_slashes = configuration.gateway.router.encoded_slashes
        self._has_pseudo_methods = any(
            {"WEBSOCKET", "SSE"} & (entry.methods or frozenset()) for entry in self.table.entries
        )
        self._is_memorable = not self._has_pseudo_methods and not any(
            entry.headers or entry.query for entry in self.table.entries
        )
        self.known_routes: dict[tuple[str, str, str], KnownRoute] = {}

    # Serving.

    def find(self, exchange: Exchange) -> KnownRoute:
        """Return the route for ``exchange``, its parameters and the canonical path."""
        request = exchange.request
        try:
            path = normalise_path(request.path, encoded_slashes=self._keeps_encoded_slashes)
        except MalformedPath as error:
            exchange.error = GatewayError(ErrorType.BAD_REQUEST, "the request path is malformed", detail=str(error))
            return self.refused, NO_PARAMS, request.path
        method = _pseudo_method(request) if self._has_pseudo_methods else request.method
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

    async def leave(self) -> None:
        """Give its components up, in reverse order; the ones nobody else uses are exited. It serves nothing more."""
        components, self._components = self._components, {}
        for component in reversed(components):
            await self._store.release(component)
        # Its routes know it, as it knows them: let go of them, or they wait for the garbage collector.
        self.known_routes.clear()
        self._preflights.clear()
        self.adapters, self.listeners = [], []
        self.__dict__.pop("table", None)
        self.__dict__.pop("refused", None)

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
        await self.leave()

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

    # Compiling.

    def _entries(self) -> Iterator[RouteEntry[CompiledRoute]]:
        for rule in self.configuration.rules:
            policies = self._policies(rule)
            balancer = self._balancer(rule)
            if balancer is None or self._problems:
                continue  # the others are built all the same, to find all problems
            try:
                compiled = self._route(rule, policies, self._terminal(rule, balancer))
            except Exception as error:  # noqa: BLE001 - whatever a plugin raises while it is put together is contained
                self._report_bug(error, f"route {rule.route.id!r}", rule.where)
                continue
            if _needs_preflight(rule):
                edge = [policy for policy in policies if policy.stage is Stage.EDGE]
                self._preflights[rule.route.id] = self._own_route(rule.route, edge, self._refuse)
            yield rule.entry(compiled)

    def _route(self, rule: ConfiguredRule, policies: Sequence[PlacedPolicy], terminal: Handler) -> CompiledRoute:
        components = RouteComponents(
            route=rule.route,
            policies=policies,
            terminal=terminal,
            observers=self._observers,
            rewrite=rule.rewrite,
        )
        compiled = compile_route(components, self._containment, on_finish=self._finished)
        if rule.rule.explain:
            token = self.configuration.gateway.admin.token
            if token is None:
                what = "'explain' tells who has a token made with the admin's; set gateway.admin.token"
                self._add([Problem(what, where=rule.where)])
                return compiled
            watched = dataclasses.replace(components, policies=[explained(placed) for placed in policies])
            compiled.handler = explainable(
                compiled.handler,
                compile_route(watched, self._containment, on_finish=self._finished),
                token.get_secret_value(),
            )
        return compiled

    def explained_route(self, rule: ConfiguredRule, stub: Handler) -> CompiledRoute:
        """Return the route of a rule with every policy watched, and ``stub`` in place of the service."""
        policies = [explained(placed) for placed in self._policies(rule)]
        components = RouteComponents(
            route=rule.route,
            policies=policies,
            terminal=stub,
            observers=Observers((), self._blame),
            rewrite=rule.rewrite,
        )
        compiled = compile_route(components, self._containment, on_finish=self._finished)
        compiled.needs_task = True  # nobody is in a hurry
        return compiled

    def _terminal(self, rule: ConfiguredRule, balancer: Component) -> Handler:
        connectors = self._connectors.get(rule.route.protocol, {})
        dispatch = build_dispatch(self._services[rule.route.service], balancer.instance, connectors, self._observers)
        wrap = getattr(balancer.instance, "wrap", None)
        return dispatch if wrap is None else wrap(dispatch, rule.route)

    def _balancer(self, rule: ConfiguredRule) -> Component | None:
        """Build the balancer of a rule, which is its own."""
        if self._obtained.get(id(rule.balancer), rule) is None:
            return None  # as for an earlier rule
        try:
            balancer = self._store.build(rule.balancer)
        except ConfigurationError as error:
            self._add(error.problems)
            self._obtained[id(rule.balancer)] = None
            return None
        if balancer.has_life:
            self._components[balancer] = None
        return balancer

    def _policies(self, rule: ConfiguredRule) -> list[PlacedPolicy]:
        """Return the policies of a rule in pipeline order; the core's own come first in their stages."""
        before, after = self._limits(rule)
        own = [
            PlacedPolicy(
                stage=Stage.AUTHENTICATE, name="limits", policy=before, where=_where(rule.limiters, rule.where)
            ),
            PlacedPolicy(
                stage=Stage.AUTHENTICATE,
                name="auth",
                policy=self._authentication(rule),
                where=_where(rule.authenticators, rule.where),
            ),
            # Behind everything that may find out who is calling, before everything that believes it.
            PlacedPolicy(stage=Stage.AUTHORIZE, name="identity", policy=self._identity),
            PlacedPolicy(
                stage=Stage.AUTHORIZE,
                name="scopes",
                policy=ScopePolicy(rule.auth.scopes, skips=_skips(rule)),
                where=rule.where,
            ),
            PlacedPolicy(stage=Stage.LIMIT, name="limits", policy=after, where=_where(rule.limiters, rule.where)),
        ]
        # sorted() is stable: within a stage what comes first stays first.
        return sorted([*own, *self._placed(rule.policies)], key=lambda placed: placed.stage)

    def _authentication(self, rule: ConfiguredRule) -> AuthenticationPolicy:
        authenticators = [
            AppliedAuthenticator(
                name=configured.name,
                challenge=configured.registration.challenge,
                authenticator=component.instance,
                is_shadow=configured.is_shadow,
            )
            for configured in rule.authenticators
            if (component := self._obtain(configured)) is not None
        ]
        return AuthenticationPolicy(authenticators, self._shadow, is_required=rule.auth.required, skips=_skips(rule))

    def _limits(self, rule: ConfiguredRule) -> tuple[LimitPolicy, LimitPolicy]:
        """Return what limits before anybody is asked who they are, and what limits afterwards."""
        before: list[AppliedLimiter] = []
        after: list[AppliedLimiter] = []
        for configured in rule.limiters:
            component = self._obtain(configured)
            if component is None:
                continue
            config = configured.config
            applied = AppliedLimiter(
                name=configured.name,
                key=key_function(config.key),
                limiter=component.instance,
                cost=config.cost,
                fields=config.headers,
                is_optional=configured.on_error == "allow",
                is_shadow=configured.is_shadow,
            )
            (before if config.before_authentication else after).append(applied)
        return (
            LimitPolicy(before, self._metrics, self._shadow, is_outer=bool(after)),
            LimitPolicy(after, self._metrics, self._shadow),
        )

    def _placed(self, configured_policies: Iterable[Configured]) -> list[PlacedPolicy]:
        return [
            PlacedPolicy(
                stage=configured.registration.stage,
                name=configured.registration.name,
                policy=component.instance,
                is_optional=configured.on_error == "allow",
                shadow=self._shadow if configured.is_shadow else None,
                where=configured.where,
            )
            for configured in configured_policies
            if (component := self._obtain(configured)) is not None
        ]

    def _connectors_by_protocol(self) -> dict[str, dict[str, Connector]]:
        found: dict[str, dict[str, Connector]] = {}
        carried = []
        for configured in self.configuration.connectors:
            registration, component = configured.registration, self._obtain(configured)
            if component is None:
                continue
            if registration.over is not None:
                carried.append((registration, component))
                continue
            by_scheme = found.setdefault(registration.protocol, {})
            by_scheme.update(dict.fromkeys(registration.schemes, component.instance))
        for registration, component in carried:
            carriers = found.get(registration.over, {})
            by_scheme = {scheme: component.instance.over(carrier) for scheme, carrier in carriers.items()}
            found.setdefault(registration.protocol, {}).update(by_scheme)
        return found

    def _adapters_in_use(self) -> list[Adapter]:
        """Return the adapters, each carried one over the one that carries it."""
        found: dict[str, Adapter] = {}
        carried = []
        for configured in self.configuration.adapters:
            registration, component = configured.registration, self._obtain(configured)
            if component is None:
                continue
            if registration.over is None:
                found[registration.name] = component.instance
            else:
                carried.append((registration, component))
        adapters = list(found.values())
        for registration, component in carried:
            if registration.over in found:
                adapters.append(component.instance.over(found[registration.over]))
            else:
                what = f"the adapter {registration.name!r} needs the adapter {registration.over!r}, which is off"
                self._add([Problem(f"{what}; turn both on or both off", where=component.configured.where)])
        return adapters

    def _own_entries(self, answer_admin: AnswerAdmin) -> list[RouteEntry[CompiledRoute]]:
        """Return the gateway's own entries in the table, and make the route for what is not in the table."""
        elsewhere = self._admin_paths()

        async def admin(exchange: Exchange) -> Response:
            request = exchange.request
            body = request.body
            if isinstance(body, Body):
                body = await body.read(MAX_ADMIN_BODY_BYTES)
            asked = AdminRequest(
                method=request.method,
                path=elsewhere.get(request.path) or request.path.removeprefix(ADMIN_PREFIX) or "/",
                query=request.query,
                accept=request.headers.get("accept") or "",
                body=body,
            )
            return await answer_admin(asked, request.headers.get("authorization"))

        try:
            self.refused = self._own_route(Route(id="gateway.unmatched", path="*"), self._edge, self._refuse)
            compiled = self._own_route(Route(id="gateway.admin", path=f"{ADMIN_PREFIX}/*"), self._edge, admin)
            compiled.needs_task = True
        except Exception as error:  # noqa: BLE001 - as for the rules
            self._report_bug(error, "requests that match no rule", "")
            return []
        return [
            RouteEntry(id=f"gateway.admin{path}", pattern=parse_pattern(path), target=compiled, priority=ADMIN_PRIORITY)
            for path in (f"{ADMIN_PREFIX}/*", *elsewhere)
        ]

    def _admin_paths(self) -> dict[str, str]:
        """Return the paths outside ``/_gateway`` where an endpoint is answered, each with that of the endpoint."""
        found: dict[str, str] = {}
        for configured in self.configuration.admin_routes:
            registration = configured.registration
            for path in registration.paths(configured.config):
                if found.setdefault(path, registration.admin_path) != registration.admin_path:
                    message = f"{path!r} cannot be answered by {found[path]!r} and by {registration.admin_path!r}"
                    self._add([Problem(f"{message} of {ADMIN_PREFIX}; give one of them another path")])
        return found

    async def _refuse(self, exchange: Exchange) -> Response:
        # Not raised: a refusal is cheap, since clients have as many as they like.
        assert exchange.error is not None  # noqa: S101 - set by whoever chose this route
        return self._containment.response(exchange, exchange.error)

    def _own_route(self, route: Route, policies: Sequence[PlacedPolicy], terminal: Handler) -> CompiledRoute:
        components = RouteComponents(route=route, policies=policies, terminal=terminal, observers=self._observers)
        return compile_route(components, self._containment, on_finish=self._finished)

    # Components.

    def _instances(self, configured: Iterable[Configured]) -> list[Any]:
        components = [self._obtain(each) for each in configured]
        return [component.instance for component in components if component is not None]

    def _obtain(self, configured: Configured) -> Component | None:
        if id(configured) in self._obtained:
            return self._obtained[id(configured)]
        component = None
        try:
            component = self._store.obtain(configured)
        except ConfigurationError as error:
            self._add(error.problems)
        else:
            self._components[component] = None
        self._obtained[id(configured)] = component
        return component

    def _listeners_of(self, adapter: Adapter) -> Sequence[Listener]:
        try:
            return adapter.listeners()
        except Exception as error:  # noqa: BLE001 - as for the rules
            self._report_bug(error, "listening", "")
            return []

    def _report_bug(self, error: Exception, where_used: str, where: str) -> None:
        """Report what a plugin raised where it must not; once, if it raises the same for every rule."""
        plugin = self._blame(error.__traceback__)
        who = f"plugin {plugin!r}" if plugin else "the gateway"
        what = f"{who} failed: {type(error).__name__}: {error}"
        logger.debug("%s", what, exc_info=error)
        self._problems.setdefault(what, Problem(f"{what}; needed for {where_used}", where=where))

    def _add(self, problems: Iterable[Problem]) -> None:
        for problem in problems:
            self._problems.setdefault(str(problem), problem)


def _blamer(host: PluginHost) -> Callable[[TracebackType | None], str | None]:
    """Return what names the plugin whose code a traceback ends in. It does not hold the generation."""

    def blame(traceback: TracebackType | None) -> str | None:
        plugin = host.blame(traceback)
        return plugin.name if plugin is not None else None

    return blame


def _missed(miss: Miss) -> GatewayError:
    if not miss.allowed:
        return GatewayError(ErrorType.NOT_FOUND, "route not found")
    allow = ", ".join(miss.allowed).encode("latin-1")
    return GatewayError(ErrorType.METHOD_NOT_ALLOWED, "method not allowed", headers=((b"allow", allow),))


def _identity_of(configuration: Configuration) -> IdentityPolicy:
    """Return what tells services who is calling; nothing where nobody could ever be known."""
    auth = configuration.gateway.auth
    names = auth.identity_headers
    if "identity_headers" not in auth.model_fields_set and not any(rule.authenticators for rule in configuration.rules):
        return IdentityPolicy()
    return IdentityPolicy(
        subject=names.subject, kind=names.type, provider=names.provider, scopes=names.scopes, claims=names.claims
    )


def _where(configured: Sequence[Configured], otherwise: str) -> str:
    return configured[0].where if configured else otherwise


def _needs_preflight(rule: ConfiguredRule) -> bool:
    """Say whether preflights for a rule find it only by the method they ask for."""
    methods = rule.matches.methods
    if methods is None or "OPTIONS" in methods:
        return False
    return any(policy.registration.answers_preflights and not policy.is_shadow for policy in rule.policies)


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
