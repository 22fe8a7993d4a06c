"""Deadlines: what a client says in ``grpc-timeout``, and what the route says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gateway import ErrorType, GatewayError

if TYPE_CHECKING:
    from gateway import Request

__all__ = ["parse_timeout", "timeout_of"]

_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])")
_SECONDS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


def parse_timeout(text: str) -> float:
    """Return seconds for the value of ``grpc-timeout``: at most eight digits and a unit (gRPC over HTTP2, "Timeout").

    Raises:
        ValueError: If it is none.
    """
    match = _TIMEOUT.fullmatch(text)
    if match is None:
        msg = f"{text[:32]!r} is no grpc-timeout; write such as 500m or 5S"
        raise ValueError(msg)
    return int(match[1]) * _SECONDS[match[2]]


def timeout_of(request: Request) -> float | None:
    """Return how long the client wants to wait, in seconds; ``None`` if it does not say.

    Raises:
        GatewayError: ``bad_request`` if what it says is no time.
    """
    text = request.headers.get("grpc-timeout")
    if text is None:
        return None
    try:
        return parse_timeout(text)
    except ValueError as error:
        raise GatewayError(ErrorType.BAD_REQUEST, str(error)) from error
