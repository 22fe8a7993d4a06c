"""Attributes of HTTP spans: OpenTelemetry semantic conventions 1.36, HTTP, which are stable.

The query of a request is not among them: it may hold credentials, and nobody knows which part.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway import GatewayError
from gateway_otel.rpc import rpc_attributes

if TYPE_CHECKING:
    from gateway import Exchange
    from gateway.interfaces import AttemptRecord
    from gateway_otel.spans import Attribute

__all__ = [
    "METHODS",
    "OTHER_METHOD",
    "attempt_attributes",
    "attempt_error",
    "error_type",
    "exchange_attributes",
    "exchange_error",
    "method_of",
    "route_of",
]

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"))
OTHER_METHOD = "_OTHER"
MAX_VALUE_LENGTH = 1024
"""Characters of what a client wrote; the rest is cut off."""
SERVER_ERROR = 500
CLIENT_ERROR = 400


def method_of(method: str) -> str:
    """Return the method, if it is known."""
    return method if method in METHODS else OTHER_METHOD


def route_of(exchange: Exchange) -> str:
    """Return the pattern of the route; empty if none matched."""
    path = exchange.route.path
    return path if path.startswith("/") else ""


def error_type(status: int | None, error: BaseException | None) -> str:
    """Return ``error.type``: the gateway's own name of an error, ``cancelled``, or the status."""
    if isinstance(error, GatewayError):
        return error.type.code
    if isinstance(error, asyncio.CancelledError):
        return "cancelled"
    return str(status) if status is not None else "internal"


def exchange_error(exchange: Exchange) -> str:
    """Return ``error.type`` of a request, as far as the gateway or its services are to blame; empty if it went well.

    A client that went away before it was answered is ``cancelled``.
    """
    response = exchange.response
    if response is None:
        return "cancelled"
    return error_type(response.status, exchange.error) if response.status >= SERVER_ERROR else ""


def attempt_error(attempt: AttemptRecord) -> str:
    """Return ``error.type`` of an attempt; empty if it went well."""
    if attempt.error is None and attempt.status is not None and attempt.status < CLIENT_ERROR:
        return ""
    return error_type(attempt.status, attempt.error)


def exchange_attributes(exchange: Exchange) -> list[Attribute]:
    """Return the attributes of a server span."""
    request, route = exchange.request, exchange.route
    method = method_of(request.method)
    host, _, port = request.host.rpartition(":")
    if not host or not port.isdecimal():
        host, port = request.host, ""
    found: list[Attribute] = [
        ("http.request.method", method),
        ("url.scheme", request.scheme),
        ("url.path", request.path[:MAX_VALUE_LENGTH]),
        ("client.address", request.client),
        ("network.protocol.version", request.http_version),
        ("gateway.route", route.id),
        ("gateway.request.id", request.id),
    ]
    if method is not request.method:
        found.append(("http.request.method_original", request.method[:MAX_VALUE_LENGTH]))
    if host:
        found.append(("server.address", host[:MAX_VALUE_LENGTH]))
    if port:
        found.append(("server.port", int(port)))
    if pattern := route_of(exchange):
        found.append(("http.route", pattern))
    if route.service:
        found.append(("gateway.service", route.service))
    if agent := request.headers.get("user-agent"):
        found.append(("user_agent.original", agent[:MAX_VALUE_LENGTH]))
    response = exchange.response
    if response is not None:
        found.append(("http.response.status_code", response.status))
    return found + rpc_attributes(exchange)


def attempt_attributes(exchange: Exchange, attempt: AttemptRecord) -> list[Attribute]:
    """Return the attributes of a client span."""
    request, instance = exchange.request, attempt.instance
    endpoint = instance.endpoint
    path = exchange.upstream_path[:MAX_VALUE_LENGTH]
    found: list[Attribute] = [
        ("http.request.method", method_of(request.method)),
        ("server.address", endpoint.address),
        ("server.port", endpoint.port),
        ("url.full", f"{endpoint.scheme}://{instance.authority}{path}"),
        ("gateway.service", instance.service),
        ("gateway.instance", instance.id),
    ]
    if exchange.attempts > 1:
        found.append(("http.request.resend_count", exchange.attempts - 1))
    if attempt.status is not None:
        found.append(("http.response.status_code", attempt.status))
    return found
