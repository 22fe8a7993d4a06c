"""A route ready to run, and what becomes of the errors that leave it."""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING

from gateway.errors import ErrorType, GatewayError, problem_body
from gateway.headers import Headers
from gateway.messages import Response
from gateway.pipeline.observing import MAX_UNTOLD

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from gateway.exchange import Exchange, Handler
    from gateway.interfaces import Route
    from gateway.pipeline.observing import Observers

__all__ = ["CompiledRoute", "Containment"]

logger = logging.getLogger("gateway.pipeline")

SERVER_ERROR = 500


class Containment:
    """Turns whatever escapes a handler into a response, and logs what the client must not see.

    Args:
        blame: Names the plugin whose code a traceback ends in; ``None`` if it is nobody's.
        upstream_timeout_status: The status for ``upstream_timeout``: 504, or 408 as the mission's table has it.
    """

    def __init__(self, blame: Callable[[TracebackType | None], str | None], upstream_timeout_status: int = 504) -> None:
        self._blame = blame
        self._statuses = {ErrorType.UPSTREAM_TIMEOUT: upstream_timeout_status}

    def response(self, exchange: Exchange, error: BaseException) -> Response:
        """Return the response for ``error`` and log it once."""
        exchange.error = error
        try:
            return self._response(exchange, error)
        except Exception:
            # Such as an error that a plugin made of parts which it cannot have.
            logger.exception("%r could not be answered as it should", error, extra={"request_id": exchange.request.id})
            return self.render(exchange, GatewayError(ErrorType.INTERNAL, "internal error"))

    def _response(self, exchange: Exchange, error: BaseException) -> Response:
        if isinstance(error, GatewayError):
            refusal = error
            self._log_refusal(exchange, error)
            _let_go(error)
        else:
            refusal = GatewayError(ErrorType.INTERNAL, "internal error")
            self._log_bug(exchange, error)
        return self.render(exchange, refusal)

    def render(self, exchange: Exchange, error: GatewayError) -> Response:
        """Return the public form of ``error``."""
        request = exchange.request
        status = self._statuses.get(error.type, error.type.status)
        content_type, body = problem_body(
            error,
            status=status,
            request_id=request.id,
            accepts_json=accepts_json(request.headers.get("accept")),
        )
        return Response(status, headers=Headers([(b"content-type", content_type), *error.headers]), body=body)

    def _log_refusal(self, exchange: Exchange, error: GatewayError) -> None:
        level = logging.WARNING if error.type.status >= SERVER_ERROR else logging.DEBUG
        if logger.isEnabledFor(level):
            request = exchange.request
            logger.log(
                level,
                "%s %s: %s: %s",
                request.method,
                request.path,
                error.type.code,
                error.detail,
                extra={"request_id": request.id, "route": exchange.route.id, "service": exchange.route.service},
            )

    def _log_bug(self, exchange: Exchange, error: BaseException) -> None:
        plugin = self._blame(error.__traceback__)
        frames = "".join(traceback.format_exception(type(error), error, _own_frames(error.__traceback__)))
        logger.error(
            "%s failed on route %s: %s: %s\n%s",
            f"plugin {plugin!r}" if plugin else "the gateway",
            exchange.route.id,
            type(error).__name__,
            error,
            frames.rstrip(),
            extra={"request_id": exchange.request.id, "route": exchange.route.id, "plugin": plugin},
        )


class CompiledRoute:
    """A route ready to run.

    Args:
        route: The route as policies see it.
        handler: Everything from the outermost policy to the dispatch.
        needs_task: Whether a component of it may wait for something else than the next handler.
        observers: Told when an exchange is finished.
        containment: Makes responses of errors.
        on_finish: Called after every exchange.
    """

    __slots__ = ("_containment", "_on_finish", "_tell", "_untold", "handler", "needs_task", "route")

    def __init__(
        self,
        *,
        route: Route,
        handler: Handler,
        needs_task: bool,
        observers: Observers,
        containment: Containment,
        on_finish: Callable[[], None],
    ) -> None:
        self.route = route
        self.handler = handler
        self.needs_task = needs_task
        self._tell = observers.exchange_finished
        self._untold = observers.untold if observers else None
        self._containment = containment
        self._on_finish = on_finish

    def fail(self, exchange: Exchange, error: BaseException) -> Response:
        """Return the response for an error that left the handler."""
        return self._containment.response(exchange, error)

    def finished(self, exchange: Exchange) -> None:
        """Count the exchange as finished, and have the observers told."""
        # First: when the last exchange is finished, a retired generation may give its observers up.
        untold, on_finish = self._untold, self._on_finish
        if untold is not None and not exchange.is_unobserved:
            # That spares all but the first of a turn a call.
            if 0 < len(untold) < MAX_UNTOLD:
                untold.append(exchange)
            else:
                self._tell(exchange)
        on_finish()

    def __repr__(self) -> str:
        return f"<CompiledRoute {self.route.id}>"


def accepts_json(accept: str | None) -> bool:
    """Tell whether a client takes JSON by its ``Accept`` field (RFC 9110 section 12.5.1); without one it does."""
    if not accept:
        return True
    accept = accept.lower()
    return "json" in accept or "*/*" in accept or "application/*" in accept


def _let_go(error: BaseException) -> None:
    """Drop the frames of a refusal, which nobody reads and which hold the exchange, as the exchange holds the error.

    A service that is down would fill the memory with requests until the garbage collector looks.
    """
    link: BaseException | None = error
    while link is not None and link.__traceback__ is not None:
        link.__traceback__ = None
        link = link.__cause__ or link.__context__


def _own_frames(tb: TracebackType | None) -> TracebackType | None:
    """Skip the core's frames at the beginning, so that a plugin's author sees theirs."""
    while (
        tb is not None and tb.tb_next is not None and tb.tb_frame.f_globals.get("__name__", "").startswith("gateway.")
    ):
        tb = tb.tb_next
    return tb
