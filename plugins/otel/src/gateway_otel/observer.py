"""The observer: traces, and the durations that OpenTelemetry knows, as the configuration wants them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from gateway_otel.batching import Batches
from gateway_otel.correlation import TraceFilter
from gateway_otel.instruments import HttpMetrics
from gateway_otel.otlp import TRACES, make_sender
from gateway_otel.reporting import Reporter
from gateway_otel.resource import resource_attributes
from gateway_otel.tracing import Tracing

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from gateway import BuildContext, Exchange
    from gateway.interfaces import AttemptRecord, Observer
    from gateway_otel.config import TelemetryConfig, TracingConfig

__all__ = ["STATE_KEY", "Telemetry"]

STATE_KEY = "tracing"
"""What processes that serve expose: how exporting is going."""


class Telemetry:
    """Tells those of its parts that are on; a part that is off costs nothing.

    Args:
        config: The block.
        context: The gateway.
    """

    def __init__(self, config: TelemetryConfig, context: BuildContext) -> None:
        self._parts: list[Tracing | HttpMetrics] = []
        self._batches: Batches | None = None
        self._filter: TraceFilter | None = None
        if config.tracing.enabled:
            tracing = self._trace(config, config.tracing, context)
            self._parts.append(tracing)
            if not config.metrics.enabled:
                self.wants_attempts = tracing.wants_attempts
        if config.metrics.enabled:
            self._parts.append(HttpMetrics(context.metrics))
        if len(self._parts) == 1:
            # One part is called without a detour.
            self.exchange_finished = self._parts[0].exchange_finished  # type: ignore[method-assign]  # see above
            self.attempt_finished = self._parts[0].attempt_finished  # type: ignore[method-assign]  # see above

    def _trace(self, config: TelemetryConfig, tracing: TracingConfig, context: BuildContext) -> Tracing:
        ca_file = context.resolve(tracing.ca_file) if tracing.ca_file is not None else None
        self._sender = make_sender(tracing, TRACES, ca_file)
        reporter = Reporter("spans", context.logger)
        self._batches = batches = Batches(tracing, resource_attributes(config), self._sender, context.metrics, reporter)
        made = Tracing(tracing, batches.add)
        self._tracing = made
        # Metrics count what is not recorded, too.
        self.exchange_started: Callable[[Exchange], bool | None] = (
            self._start_observed if config.metrics.enabled else made.exchange_started
        )
        if tracing.spans_per_policy:
            self.around_policy = made.around_policy
        if config.correlate_logs:
            self._filter = TraceFilter(made.by_request_id)
        context.expose(STATE_KEY, lambda: {"waiting": len(batches), "lastError": reporter.last_error or None})
        context.background.start("exporting spans", batches.run)
        return made

    # gateway.interfaces.Observer

    def _start_observed(self, exchange: Exchange) -> None:
        """Begin a trace, and be told of the end in any case."""
        self._tracing.exchange_started(exchange)

    def exchange_finished(self, exchange: Exchange) -> None:
        """Tell all parts."""
        for part in self._parts:
            part.exchange_finished(exchange)

    def attempt_finished(self, exchange: Exchange, attempt: AttemptRecord) -> None:
        """Tell all parts."""
        for part in self._parts:
            part.attempt_finished(exchange, attempt)

    async def __aenter__(self) -> Self:
        if self._batches is not None:
            await self._sender.__aenter__()
        if self._filter is not None:
            self._filter.install()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._filter is not None:
            self._filter.remove()
        if self._batches is not None:
            await self._batches.flush()
            await self._sender.__aexit__(kind, error, traceback)


if TYPE_CHECKING:
    _: type[Observer] = Telemetry
