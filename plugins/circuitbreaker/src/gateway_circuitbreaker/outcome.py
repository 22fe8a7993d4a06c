"""What a request says about the service that was asked."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway import ErrorType, GatewayError
from gateway_circuitbreaker.circuit import Outcome

if TYPE_CHECKING:
    from gateway import Exchange
    from gateway_circuitbreaker.config import CircuitSettings

__all__ = ["outcome_of_error"]

_BY_TYPE = {
    ErrorType.BAD_GATEWAY: "bad_gateway",
    ErrorType.UPSTREAM_TIMEOUT: "upstream_timeout",
    ErrorType.UNAVAILABLE: "unavailable",
}


def outcome_of_error(error: BaseException, exchange: Exchange, settings: CircuitSettings) -> Outcome:
    """Return what an attempt without an answer counts as.

    A client that went away, a body that broke off, a plugin's bug: none of them says anything about the service.
    """
    failure: str | None = None
    if isinstance(error, GatewayError):
        failure = "connect" if error.is_unsent else _BY_TYPE.get(error.type)
    elif isinstance(error, asyncio.CancelledError) and not exchange.is_cancelled:
        # The client still waits: it was a deadline further out, such as that of one try.
        failure = "upstream_timeout"
    return Outcome.FAILURE if failure in settings.errors else Outcome.NEITHER
