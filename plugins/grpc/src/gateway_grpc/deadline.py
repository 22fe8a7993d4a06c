"""Deadlines: what a client says in ``grpc-timeout``, and what the route says."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from gateway import ErrorType, GatewayError

if TYPE_CHECKING:
    from gateway import Request

__all__ = ["TIMEOUT", "parse_timeout", "timeout_of", "timeout_value"]

TIMEOUT = b"grpc-timeout"
_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])")
MAX_DIGITS = 8
_UNITS = ((b"m", 1000), (b"S", 1), (b"M", 1 / 60), (b"H", 1 / 3600))
"""Those that are written: the name, and how many are a second."""
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
    value = request.headers.values().get(TIMEOUT)
    if value is None:
        return None
    try:
        return _known(value)
    except ValueError as error:
        raise GatewayError(ErrorType.BAD_REQUEST, str(error)) from error


@lru_cache(maxsize=256)  # a client mostly says the same
def _known(value: bytes) -> float:
    return parse_timeout(value.decode("latin-1"))


@lru_cache(maxsize=64)  # that of a route is the same for all calls
def timeout_value(timeout_s: float) -> bytes:
    """Return the value of ``grpc-timeout``, rounded up: who sends it gives up by itself."""
    for unit, per_second in _UNITS:
        value = b"%d" % math.ceil(timeout_s * per_second)
        if len(value) <= MAX_DIGITS:
            return value + unit
    return b"9" * MAX_DIGITS + b"H"
