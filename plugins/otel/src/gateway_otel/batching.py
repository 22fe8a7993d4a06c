"""Spans on their way to the collector: bounded in number, sent in batches, dropped rather than waited for."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from typing import TYPE_CHECKING

from gateway_otel.encoding import encode_spans
from gateway_otel.otlp import ExportError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.metrics import Metrics
    from gateway_otel.config import TracingConfig
    from gateway_otel.otlp import Sender
    from gateway_otel.reporting import Reporter
    from gateway_otel.spans import Span

__all__ = ["Batches"]

FIRST_DELAY_S, LONGEST_DELAY_S = 1.0, 30.0
"""Between tries while the collector fails; the longest is that of the specification's exporters."""
MAX_TRIES = 8
"""After about two minutes the news in a batch is old, and what waits behind it is dropped meanwhile."""
FLUSH_TIMEOUT_S = 3.0
"""How long the gateway's end may take for spans: less than the core allows."""


class Batches:
    """Takes spans, and sends them.

    Args:
        config: The block ``tracing``.
        resource: Who says so.
        sender: Sends.
        metrics: Where spans are counted.
        reporter: Tells of failures.
    """

    def __init__(
        self,
        config: TracingConfig,
        resource: Mapping[str, str | int],
        sender: Sender,
        metrics: Metrics,
        reporter: Reporter,
    ) -> None:
        self._config = config
        self._resource = resource
        self._sender = sender
        self._reporter = reporter
        self._queue: deque[Span] = deque()
        self._sending: list[Span] = []
        self._is_due = asyncio.Event()
        spans = metrics.counter(
            "gateway_telemetry_spans_total",
            "Spans, by what became of them: exported, failed (the collector did not take them) or dropped (too many "
            "waited).",
            ("result",),
        )
        self._exported, self._failed, self._dropped = map(spans.labels, ("exported", "failed", "dropped"))

    def add(self, span: Span) -> None:
        """Take a span; returns at once."""
        queue = self._queue
        if len(queue) >= self._config.max_queue_size:
            self._dropped.add()
            return
        queue.append(span)
        if len(queue) >= self._config.max_batch_size:
            self._is_due.set()

    def __len__(self) -> int:
        return len(self._queue) + len(self._sending)

    async def run(self) -> None:
        """Send batches when they are full, and what there is every ``batchTimeout`` seconds; until cancelled."""
        while True:
            try:
                async with asyncio.timeout(self._config.batch_timeout):
                    await self._is_due.wait()
            except TimeoutError:
                pass  # then it is time for what there is
            self._is_due.clear()
            await self._send_all()

    async def flush(self) -> None:
        """Send what is left, once, for a few seconds at most."""
        try:
            async with asyncio.timeout(FLUSH_TIMEOUT_S):
                await self._send_all(max_tries=1)
        except TimeoutError:
            self._reporter.failed(TimeoutError("the gateway ends before the collector answers"))
        self._failed.add(len(self))
        self._sending = []
        self._queue.clear()

    async def _send_all(self, max_tries: int = MAX_TRIES) -> None:
        while self._queue or self._sending:
            # One that was interrupted is sent first.
            while self._queue and len(self._sending) < self._config.max_batch_size:
                self._sending.append(self._queue.popleft())
            message = await asyncio.to_thread(encode_spans, self._resource, self._sending)
            (self._exported if await self._is_taken(message, max_tries) else self._failed).add(len(self._sending))
            self._sending = []

    async def _is_taken(self, message: bytes, max_tries: int) -> bool:
        delay_s = FIRST_DELAY_S
        for tries in range(1, max_tries + 1):
            try:
                await self._sender.send(message)
            except ExportError as error:
                self._reporter.failed(error)
                if not error.is_retryable or tries == max_tries:
                    return False
                # Full jitter, so that gateways do not come back together.
                await asyncio.sleep(max(error.retry_after_s, delay_s * random.uniform(0.5, 1.0)))  # noqa: S311 - no secret
                delay_s = min(2 * delay_s, LONGEST_DELAY_S)
            else:
                self._reporter.succeeded()
                return True
        return False
