"""Deadlines of calls, from their arrival to their end."""

from __future__ import annotations

import asyncio
import math
import time
import types
from typing import TYPE_CHECKING, Any

from gateway import ErrorType, GatewayError
from gateway_grpc.deadline import timeout_of, timeout_value

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

    from gateway import Exchange, Response

__all__ = ["CallTimer", "remaining_s", "too_late"]

DEADLINE = "grpc.deadline"
"""The key of ``Exchange.state`` under which stands when the client's patience ends, in monotonic seconds, once the
service is told another ``grpc-timeout`` than the client sent: a second attempt finds that one."""
MILLISECONDS = 1000


def remaining_s(exchange: Exchange) -> float | None:
    """Return how long the client still waits, and tell the service the same; ``None`` if it does not say.

    Raises:
        GatewayError: ``bad_request`` if what it says is no time, ``upstream_timeout`` if it waits no longer.
    """
    request = exchange.request
    timeout_s = timeout_of(request)
    if timeout_s is None:
        return None
    deadline_s: float | None = exchange.state.get(DEADLINE) if exchange.has_state else None
    if deadline_s is None:
        deadline_s = exchange.started_s + timeout_s
    left_s = deadline_s - time.monotonic()
    if left_s <= 0:
        raise too_late("the call's time was over before the service was asked")
    # As the client wrote it, unless it is a millisecond less by now: the same value again costs nothing on the wire.
    if math.ceil(left_s * MILLISECONDS) != math.ceil(timeout_s * MILLISECONDS):
        exchange.state[DEADLINE] = deadline_s
        request.headers.set("grpc-timeout", timeout_value(left_s).decode("ascii"))
    return left_s


def too_late(detail: str) -> GatewayError:
    """Return the error for a call that takes too long."""
    return GatewayError(ErrorType.UPSTREAM_TIMEOUT, "the deadline of the call is exceeded", detail=detail)


class CallTimer:
    """Ends a call that takes too long: before the response begins, or in the middle of it.

    Args:
        timeout_s: How long it may take.

    Attributes:
        expire: What ends it when its response has begun; ``None`` before.
        is_over: Whether its time is.
    """

    __slots__ = ("_due_s", "_handle", "_timeout_s", "_waits_for", "expire", "is_over")

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._due_s = time.monotonic() + timeout_s
        self._waits_for: Any = None
        self.expire: Callable[[], None] | None = None
        self.is_over = False
        self._handle = asyncio.get_running_loop().call_later(timeout_s, self._expired)

    @property
    def is_due(self) -> bool:
        """Whether its time is over, though nobody may have been told yet."""
        return time.monotonic() >= self._due_s

    async def opened(self, opening: Coroutine[Any, Any, Response]) -> Response:
        """Return the response that ``opening`` waits for.

        Raises:
            GatewayError: ``upstream_timeout`` if there is none in time.
        """
        try:
            response: Response = await self._watched(opening)
        except asyncio.CancelledError:
            self.stop()
            if self.is_over:
                raise self.error() from None
            raise
        except BaseException:
            self.stop()
            raise
        return response

    def error(self) -> GatewayError:
        """Return what the call ends with."""
        return too_late(f"the call took longer than the {self._timeout_s:g} s that the client waits")

    def stop(self) -> None:
        """The call is over."""
        self._handle.cancel()

    @types.coroutine
    def _watched(self, opening: Coroutine[Any, Any, Response]) -> Generator[Any, Any, Response]:
        """Run a coroutine, and remember what it waits for; a task only for being able to cancel it would cost more."""
        step: Callable[[Any], Any] = opening.send
        argument: Any = None
        try:
            while True:
                self._waits_for = step(argument)
                try:
                    argument, step = (yield self._waits_for), opening.send
                except BaseException as error:  # noqa: BLE001 - passed on as it is
                    argument, step = error, opening.throw
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]  # what the coroutine returned
        finally:
            self._waits_for = None

    def _expired(self) -> None:
        self.is_over = True
        if self.expire is not None:
            self.expire()
        elif self._waits_for is not None:
            # What waits lets go of its stream when it is cancelled, and the service is told so.
            self._waits_for.cancel()
