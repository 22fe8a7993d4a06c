"""Compiles the rules of a configuration, and the gateway's own routes, into handlers."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from gateway.body import Body
from gateway.errors import Problem
from gateway.interfaces import AdminRequest, Route, Stage
from gateway.pipeline import CompiledRoute, Containment, Observers, PlacedPolicy, RouteComponents, compile_route
from gateway.pipeline.authentication import AppliedAuthenticator, AuthenticationPolicy, ScopePolicy
from gateway.pipeline.budget import Budgets, Quarantine, WatchedPolicy
from gateway.pipeline.explaining import explainable, explained
from gateway.pipeline.identity import IdentityPolicy
from gateway.pipeline.limiting import AppliedLimiter, LimitPolicy, key_function
from gateway.pipeline.shadow import ShadowRecord
from gateway.routing import RouteEntry, parse_pattern
from gateway.services.dispatch import build_dispatch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence

    from gateway.config import Configuration, Configured, ConfiguredRule
    from gateway.exchange import Exchange, Handler
    from gateway.interfaces import Policy
    from gateway.messages import Response
    from gateway.metrics import Metrics
    from gateway.runtime.assembly import Assembly
    from gateway.runtime.components import Component
    from gateway.services import Service

    AnswerAdmin = Callable[[AdminRequest, str | None], Awaitable[Response]]
    """Answers a request under ``/_gateway``, given its ``Authorization`` field."""

__all__ = ["ADMIN_PREFIX", "RouteCompiler"]

ADMIN_PREFIX = "/_gateway"
ADMIN_PRIORITY = 2**31
"""Above every rule: a route for everything must not hide the gateway's own health."""
MAX_ADMIN_BODY_BYTES = 1024 * 1024


class RouteCompiler:
    """Compiles the routes of one configuration.

    Args:
        configuration: The configuration.
        assembly: Obtains components, and is told of what fails.
        services: The services of its rules, by name.
        metrics: Where the core's own policies count.
        on_finish: Called when an exchange of any of the routes is over.
    """

    def __init__(
        self,
        configuration: Configuration,
        assembly: Assembly,
        services: Mapping[str, Service],
        metrics: Metrics,
        on_finish: Callable[[], None],
    ) -> None:
        self._configuration = configuration
        self._assembly = assembly
        self._services = services
        self._metrics = metrics
        self._on_finish = on_finish
        self._shadow = ShadowRecord(metrics)
        self._budgets = Budgets(metrics)
        self._watched: dict[int, WatchedPolicy] = {}
        self._identity = _identity_of(configuration)
        self._containment = Containment(assembly.blame, configuration.gateway.errors.upstream_timeout_status)
        self._observers = Observers(assembly.instances(configuration.observers), assembly.blame)
        self._connectors = assembly.connectors(configuration)
        self._edge = self._placed(configuration.edge_policies)

    # Rules.

    def rules(self) -> Iterator[tuple[ConfiguredRule, CompiledRoute, CompiledRoute | None]]:
        """Return each rule with its route, and with what answers preflights for it, where those need a route."""
        for rule in self._configuration.rules:
            policies = self._policies(rule)
            balancer = self._assembly.build(rule.balancer)
            if balancer is None or self._assembly.has_problems:
                continue  # the others are built all the same, to find all problems
            try:
                compiled = self._route(rule, policies, self._terminal(rule, balancer))
            except Exception as error:  # noqa: BLE001 - whatever a plugin raises while it is put together is contained
                self._assembly.report_bug(error, f"route {rule.route.id!r}", rule.where)
                continue
            preflight = None
            if _needs_preflight(rule):
                edge = [policy for policy in policies if policy.stage is Stage.EDGE]
                preflight = self._own_route(rule.route, edge, self._refuse)
            yield rule, compiled, preflight

    def explained(self, rule: ConfiguredRule, stub: Handler) -> CompiledRoute:
        """Return the route of a rule with every policy watched, and ``stub`` in place of the service."""
        components = RouteComponents(
            route=rule.route,
            policies=[explained(placed) for placed in self._policies(rule)],
            terminal=stub,
            observers=Observers((), self._assembly.blame),
            rewrite=rule.rewrite,
        )
        compiled = compile_route(components, self._containment, on_finish=self._on_finish)
        compiled.needs_task = True  # nobody is in a hurry
        return compiled

    def _route(self, rule: ConfiguredRule, policies: Sequence[PlacedPolicy], terminal: Handler) -> CompiledRoute:
        components = RouteComponents(
            route=rule.route,
            policies=policies,
            terminal=terminal,
            observers=self._observers,
            rewrite=rule.rewrite,
        )
        compiled = compile_route(components, self._containment, on_finish=self._on_finish)
        if rule.rule.explain:
            self._make_explainable(compiled, components, rule)
        return compiled

    def _make_explainable(self, compiled: CompiledRoute, components: RouteComponents, rule: ConfiguredRule) -> None:
        token = self._configuration.gateway.admin.token
        if token is None:
            what = "'explain' tells who has a token made with the admin's; set gateway.admin.token"
            self._assembly.add([Problem(what, where=rule.where)])
            return
        watched = dataclasses.replace(components, policies=[explained(placed) for placed in components.policies])
        compiled.handler = explainable(
            compiled.handler,
            compile_route(watched, self._containment, on_finish=self._on_finish),
            token.get_secret_value(),
        )

    def _terminal(self, rule: ConfiguredRule, balancer: Component) -> Handler:
        connectors = self._connectors.get(rule.route.protocol, {})
        dispatch = build_dispatch(self._services[rule.route.service], balancer.instance, connectors, self._observers)
        wrap = getattr(balancer.instance, "wrap", None)
        return dispatch if wrap is None else wrap(dispatch, rule.route)

    # Policies.

    def _policies(self, rule: ConfiguredRule) -> list[PlacedPolicy]:
        """Return the policies of a rule in pipeline order; the core's own come first in their stages."""
        before, after = self._limits(rule)
        limits_where = _where(rule.limiters, rule.where)
        scopes = ScopePolicy(rule.auth.scopes, skips=_skips(rule))
        own = [
            PlacedPolicy(stage=Stage.AUTHENTICATE, name="limits", policy=before, where=limits_where),
            PlacedPolicy(
                stage=Stage.AUTHENTICATE,
                name="auth",
                policy=self._authentication(rule),
                where=_where(rule.authenticators, rule.where),
            ),
            # Behind everything that may find out who is calling, before everything that believes it.
            PlacedPolicy(stage=Stage.AUTHORIZE, name="identity", policy=self._identity),
            PlacedPolicy(stage=Stage.AUTHORIZE, name="scopes", policy=scopes, where=rule.where),
            PlacedPolicy(stage=Stage.LIMIT, name="limits", policy=after, where=limits_where),
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
            if (component := self._assembly.obtain(configured)) is not None
        ]
        return AuthenticationPolicy(authenticators, self._shadow, is_required=rule.auth.required, skips=_skips(rule))

    def _limits(self, rule: ConfiguredRule) -> tuple[LimitPolicy, LimitPolicy]:
        """Return what limits before anybody is asked who they are, and what limits afterwards."""
        before: list[AppliedLimiter] = []
        after: list[AppliedLimiter] = []
        for configured in rule.limiters:
            component = self._assembly.obtain(configured)
            if component is None:
                continue
            config = configured.config
            applied = AppliedLimiter(
                name=configured.name,
                key=key_function(config.key),
                limiter=component.instance,
                cost=config.cost,
                fields=config.headers,
                told_as=config.name or configured.name,
                is_shared=config.scope == "gateway",
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
                policy=self._with_budget(configured, component),
                is_optional=configured.on_error == "allow",
                shadow=self._shadow if configured.is_shadow else None,
                where=configured.where,
            )
            for configured in configured_policies
            if (component := self._assembly.obtain(configured)) is not None
        ]

    def _with_budget(self, configured: Configured, component: Component) -> Policy:
        """Return the component, watched if it has a budget; one watch for all rules with this configuration."""
        budget, rule = configured.budget, configured.budget.quarantine
        policy: Policy = component.instance
        if budget.latency_budget is None and rule is None:
            return policy
        if id(configured) not in self._watched:
            quarantine = None
            if rule is not None:
                quarantine = Quarantine(failures=rule.failures, within_s=rule.within, rest_s=rule.rest)
            self._watched[id(configured)] = self._budgets.watched(
                configured.name, policy, budget_s=budget.latency_budget, quarantine=quarantine
            )
        return self._watched[id(configured)]

    # The gateway's own routes.

    def own(self, answer_admin: AnswerAdmin) -> tuple[CompiledRoute | None, list[RouteEntry[CompiledRoute]]]:
        """Return the route that answers ``exchange.error``, and the entries of what the gateway answers itself."""
        elsewhere = self._admin_paths()
        try:
            refused = self._own_route(Route(id="gateway.unmatched", path="*"), self._edge, self._refuse)
            admin = self._own_route(
                Route(id="gateway.admin", path=f"{ADMIN_PREFIX}/*"), self._edge, _admin_handler(answer_admin, elsewhere)
            )
        except Exception as error:  # noqa: BLE001 - as for the rules
            self._assembly.report_bug(error, "requests that match no rule", "")
            return None, []
        admin.needs_task = True
        return refused, [
            RouteEntry(id=f"gateway.admin{path}", pattern=parse_pattern(path), target=admin, priority=ADMIN_PRIORITY)
            for path in (f"{ADMIN_PREFIX}/*", *elsewhere)
        ]

    def _admin_paths(self) -> dict[str, str]:
        """Return the paths outside ``/_gateway`` where an endpoint is answered, each with that of the endpoint."""
        found: dict[str, str] = {}
        for configured in self._configuration.admin_routes:
            registration = configured.registration
            for path in registration.paths(configured.config):
                if found.setdefault(path, registration.admin_path) != registration.admin_path:
                    message = f"{path!r} cannot be answered by {found[path]!r} and by {registration.admin_path!r}"
                    self._assembly.add([Problem(f"{message} of {ADMIN_PREFIX}; give one of them another path")])
        return found

    async def _refuse(self, exchange: Exchange) -> Response:
        # Not raised: a refusal is cheap, since clients have as many as they like.
        assert exchange.error is not None  # noqa: S101 - set by whoever chose this route
        return self._containment.response(exchange, exchange.error)

    def _own_route(self, route: Route, policies: Sequence[PlacedPolicy], terminal: Handler) -> CompiledRoute:
        components = RouteComponents(route=route, policies=policies, terminal=terminal, observers=self._observers)
        return compile_route(components, self._containment, on_finish=self._on_finish)


def _admin_handler(answer_admin: AnswerAdmin, elsewhere: Mapping[str, str]) -> Handler:
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

    return admin


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
