"""The policy ``requestlimits``: what a route takes less of than the listener does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import ErrorType, GatewayError

if TYPE_CHECKING:
    from gateway import Exchange, Handler, Request, Response, Route
    from gateway_http.config import RequestLimitsConfig

__all__ = ["RequestLimits"]

FIELD_OVERHEAD_BYTES = 4
"""What stands around a field besides its name and value: a colon, a space and the end of the line."""


class RequestLimits:
    """Refuses what is too large for a route: by its length before anything is read, otherwise while it streams.

    Args:
        config: The effective block.
    """

    waits = False

    def __init__(self, config: RequestLimitsConfig) -> None:
        self._config = config

    def wrap(self, next: Handler, route: Route) -> Handler:  # noqa: A002 - the field's word for it
        """Return the handler that stands before ``next``; ``next`` itself if nothing is limited."""
        config = self._config
        max_body_bytes = config.max_request_size or None
        checks_head = config.max_header_bytes is not None or config.max_uri_bytes is not None
        if max_body_bytes is None and not checks_head:
            return next

        async def handler(exchange: Exchange) -> Response:
            request = exchange.request
            if checks_head:
                self._check_head(request)
            if max_body_bytes is not None:
                body = request.body
                if not isinstance(body, bytes):
                    body.limit(max_body_bytes)
                elif len(body) > max_body_bytes:
                    raise _refusal(ErrorType.PAYLOAD_TOO_LARGE, f"the body is larger than {max_body_bytes} bytes")
            return await next(exchange)

        return handler

    def _check_head(self, request: Request) -> None:
        max_uri_bytes, max_header_bytes = self._config.max_uri_bytes, self._config.max_header_bytes
        if max_uri_bytes is not None:
            size = len(request.path) + (len(request.query) + 1 if request.query else 0)
            if size > max_uri_bytes:
                raise _refusal(ErrorType.URI_TOO_LONG, f"the request target is longer than {max_uri_bytes} bytes")
        if max_header_bytes is not None:
            pairs = request.headers.pairs
            size = sum([len(name) + len(value) for name, value in pairs]) + FIELD_OVERHEAD_BYTES * len(pairs)
            if size > max_header_bytes:
                raise _refusal(ErrorType.HEADERS_TOO_LARGE, f"the header is larger than {max_header_bytes} bytes")


def _refusal(error_type: ErrorType, message: str) -> GatewayError:
    return GatewayError(error_type, message, plugin="requestlimits")


if TYPE_CHECKING:
    from gateway.interfaces import Policy

    _: type[Policy] = RequestLimits
