"""Telemetry as protocol buffers of OTLP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1 import trace_pb2

from gateway.metrics import HistogramValue
from gateway_otel.instruments import SEMANTIC

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gateway.metrics import FamilySnapshot
    from gateway_otel.spans import Span

__all__ = ["encode_metrics", "encode_spans"]

SCOPE = InstrumentationScope(name="gateway")
_HAS_IS_REMOTE, _IS_REMOTE = 0x100, 0x200
"""``SpanFlags`` of trace.proto."""
_SAMPLED = 0x01
_UNITS = (("_seconds", "s"), ("_bytes", "By"))


def encode_spans(resource: Mapping[str, str | int], spans: Iterable[Span]) -> bytes:
    """Return an export request."""
    request = ExportTraceServiceRequest(
        resource_spans=[
            trace_pb2.ResourceSpans(
                resource=_resource(resource),
                scope_spans=[trace_pb2.ScopeSpans(scope=SCOPE, spans=map(_span, spans))],
            )
        ]
    )
    return request.SerializeToString()


def encode_metrics(
    resource: Mapping[str, str | int], snapshots: Iterable[FamilySnapshot], start_ns: int, now_ns: int
) -> bytes:
    """Return an export request with everything that was counted since the beginning.

    Args:
        resource: Who says so.
        snapshots: What is measured.
        start_ns: When counting began, in nanoseconds since 1970.
        now_ns: When it was measured.
    """
    metrics = [_metric(snapshot, start_ns, now_ns) for snapshot in snapshots if snapshot.series]
    request = ExportMetricsServiceRequest(
        resource_metrics=[
            metrics_pb2.ResourceMetrics(
                resource=_resource(resource),
                scope_metrics=[metrics_pb2.ScopeMetrics(scope=SCOPE, metrics=metrics)],
            )
        ]
    )
    return request.SerializeToString()


def _resource(attributes: Mapping[str, str | int]) -> Resource:
    return Resource(attributes=_attributes(attributes.items()))


def _span(span: Span) -> trace_pb2.Span:
    flags = _SAMPLED | _HAS_IS_REMOTE | (_IS_REMOTE if span.is_parent_remote else 0)
    return trace_pb2.Span(
        trace_id=bytes.fromhex(span.trace_id.decode()),
        span_id=bytes.fromhex(span.span_id.decode()),
        parent_span_id=bytes.fromhex(span.parent_id.decode()),
        trace_state=span.trace_state,
        flags=flags,
        name=span.name,
        kind=span.kind,  # type: ignore[arg-type]  # the numbers are those of the enumeration
        start_time_unix_nano=span.start_ns,
        end_time_unix_nano=max(span.start_ns, span.end_ns),
        attributes=_attributes(span.attributes),
        status=trace_pb2.Status(code=span.status),  # type: ignore[arg-type]  # as above
    )


def _attributes(attributes: Iterable[tuple[str, str | int | bool]]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_value(value)) for key, value in attributes]


def _value(value: str | int | bool) -> AnyValue:  # noqa: FBT001 - what an attribute may be
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    # What cannot be encoded, such as half of a surrogate pair, must not cost the whole batch.
    return AnyValue(string_value=value.encode("utf-8", "replace").decode())


def _metric(snapshot: FamilySnapshot, start_ns: int, now_ns: int) -> metrics_pb2.Metric:
    name, unit, renamed = SEMANTIC.get(snapshot.name, (snapshot.name, _unit(snapshot.name), {}))
    metric = metrics_pb2.Metric(name=name, description=snapshot.help, unit=unit)
    keys = [renamed.get(label, label) for label in snapshot.label_names]
    cumulative = metrics_pb2.AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
    if snapshot.kind == "histogram":
        metric.histogram.aggregation_temporality = cumulative
        metric.histogram.data_points.extend(_histogram_points(snapshot, keys, start_ns, now_ns))
    elif snapshot.kind == "counter":
        metric.sum.aggregation_temporality = cumulative
        metric.sum.is_monotonic = True
        metric.sum.data_points.extend(_number_points(snapshot, keys, start_ns, now_ns))
    else:
        metric.gauge.data_points.extend(_number_points(snapshot, keys, 0, now_ns))
    return metric


def _unit(name: str) -> str:
    """Return the unit in UCUM, by the end of a name."""
    stem = name.removesuffix("_total")
    return next((unit for suffix, unit in _UNITS if stem.endswith(suffix)), "1")


def _number_points(
    snapshot: FamilySnapshot, keys: Sequence[str], start_ns: int, now_ns: int
) -> Iterable[metrics_pb2.NumberDataPoint]:
    for labels, value in snapshot.series.items():
        if not isinstance(value, HistogramValue):
            yield metrics_pb2.NumberDataPoint(
                attributes=_attributes(_labels(keys, labels)),
                start_time_unix_nano=start_ns,
                time_unix_nano=now_ns,
                as_double=value,
            )


def _histogram_points(
    snapshot: FamilySnapshot, keys: Sequence[str], start_ns: int, now_ns: int
) -> Iterable[metrics_pb2.HistogramDataPoint]:
    for labels, value in snapshot.series.items():
        if isinstance(value, HistogramValue):
            yield metrics_pb2.HistogramDataPoint(
                attributes=_attributes(_labels(keys, labels)),
                start_time_unix_nano=start_ns,
                time_unix_nano=now_ns,
                count=sum(value.counts),
                sum=value.sum,
                bucket_counts=value.counts,
                explicit_bounds=snapshot.bounds,
            )


def _labels(keys: Sequence[str], values: Sequence[str]) -> Iterable[tuple[str, str | int]]:
    """Yield attributes; an empty label is none, and a status is a number, as the conventions have it."""
    for key, value in zip(keys, values, strict=True):
        if value:
            yield key, int(value) if key == "http.response.status_code" and value.isdecimal() else value
