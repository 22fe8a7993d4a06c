"""Connections to instances: opened in time, and what connectors say when there is none."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from gateway.errors import ErrorType, GatewayError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from gateway.exchange import Exchange
    from gateway.interfaces import Instance

__all__ = ["MAX_WAITING", "dial", "patience_s", "too_busy", "too_slow"]

T = TypeVar("T")

MAX_WAITING = 1024
"""How many exchanges may wait for an instance that has reached its limit; Envoy's max_pending_requests."""


async def dial(connecting: Awaitable[T], instance: Instance, *, timeout_s: float) -> T:
    """Return the connection that ``connecting`` opens.

    Args:
        connecting: Opens it; cancelled if it takes too long.
        instance: Where to.
        timeout_s: How long it may take, TLS included.

    Raises:
        GatewayError: ``upstream_timeout`` if it takes too long, ``bad_gateway`` for an ``OSError``, TLS failures
            included; both say that nothing was sent, so that another instance is asked.
    """
    try:
        async with asyncio.timeout(timeout_s):
            return await connecting
    except TimeoutError as error:
        raise too_slow(instance, f"did not accept a connection within {timeout_s} s", is_unsent=True) from error
    except OSError as error:
        raise GatewayError(
            ErrorType.BAD_GATEWAY,
            "the service cannot be reached",
            detail=f"{instance.label} cannot be reached: {type(error).__name__}: {error}",
            is_unsent=True,
        ) from error


def patience_s(exchange: Exchange, dial_timeout_s: float) -> float:
    """Return how long an exchange may wait for a connection: no longer than its route lets it wait for an answer.

    Args:
        exchange: Who waits.
        dial_timeout_s: How long connecting may take. The connection may be of use to others, also when it is too late
            for this exchange.
    """
    timeout_s = exchange.route.timeout_s
    return dial_timeout_s if timeout_s is None else min(timeout_s, dial_timeout_s)


def too_slow(instance: Instance, what: str, *, is_unsent: bool = False) -> GatewayError:
    """Return the error of an instance that did not do in time what it should.

    Args:
        instance: The instance.
        what: What it did not, for the log.
        is_unsent: Whether it saw nothing of the request.
    """
    return GatewayError(
        ErrorType.UPSTREAM_TIMEOUT,
        "the service did not answer in time",
        detail=f"{instance.label}: {what}",
        is_unsent=is_unsent,
    )


def too_busy(instance: Instance) -> GatewayError:
    """Return the error of an exchange that may not even wait for an instance: ``MAX_WAITING`` others do."""
    return GatewayError(
        ErrorType.UNAVAILABLE, "the service is too busy", detail=f"{instance.label}: too many requests wait"
    )
