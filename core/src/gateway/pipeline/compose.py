"""Route and components → one handler. Reads from the inside out: the last wrap is the first to see a request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.interfaces import Stage
from gateway.pipeline.compiled import CompiledRoute
from gateway.pipeline.tolerance import tolerate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.exchange import Exchange, Handler, Response
    from gateway.interfaces import Observer, Policy, Route
    from gateway.pipeline.compiled import Containment

__all__ = ["PlacedPolicy", "RouteComponents", "compile_route"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedPolicy:
    """A policy and its place.

    Attributes:
        stage: The stage.
        name: The registration's name.
        policy: The component.
        is_optional: ``onError: allow``: its failure does not fail the exchange, as long as nothing further in has run.
    """

    stage: Stage
    name: str
    policy: Policy
    is_optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteComponents:
    """Everything a route is compiled from.

    Attributes:
        route: The route.
        policies: Its policies in pipeline order, the core's own included.
        terminal: The innermost handler: dispatch to a service, or an answer of the gateway's own.
        rewrite: Maps the matched path to the forwarded one; ``None`` leaves it.
        observers: Who is told.
    """

    route: Route
    policies: Sequence[PlacedPolicy]
    terminal: Handler
    rewrite: Callable[[str], str] | None = None
    observers: Sequence[Observer] = ()


def compile_route(
    components: RouteComponents,
    containment: Containment,
    *,
    on_finish: Callable[[], None],
) -> CompiledRoute:
    """Compile one route.

    Args:
        components: What it is made of.
        containment: Makes responses of errors.
        on_finish: Called after every exchange.
    """
    route = components.route
    handler = components.terminal
    if components.rewrite is not None:
        handler = _rewriting(handler, components.rewrite)
    edge = [placed for placed in components.policies if placed.stage is Stage.EDGE]
    inner = [placed for placed in components.policies if placed.stage is not Stage.EDGE]
    for placed in reversed(inner):
        handler = _wrap(placed, handler, route)
    if edge:
        # Edge policies see refusals as the responses they become: a 401 has CORS headers too.
        handler = _contained(handler, containment)
        for placed in reversed(edge):
            handler = _wrap(placed, handler, route)
    return CompiledRoute(
        route=route,
        handler=handler,
        needs_task=any(getattr(placed.policy, "waits", True) for placed in components.policies),
        observers=components.observers,
        containment=containment,
        on_finish=on_finish,
    )


def _wrap(placed: PlacedPolicy, handler: Handler, route: Route) -> Handler:
    if placed.is_optional:
        return tolerate(placed.name, placed.policy, handler, route)
    return placed.policy.wrap(handler, route)


def _rewriting(handler: Handler, rewrite: Callable[[str], str]) -> Handler:
    async def rewriting(exchange: Exchange) -> Response:
        exchange.upstream_path = rewrite(exchange.request.path)
        return await handler(exchange)

    return rewriting


def _contained(handler: Handler, containment: Containment) -> Handler:
    async def contained(exchange: Exchange) -> Response:
        try:
            return await handler(exchange)
        except Exception as error:  # noqa: BLE001 - whatever escapes a plugin is contained here
            return containment.response(exchange, error)

    return contained
