"""The route source ``kubernetes``: GatewayRoute objects become rules, and are told what became of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway import SourcedRule
from gateway_kubernetes.problems import DiscoveryError, quoted
from gateway_kubernetes.reflection import Reflection, Resource
from gateway_kubernetes.route_objects import GROUP, KIND, PLURAL, Condition, RouteObject, parse_route
from gateway_kubernetes.status import ROUTES as STATUS_KEY
from gateway_kubernetes.status_writer import StatusWriter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway import BuildContext
    from gateway.interfaces import DiscoveryProvider, PublishRules, RouteSource, RuleOutcome
    from gateway_kubernetes.config import KubernetesRoutesConfig
    from gateway_kubernetes.objects import Key
    from gateway_kubernetes.provider import KubernetesProvider
    from gateway_kubernetes.reflection import Record

__all__ = ["ROUTES", "KubernetesRoutes", "RouteWatch"]

ROUTES = Resource(PLURAL, GROUP, parse_route)
SHORTEST_GAP_S = 0.1
"""Between two sets of rules: objects that flap, or a server that floods, cause ten a second."""
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0


class KubernetesRoutes:
    """The route source over the discovery provider ``kubernetes``, which knows the cluster and the services.

    Args:
        config: The validated block.
        context: The gateway.
    """

    def __init__(self, config: KubernetesRoutesConfig, context: BuildContext) -> None:
        self._config = config
        self._context = context
        self._watch: RouteWatch | None = None
        context.expose(STATUS_KEY, self.status)

    def over(self, provider: DiscoveryProvider) -> RouteSource:
        """Return what follows the routes of the cluster that ``provider`` follows."""
        watch = RouteWatch(self._config, self._context, provider)  # type: ignore[arg-type]  # the plugin's own
        # The last one is that of the newest configuration.
        self._watch = watch
        return watch

    def status(self) -> dict[str, object]:
        """Return how it is doing, for ``/_gateway/kubernetes``."""
        return self._watch.status() if self._watch is not None else {}


@dataclass(frozen=True, slots=True, eq=False)
class _Made:
    """What was made of a route.

    Attributes:
        route: The route.
        service: What its service is called; ``None`` if it is not served.
        rule: Its rule.
    """

    route: RouteObject
    service: str | None
    rule: SourcedRule


class RouteWatch:
    """Follows the routes of one cluster.

    Args:
        config: The validated block.
        context: The gateway.
        provider: Knows the cluster, and what services are called.
    """

    def __init__(self, config: KubernetesRoutesConfig, context: BuildContext, provider: KubernetesProvider) -> None:
        self._config = config
        self._context = context
        self._provider = provider
        self._writer = StatusWriter(provider.cluster, provider.config.timeout, context.logger)
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._routes: dict[Key, RouteObject] = {}
        self._made: dict[Key, _Made] = {}
        self._outcomes: dict[str, RuleOutcome] = {}
        self._reflections = [
            Reflection(
                ROUTES,
                namespace,
                config.label_selector,
                provider.cluster,
                self,
                provider.config.refresh_interval,
                provider.config.timeout,
            )
            for namespace in (provider.config.namespaces or ("",))
        ]

    async def watch(self, publish: PublishRules) -> None:
        """Publish a rule for each route, now and whenever one changed, or the name of its service."""
        with self._provider.naming(self._changed.set):
            async with asyncio.TaskGroup() as group:
                for reflection in self._reflections:
                    group.create_task(self._follow(reflection))
                if self._config.write_status:
                    group.create_task(self._writer.write())
                await self._publish_all(publish)

    def settled(self, outcomes: Sequence[RuleOutcome]) -> None:
        """Tell each route what became of it."""
        before, self._outcomes = self._outcomes, {outcome.rule.where: outcome for outcome in outcomes}
        for made in self._made.values():
            outcome = self._outcomes.get(made.rule.where)
            if outcome is not None and outcome != before.get(made.rule.where):
                self._tell(made)

    def change(self, removed: Sequence[Record], put: Sequence[Record]) -> None:
        """Take over what changed; from whichever thread."""
        with self._lock:
            for record in removed:
                self._routes.pop(record.key, None)
            for record in put:
                if isinstance(record, RouteObject):
                    self._routes[record.key] = record
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._changed.set)

    def status(self) -> dict[str, object]:
        """Return how it is doing."""
        problems = [problem for reflection in self._reflections for problem in reflection.problems]
        return {
            "watches": [reflection.status() for reflection in self._reflections],
            "routes": len(self._routes),
            "problems": [*problems, *filter(None, [self._writer.problem])],
        }

    async def _publish_all(self, publish: PublishRules) -> None:
        for reflection in self._reflections:
            await reflection.is_settled.wait()
        await self._provider.is_named.wait()
        while True:
            # Before looking, so that what happens meanwhile causes another look.
            self._changed.clear()
            with self._lock:
                routes = dict(self._routes)
            before, self._made = (
                self._made,
                {route.key: self._make(route) for route in sorted(routes.values(), key=_age)},
            )
            refusals = self._refusals()
            # Before anything is known, nothing is said: what is in force stays.
            if refusals or any(reflection.is_listed for reflection in self._reflections):
                publish([*(made.rule for made in self._made.values()), *refusals])
            self._writer.keep_only(routes.keys())
            for key, made in self._made.items():
                if made is not before.get(key):
                    self._tell(made)
            await asyncio.sleep(SHORTEST_GAP_S)
            await self._changed.wait()

    def _make(self, route: RouteObject) -> _Made:
        """Return the rule of a route; the same object while neither it nor the name of its service changes."""
        name = self._provider.names.get(route.target) if route.target is not None else None
        made = self._made.get(route.key)
        if made is not None and made.route is route and made.service == name:
            return made
        return _Made(route, name, self._rule(route, name))

    def _rule(self, route: RouteObject, service: str | None) -> SourcedRule:
        rule: dict[str, Any] = json.loads(route.spec)
        namespace, name = route.key
        if route.target is None:
            problem = f"serviceName is {quoted(rule.get('serviceName'))}; name a Service"
            return SourcedRule(rule={}, where=route.name, problem=problem)
        if route.target[0] != namespace and not self._config.cross_namespace:
            problem = f"serviceNamespace is {quoted(route.target[0])}; a route leads to services of its own namespace"
            return SourcedRule(rule={}, where=route.name, problem=problem)
        rule.pop("serviceNamespace", None)
        # One that is not served is called so that nothing else is: its plain name may be another namespace's.
        service = service or ".".join(reversed(route.target))
        return SourcedRule(rule={**rule, "id": f"{namespace}/{name}", "serviceName": service}, where=route.name)

    def _refusals(self) -> list[SourcedRule]:
        """Return what is reported of namespaces that nothing can be read of; it would be found nowhere else."""
        return [
            SourcedRule(
                rule={}, where=f"{KIND} in {reflection.namespace or 'all namespaces'}", problem=reflection.error
            )
            for reflection in self._reflections
            if reflection.is_refused
        ]

    def _tell(self, made: _Made) -> None:
        """Say of a route what became of it, if that is known of its present spec."""
        outcome = self._outcomes.get(made.rule.where)
        if outcome is not None and outcome.rule == made.rule:
            self._writer.say(made.route, _conditions(made, outcome))

    async def _follow(self, reflection: Reflection) -> None:
        """Keep the copy of one namespace up to date, whatever happens to those of others."""
        pause_s = FIRST_PAUSE_S
        while True:
            began_s = self._loop.time()
            try:
                await reflection.follow()
            except DiscoveryError as error:
                self._context.logger.warning("%s: %s", reflection.name, error)
                self._changed.set()
            if self._loop.time() - began_s > LONGEST_PAUSE_S:
                pause_s = FIRST_PAUSE_S
            await asyncio.sleep(pause_s * random.uniform(0.75, 1.25))  # noqa: S311 - no secret
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def _age(route: RouteObject) -> tuple[str, Key]:
    """Return what sorts routes: the older first, as in the Gateway API, where two conflict."""
    return route.created, route.key


def _conditions(made: _Made, outcome: RuleOutcome) -> tuple[Condition, ...]:
    said = "; ".join(outcome.problems)
    accepted = ("Accepted", "the gateway can serve it") if outcome.is_accepted else ("Invalid", said)
    programmed = ("NotServed" if outcome.is_accepted else "Invalid", said)
    if outcome.is_served:
        programmed = ("Programmed", "it is served")
    resolved = ("ResolvedRefs", "its service is known")
    if made.service is None:
        resolved = ("ServiceNotFound", "the gateway knows no such service; does it exist, and has it the annotation?")
    generation = made.route.generation
    return tuple(
        Condition(type=kind, is_true=is_true, reason=reason, message=message, generation=generation)
        for kind, is_true, (reason, message) in (
            ("Accepted", outcome.is_accepted, accepted),
            ("ResolvedRefs", made.service is not None, resolved),
            ("Programmed", outcome.is_served, programmed),
        )
    )


if TYPE_CHECKING:
    from gateway.interfaces import CarriedRouteSource

    _: tuple[type[CarriedRouteSource], type[RouteSource]] = (KubernetesRoutes, RouteWatch)
