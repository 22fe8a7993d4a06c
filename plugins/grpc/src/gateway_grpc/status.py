"""Statuses of gRPC, and what they are in HTTP; in both directions."""

from __future__ import annotations

from enum import IntEnum
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["GrpcStatus", "http_status_of", "phrase_of", "status_of_http"]


class GrpcStatus(IntEnum):
    """The statuses of gRPC (``google/rpc/code.proto``)."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


CLIENT_CLOSED_REQUEST = 499
"""No status of HTTP's; nginx's for a client that went away, and google/rpc/code.proto's for ``CANCELLED``."""

_TO_HTTP: Mapping[GrpcStatus, int] = {
    # As the comments in google/rpc/code.proto have it.
    GrpcStatus.OK: 200,
    GrpcStatus.CANCELLED: CLIENT_CLOSED_REQUEST,
    GrpcStatus.UNKNOWN: 500,
    GrpcStatus.INVALID_ARGUMENT: 400,
    GrpcStatus.DEADLINE_EXCEEDED: 504,
    GrpcStatus.NOT_FOUND: 404,
    GrpcStatus.ALREADY_EXISTS: 409,
    GrpcStatus.PERMISSION_DENIED: 403,
    GrpcStatus.RESOURCE_EXHAUSTED: 429,
    GrpcStatus.FAILED_PRECONDITION: 400,
    GrpcStatus.ABORTED: 409,
    GrpcStatus.OUT_OF_RANGE: 400,
    GrpcStatus.UNIMPLEMENTED: 501,
    GrpcStatus.INTERNAL: 500,
    GrpcStatus.UNAVAILABLE: 503,
    GrpcStatus.DATA_LOSS: 500,
    GrpcStatus.UNAUTHENTICATED: 401,
}

_OF_HTTP: Mapping[int, GrpcStatus] = {
    # What a gateway refuses with, as the status a gRPC service would have refused with: the other table read backwards.
    400: GrpcStatus.INVALID_ARGUMENT,
    401: GrpcStatus.UNAUTHENTICATED,
    403: GrpcStatus.PERMISSION_DENIED,
    404: GrpcStatus.UNIMPLEMENTED,  # of gRPC's "HTTP to gRPC Status Code Mapping": there is no such method
    405: GrpcStatus.UNIMPLEMENTED,
    408: GrpcStatus.DEADLINE_EXCEEDED,
    409: GrpcStatus.ABORTED,
    413: GrpcStatus.RESOURCE_EXHAUSTED,
    414: GrpcStatus.RESOURCE_EXHAUSTED,
    429: GrpcStatus.RESOURCE_EXHAUSTED,  # there UNAVAILABLE; a quota is what RESOURCE_EXHAUSTED is for
    431: GrpcStatus.RESOURCE_EXHAUSTED,
    499: GrpcStatus.CANCELLED,
    500: GrpcStatus.INTERNAL,
    501: GrpcStatus.UNIMPLEMENTED,
    502: GrpcStatus.UNAVAILABLE,
    503: GrpcStatus.UNAVAILABLE,
    504: GrpcStatus.DEADLINE_EXCEEDED,
}


def http_status_of(code: int) -> int:
    """Return the status of HTTP for one of gRPC; 500 for a number that is none."""
    try:
        return _TO_HTTP[GrpcStatus(code)]
    except ValueError:
        return 500


def status_of_http(status: int) -> GrpcStatus:
    """Return the status of gRPC for one of HTTP, with which a gateway or proxy refused a call."""
    if status in _OF_HTTP:
        return _OF_HTTP[status]
    return GrpcStatus.OK if status // 100 == 2 else GrpcStatus.UNKNOWN


def phrase_of(status: int) -> str:
    """Return the reason phrase of a status of HTTP."""
    return "Client Closed Request" if status == CLIENT_CLOSED_REQUEST else HTTPStatus(status).phrase
