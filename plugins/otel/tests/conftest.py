"""A collector that speaks OTLP over HTTP and over gRPC, and keeps what it is sent."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from gateway.testing import Upstream
from gateway.testing.upstream import Received, Reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from opentelemetry.proto.common.v1.common_pb2 import KeyValue
    from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
    from opentelemetry.proto.trace.v1.trace_pb2 import Span


def plain(attributes: Any) -> dict[str, Any]:
    """Return attributes as a dictionary."""

    def value_of(pair: KeyValue) -> Any:
        return getattr(pair.value, pair.value.WhichOneof("value") or "string_value")

    return {pair.key: value_of(pair) for pair in attributes}


class Collector:
    """What a collector has been sent.

    Attributes:
        url: Where it is.
        headers: Those of the last export.
        exports: How many there were.
    """

    def __init__(self) -> None:
        self.url = ""
        self.headers: dict[str, str] = {}
        self.exports = 0
        self.statuses: list[int] = []
        self._traces: list[ExportTraceServiceRequest] = []
        self._metrics: list[ExportMetricsServiceRequest] = []

    def take(self, path: str, message: bytes, headers: Mapping[str, str]) -> None:
        self.exports += 1
        self.headers = dict(headers)
        if "trace" in path:
            self._traces.append(ExportTraceServiceRequest.FromString(message))
        else:
            self._metrics.append(ExportMetricsServiceRequest.FromString(message))

    @property
    def spans(self) -> list[Span]:
        return [
            span
            for request in self._traces
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def named(self, name: str) -> Span:
        (span,) = (span for span in self.spans if span.name == name)
        return span

    @property
    def resource(self) -> dict[str, Any]:
        traces = [each.resource for request in self._traces for each in request.resource_spans]
        metrics = [each.resource for request in self._metrics for each in request.resource_metrics]
        return plain((traces or metrics)[-1].attributes)

    @property
    def metrics(self) -> dict[str, Metric]:
        """Those of the last export."""
        return {
            metric.name: metric
            for resource in self._metrics[-1].resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    @property
    def has_metrics(self) -> bool:
        return bool(self._metrics)

    async def until(self, is_so: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not is_so():  # noqa: ASYNC110 - what it waits for has no event
                await asyncio.sleep(0.005)


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    """A collector over HTTP; ``statuses`` are what it answers first."""
    made = Collector()

    def answer(request: Received) -> Reply:
        if made.statuses:
            made.exports += 1
            return Reply(made.statuses.pop(0))
        body = request.body
        if request.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        assert request["content-type"] == "application/x-protobuf"
        made.take(request.target, body, dict(request.fields))
        return Reply(headers={"content-type": "application/x-protobuf"}, body=b"")

    async with Upstream() as server:
        server.answer = answer
        made.url = f"http://127.0.0.1:{server.port}"
        yield made


@pytest.fixture
async def grpc_collector() -> AsyncIterator[Collector]:
    """A collector over gRPC."""
    grpc: Any = pytest.importorskip("grpc", reason="grpcio is missing: pip install 'gateway-otel[grpc]'")
    made = Collector()

    class Handler(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpcio has no types
        def service(self, details: Any) -> Any:
            async def export(message: bytes, context: Any) -> bytes:
                made.take(details.method, message, dict(context.invocation_metadata()))
                return b""

            return grpc.unary_unary_rpc_method_handler(export)

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    made.url = f"http://127.0.0.1:{port}"
    with contextlib.suppress(asyncio.CancelledError):
        yield made
    await server.stop(0)
