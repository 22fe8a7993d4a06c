"""A route whose requests are tried again."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING

from gateway import Body, GatewayError, Waiter
from gateway_retry.backoff import backoff_s, retry_after_s
from gateway_retry.failure import is_idempotent, is_stream, may_repeat, reason_to_retry
from gateway_retry.recording import Recording
from gateway_retry.try_clock import TryClock

if TYPE_CHECKING:
    from gateway import Exchange, Handler, Request, Response
    from gateway.interfaces import Directory
    from gateway_retry.budget import RetryBudget
    from gateway_retry.config import RetrySettings
    from gateway_retry.measures import Measures

__all__ = ["RetryingRoute"]


class RetryingRoute:
    """Runs the next handler until it answers well, or until there is something against another try.

    A request that is answered well at once costs a count and a look at the status; whether it could be sent again is
    asked only when it would have to be.

    Args:
        call_next: The next handler.
        service: The route's service.
        settings: What is tried again.
        budget: The service's.
        measures: The service's.
        directory: Where the instances are.
    """

    def __init__(
        self,
        call_next: Handler,
        service: str,
        settings: RetrySettings,
        budget: RetryBudget,
        measures: Measures,
        directory: Directory,
    ) -> None:
        self._next = call_next
        self._service = service
        self._settings = settings
        self._statuses = settings.statuses
        self._budget = budget
        self._measures = measures
        self._directory = directory
        timeouts = [each for each in (settings.per_try_timeout, settings.timeout) if each is not None]
        self._try_clock = TryClock(min(timeouts)) if timeouts else None
        self._whole_clock = TryClock(settings.timeout) if settings.timeout is not None else None

    async def handle(self, exchange: Exchange) -> Response:
        """Answer an exchange."""
        self._budget.request()
        if self._try_clock is not None or type(exchange.request.body) is not bytes:
            return await self._handle_with_care(exchange)
        outcome: Response | GatewayError
        try:
            outcome = await self._next(exchange)
        except GatewayError as error:
            outcome = error
        else:
            if outcome.status not in self._statuses:
                return outcome
        try:
            return await self._go_on(exchange, outcome, None, math.inf)
        finally:
            del outcome  # its traceback holds this frame: a cycle would wait for the garbage collector

    async def _handle_with_care(self, exchange: Exchange) -> Response:
        """Answer an exchange that has a deadline, or a body that still arrives."""
        timeout_s = self._settings.timeout
        deadline_s = math.inf if timeout_s is None else asyncio.get_running_loop().time() + timeout_s
        recording = self._record(exchange.request)
        try:
            outcome = await _outcome(self._next, exchange, self._clock_for(exchange.request))
            if not isinstance(outcome, GatewayError) and outcome.status not in self._statuses:
                return outcome
            try:
                return await self._go_on(exchange, outcome, recording, deadline_s)
            finally:
                del outcome  # as above
        finally:
            if recording is not None:
                recording.release()

    def _record(self, request: Request) -> Recording | None:
        """Keep what the client sends, if that is little and may be needed again."""
        body, limit = request.body, self._settings.max_body_size
        if not isinstance(body, Body) or (body.length or 0) > limit or self._settings.max_attempts <= 1:
            return None
        if is_stream(request) or not is_idempotent(request, self._settings):
            return None
        recording = Recording(body, limit)
        request.body = recording.copy()
        return recording

    def _clock_for(self, request: Request) -> TryClock | None:
        """Return what bounds the first try: it is not cut for the sake of another that there cannot be."""
        if self._try_clock is None or is_stream(request):
            return None
        return self._try_clock if is_idempotent(request, self._settings) else self._whole_clock

    async def _go_on(
        self, exchange: Exchange, outcome: Response | GatewayError, recording: Recording | None, deadline_s: float
    ) -> Response:
        """Try again, as long as that is worth it and allowed.

        Returns:
            What a try answered well, else the last answer of the service.

        Raises:
            GatewayError: If there is no such answer.
        """
        kept: Response | None = None
        tries = 1
        while (reason := reason_to_retry(outcome, self._settings)) is not None:
            pause_s = self._pause_s(exchange, outcome, tries, recording, deadline_s)
            if pause_s is None:
                break
            if not isinstance(outcome, GatewayError):
                kept = _kept(outcome)
            tries += 1
            self._measures.attempt(reason)
            await _pause(pause_s)
            self._prepare(exchange, recording)
            outcome = await self._try(exchange, deadline_s)
        try:
            if not isinstance(outcome, GatewayError):
                if tries > 1 and reason is None:
                    self._measures.recovered.add()
                return outcome
            if kept is not None:
                return kept
            raise outcome
        finally:
            del outcome  # as above

    def _pause_s(
        self,
        exchange: Exchange,
        outcome: Response | GatewayError,
        tries: int,
        recording: Recording | None,
        deadline_s: float,
    ) -> float | None:
        """Return how long to wait before the next try, or ``None`` if there is to be none."""
        if not may_repeat(exchange.request, outcome, self._settings):
            return None
        pause_s, against = backoff_s(tries, self._settings), ""
        if isinstance(outcome, GatewayError) or not self._settings.respect_retry_after:
            wanted_s = None
        else:
            wanted_s = retry_after_s(outcome.headers.get("retry-after"), time.time())
        if tries >= self._settings.max_attempts:
            against = "attempts"
        elif not _is_replayable(exchange.request, recording):
            against = "body"
        elif wanted_s is not None and wanted_s > self._settings.max_retry_after:
            against = "retry_after"
        elif asyncio.get_running_loop().time() + (pause_s := max(pause_s, wanted_s or 0.0)) >= deadline_s:
            against = "timeout"
        elif not self._budget.take(self._settings.budget):
            against = "budget"
        if against:
            self._measures.given_up(against)
            return None
        return pause_s

    def _prepare(self, exchange: Exchange, recording: Recording | None) -> None:
        """Make the exchange ready for another try, at another instance if there is one."""
        request = exchange.request
        if recording is not None and isinstance(request.body, Body) and request.body.is_consumed:
            request.body = recording.copy()
        failed = exchange.instance
        if failed is None:
            return
        excluded = exchange.excluded if failed in exchange.excluded else (*exchange.excluded, failed)
        healthy = [instance for instance in self._directory.instances(self._service) if instance.is_healthy]
        available = [instance for instance in healthy if instance.weight > 0] or healthy
        # When all were tried, only the last one is avoided: it failed a moment ago.
        exchange.excluded = excluded if any(instance not in excluded for instance in available) else (failed,)

    async def _try(self, exchange: Exchange, deadline_s: float) -> Response | GatewayError:
        clock, per_try_s = self._try_clock, self._settings.per_try_timeout
        left_s = deadline_s - asyncio.get_running_loop().time()
        if clock is None or (per_try_s is not None and per_try_s <= left_s):
            return await _outcome(self._next, exchange, clock)
        clock = TryClock(max(left_s, 0.0))
        try:
            return await _outcome(self._next, exchange, clock)
        finally:
            clock.close()


async def _outcome(call_next: Handler, exchange: Exchange, clock: TryClock | None) -> Response | GatewayError:
    try:
        return await (call_next(exchange) if clock is None else clock.run(call_next, exchange))
    except GatewayError as error:
        return error


def _is_replayable(request: Request, recording: Recording | None) -> bool:
    if not isinstance(request.body, Body) or not request.body.is_consumed:
        return True  # it is whole, or nobody has read of it
    return recording is not None and recording.can_replay


def _kept(response: Response) -> Response | None:
    """Return a response for the case that nothing better comes; one that streams would hold its connection."""
    if isinstance(response.body, bytes):
        return response
    response.discard()
    return None


async def _pause(delay_s: float) -> None:
    waiter: Waiter[None] = Waiter()
    timer = asyncio.get_running_loop().call_later(delay_s, waiter.set_result, None)
    try:
        await waiter
    finally:
        timer.cancel()
