"""The control plane's side: sends metrics of the whole gateway, and shows how exporting is going."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Self

from gateway import Response
from gateway_otel.encoding import encode_metrics
from gateway_otel.observer import STATE_KEY
from gateway_otel.otlp import METRICS, ExportError, make_sender
from gateway_otel.reporting import Reporter
from gateway_otel.resource import resource_attributes

if TYPE_CHECKING:
    from types import TracebackType

    from gateway import AdminRequest, BuildContext
    from gateway_otel.config import TelemetryConfig
    from gateway_otel.otlp import Sender

__all__ = ["TelemetryEndpoint"]

FLUSH_TIMEOUT_S = 3.0


class TelemetryEndpoint:
    """Answers ``/_gateway/telemetry``, and exports metrics every ``metrics.interval``.

    Args:
        config: The block.
        context: The gateway.
    """

    def __init__(self, config: TelemetryConfig, context: BuildContext) -> None:
        self._context = context
        self._config = config
        self._resource = resource_attributes(config)
        self._start_ns = context.keep("start", time.time_ns)
        self._reporter = Reporter("metrics", context.logger)
        self._sender: Sender | None = None
        if config.metrics.enabled:
            ca_file = config.metrics.ca_file
            self._sender = make_sender(
                config.metrics, METRICS, context.resolve(ca_file) if ca_file is not None else None
            )
            context.background.start("exporting metrics", self._run)

    async def __call__(self, request: AdminRequest) -> Response:
        """Show how exporting is going."""
        traces = await self._context.collect(STATE_KEY) if self._config.tracing.enabled else ()
        return Response.json(
            {
                "tracing": {"enabled": self._config.tracing.enabled, "processes": list(traces)},
                "metrics": {"enabled": self._sender is not None, "lastError": self._reporter.last_error or None},
            }
        )

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._config.metrics.interval)
            await self._export()

    async def _export(self) -> None:
        """Send everything as it is now; what fails is not sent again, for the next export has it too."""
        assert self._sender is not None  # noqa: S101 - who calls it has checked
        snapshots = await self._context.gather_metrics()
        message = await asyncio.to_thread(encode_metrics, self._resource, snapshots, self._start_ns, time.time_ns())
        try:
            await self._sender.send(message)
        except ExportError as error:
            self._reporter.failed(error)
        else:
            self._reporter.succeeded()

    async def __aenter__(self) -> Self:
        if self._sender is not None:
            await self._sender.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._sender is not None:
            try:
                async with asyncio.timeout(FLUSH_TIMEOUT_S):
                    await self._export()
            except TimeoutError as late:
                self._reporter.failed(late)
            await self._sender.__aexit__(kind, error, traceback)
