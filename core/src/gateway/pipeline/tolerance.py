"""``onError: allow``: a policy whose failure must not fail the exchange."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from gateway.errors import GatewayError

if TYPE_CHECKING:
    from gateway.exchange import Exchange, Handler
    from gateway.interfaces import Policy, Route
    from gateway.messages import Response

__all__ = ["tolerate"]

logger = logging.getLogger("gateway.pipeline")


def tolerate(name: str, policy: Policy, handler: Handler, route: Route) -> Handler:
    """Wrap ``handler`` in ``policy`` so that the policy's own failure skips it.

    It is skipped only if nothing further in has run: a POST must never reach a service twice. A refusal
    (``GatewayError``) is not a failure.
    """
    key = f"gateway.tolerance.{name}"

    async def inner(exchange: Exchange) -> Response:
        exchange.state[key] = exchange.state.get(key, 0) + 1
        return await handler(exchange)

    wrapped = policy.wrap(inner, route)
    if wrapped is inner:
        return handler

    async def tolerant(exchange: Exchange) -> Response:
        # Counted, because a retry comes by more than once.
        runs_before = exchange.state.get(key, 0)
        try:
            return await wrapped(exchange)
        except GatewayError:
            raise
        except Exception:
            if exchange.state.get(key, 0) != runs_before:
                raise
            logger.exception(
                "policy %r failed and was skipped (onError: allow)",
                name,
                extra={"request_id": exchange.request.id, "route": route.id},
            )
            return await handler(exchange)

    return tolerant
