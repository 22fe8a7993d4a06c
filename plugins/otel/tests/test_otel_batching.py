"""Spans on their way."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from gateway.metrics import Metrics
from gateway_otel import batching
from gateway_otel.batching import Batches
from gateway_otel.config import TracingConfig
from gateway_otel.otlp import ExportError
from gateway_otel.reporting import Reporter
from gateway_otel.spans import SERVER, Span

if TYPE_CHECKING:
    from gateway.testing import ManualClock

pytestmark = pytest.mark.anyio


class Sender:
    """Takes what it is sent, unless it has errors left."""

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.errors: list[ExportError] = []
        self.is_stuck = False

    async def send(self, message: bytes) -> None:
        if self.is_stuck:
            await asyncio.Event().wait()
        if self.errors:
            raise self.errors.pop(0)
        request = ExportTraceServiceRequest.FromString(message)
        self.taken.append(len(request.resource_spans[0].scope_spans[0].spans))


def span(name: str = "GET") -> Span:
    return Span(
        name=name,
        kind=SERVER,
        trace_id=b"a" * 32,
        span_id=b"b" * 16,
        parent_id=b"",
        start_ns=1,
        end_ns=2,
        attributes=[("odd", "\udc80"), ("flag", True), ("number", 2**40)],
    )


@pytest.fixture
def sender() -> Sender:
    return Sender()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def reporter(clock: ManualClock) -> Reporter:
    return Reporter("spans", logging.getLogger("gateway.plugins.gateway-otel"), clock)


def batches(sender: Any, metrics: Metrics, reporter: Reporter, **config: Any) -> Batches:
    return Batches(TracingConfig(**config), {"service.name": "gateway"}, sender, metrics, reporter)


def results(metrics: Metrics) -> dict[str, Any]:
    (family,) = metrics.snapshot()
    return {labels[0]: value for labels, value in family.series.items()}


async def test_a_full_batch_is_sent_at_once(sender: Sender, metrics: Metrics, reporter: Reporter) -> None:
    made = batches(sender, metrics, reporter, max_batch_size=2, batch_timeout=60)
    running = asyncio.ensure_future(made.run())
    for _ in range(5):
        made.add(span())
    async with asyncio.timeout(5):
        while sum(sender.taken) < 5:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert sender.taken == [2, 2, 1]
    assert results(metrics) == {"exported": 5, "failed": 0, "dropped": 0}


async def test_what_is_too_much_is_dropped_and_counted(sender: Sender, metrics: Metrics, reporter: Reporter) -> None:
    made = batches(sender, metrics, reporter, max_batch_size=10, max_queue_size=20)
    for _ in range(100):
        made.add(span())
    assert len(made) == 20
    await made.flush()
    assert results(metrics) == {"exported": 20, "failed": 0, "dropped": 80}


async def test_it_is_tried_again_only_so_often(
    sender: Sender, metrics: Metrics, reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "FIRST_DELAY_S", 0.0)
    sender.errors = [ExportError("busy", is_retryable=True)] * batching.MAX_TRIES
    made = batches(sender, metrics, reporter, batch_timeout=0.01)
    made.add(span())
    running = asyncio.ensure_future(made.run())
    async with asyncio.timeout(5):
        while results(metrics)["failed"] == 0:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)
    made.add(span())
    async with asyncio.timeout(5):
        while not sender.taken:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert results(metrics) == {"exported": 1, "failed": 1, "dropped": 0}


async def test_what_was_interrupted_is_sent_at_the_end(sender: Sender, metrics: Metrics, reporter: Reporter) -> None:
    sender.is_stuck = True
    made = batches(sender, metrics, reporter, batch_timeout=0.01)
    made.add(span())
    running = asyncio.ensure_future(made.run())
    await asyncio.sleep(0.1)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    sender.is_stuck = False
    await made.flush()
    assert results(metrics) == {"exported": 1, "failed": 0, "dropped": 0}


async def test_the_end_has_a_deadline(
    sender: Sender, metrics: Metrics, reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "FLUSH_TIMEOUT_S", 0.05)
    sender.is_stuck = True
    made = batches(sender, metrics, reporter)
    made.add(span())
    async with asyncio.timeout(2):
        await made.flush()
    assert results(metrics)["failed"] == 1
    assert len(made) == 0


def test_failures_are_logged_when_they_begin_and_every_five_minutes(
    reporter: Reporter, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(100):
        reporter.failed(ExportError("no", is_retryable=True))
        clock.advance(1)
    assert len(caplog.records) == 1
    clock.advance(300)
    reporter.failed(ExportError("no", is_retryable=True))
    assert len(caplog.records) == 2
    reporter.succeeded()
    reporter.succeeded()
    assert [record.getMessage() for record in caplog.records][2:] == ["spans are exported again"]
    assert reporter.last_error == ""
