"""What a try came to, and whether another one can mend it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import Body, ErrorType, GatewayError

if TYPE_CHECKING:
    from gateway import Request, Response
    from gateway_retry.config import RetrySettings

__all__ = ["is_idempotent", "is_stream", "may_repeat", "reason_to_retry"]

GRPC = "application/grpc"

_BY_TYPE = {
    ErrorType.BAD_GATEWAY: "bad_gateway",
    ErrorType.UPSTREAM_TIMEOUT: "upstream_timeout",
    ErrorType.UNAVAILABLE: "unavailable",
}


def reason_to_retry(outcome: Response | GatewayError, settings: RetrySettings) -> str | None:
    """Return what is wrong with a try so that another is worth it; ``None`` if it is not."""
    if not isinstance(outcome, GatewayError):
        return "status" if outcome.status in settings.statuses and outcome.tunnel is None else None
    if outcome.plugin not in (None, "retry"):
        return None  # a refusal: an open circuit does not close for being asked again
    failure = "connect" if outcome.is_unsent else _BY_TYPE.get(outcome.type)
    return failure if failure in settings.errors else None


def may_repeat(request: Request, outcome: Response | GatewayError, settings: RetrySettings) -> bool:
    """Tell whether a request may be sent again (RFC 9110 section 9.2.2).

    It may if its method is idempotent, if the service recognises a repetition by a key, or if nobody saw anything of
    it. Streams never.
    """
    if is_stream(request):
        return False
    if isinstance(outcome, GatewayError) and outcome.is_unsent:
        return True
    return is_idempotent(request, settings)


def is_idempotent(request: Request, settings: RetrySettings) -> bool:
    """Tell whether sending a request twice does what sending it once does."""
    return request.method in settings.methods or any(name in request.headers for name in settings.idempotency_keys)


def is_stream(request: Request) -> bool:
    """Tell whether a stream is asked for: another protocol, events, or what a client of gRPC has not sent whole.

    Their clients connect again by themselves.
    """
    if request.upgrade is not None or "text/event-stream" in (request.headers.get("accept") or ""):
        return True
    return isinstance(request.body, Body) and (request.headers.get("content-type") or "").startswith(GRPC)
