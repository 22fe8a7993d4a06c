"""Route and components → one handler. Reads from the inside out: the last wrap is the first to see a request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.interfaces import Stage
from gateway.pipeline.compiled import CompiledRoute
from gateway.pipeline.shadow import ShadowRecord, shadow
from gateway.pipeline.tolerance import tolerate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.exchange import Exchange, Handler
    from gateway.interfaces import Policy, Route
    from gateway.messages import Response
    from gateway.pipeline.compiled import Containment
    from gateway.pipeline.observing import Observers

__all__ = ["PlacedPolicy", "RouteComponents", "compile_route"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedPolicy:
    """A policy and its place.

    Attributes:
        stage: The stage.
        name: The registration's name.
        policy: The component.
        is_optional: ``onError: allow``: its failure does not fail the exchange, as long as nothing further in has run.
        shadow: Where is recorded what it would have done (``mode: shadow``); ``None`` lets it do it.
        where: The line of the configuration that turned it on, for explanations.
    """

    stage: Stage
    name: str
    policy: Policy
    is_optional: bool = False
    shadow: ShadowRecord | None = None
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteComponents:
    """Everything a route is compiled from.

    Attributes:
        route: The route.
        policies: Its policies in pipeline order, the core's own included.
        terminal: The innermost handler: dispatch to a service, or an answer of the gateway's own.
        observers: Who is told.
        rewrite: Maps the matched path to the forwarded one; ``None`` leaves it.
    """

    route: Route
    policies: Sequence[PlacedPolicy]
    terminal: Handler
    observers: Observers
    rewrite: Callable[[str], str] | None = None


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
    edge = [placed for placed in components.policies if placed.stage is Stage.EDGE]
    inner = [placed for placed in components.policies if placed.stage is not Stage.EDGE]
    handler, inner_waits = _stack(inner, handler, components)
    if components.rewrite is not None:
        # Before the policies: one of them may have the last word on what is forwarded.
        handler = _rewriting(handler, components.rewrite)
    # Edge policies see refusals as the responses they become: a 401 has CORS headers too.
    contained = _contained(handler, containment)
    outermost, edge_waits = _stack(edge, contained, components)
    return CompiledRoute(
        route=route,
        handler=components.observers.announced(handler if outermost is contained else outermost),
        needs_task=inner_waits or edge_waits,
        observers=components.observers,
        containment=containment,
        on_finish=on_finish,
    )


def _stack(policies: Sequence[PlacedPolicy], handler: Handler, components: RouteComponents) -> tuple[Handler, bool]:
    """Wrap ``handler`` in policies, the last one first; returns whether one of them may wait by itself, too."""
    route = components.route
    waits = False
    for placed in reversed(policies):
        inner = handler
        if placed.shadow is not None:
            handler = shadow(placed.name, placed.policy, inner, route, placed.shadow)
        elif placed.is_optional:
            handler = tolerate(placed.name, placed.policy, inner, route)
        else:
            handler = placed.policy.wrap(inner, route)
        if handler is inner:
            continue  # it does nothing here, and so nothing that waits
        waits = waits or getattr(placed.policy, "waits", True)
        handler = components.observers.around(placed.name, placed.stage, handler, route)
    return handler, waits


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
