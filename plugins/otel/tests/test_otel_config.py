"""The block ``telemetry``."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gateway_otel.config import ExportConfig, TelemetryConfig, TracingConfig
from gateway_otel.otlp import TRACES, make_sender
from gateway_otel.over_http import OverHttp


@pytest.mark.parametrize(
    ("block", "url"),
    [
        ({}, "http://localhost:4318"),
        ({"protocol": "grpc"}, "http://localhost:4317"),
        ({"endpoint": "127.0.0.1:4318"}, "http://127.0.0.1:4318"),
        ({"endpoint": "[::1]:4318"}, "http://[::1]:4318"),
        ({"endpoint": "collector:4318"}, "https://collector:4318"),
        ({"endpoint": "collector:4318", "insecure": True}, "http://collector:4318"),
        ({"endpoint": "localhost:4318", "insecure": False}, "https://localhost:4318"),
        ({"endpoint": "https://collector.example/otlp/"}, "https://collector.example/otlp"),
    ],
)
def test_the_endpoint_is_a_url_or_an_address(block: dict[str, Any], url: str) -> None:
    assert ExportConfig.model_validate(block).url == url


def test_the_signals_path_may_be_written_out() -> None:
    config = ExportConfig(endpoint="http://collector/v1/traces")
    sender = make_sender(config, TRACES, None)
    assert isinstance(sender, OverHttp)
    assert sender._url == "http://collector/v1/traces"


def test_the_environment_fills_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b,other=1,")
    config = ExportConfig.model_validate({"headers": {"Other": "2"}})
    assert config.url == "http://collector:4318"
    assert config.all_headers == {"api-key": "a b", "other": "2"}


@pytest.mark.parametrize(
    "sampler", ["parentbased_traceidratio", "traceidratio", "probability", "always_on", "ALWAYS_OFF", "parent"]
)
def test_samplers_go_by_opentelemetrys_names_too(sampler: str) -> None:
    assert TracingConfig.model_validate({"sampler": sampler}).sampler in ("parent", "ratio", "always_on", "always_off")


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        ({"endpoint": ""}, "not an endpoint"),
        ({"endpoint": "collector:99999"}, "not an endpoint"),
        ({"endpoint": "http://user:secret@collector"}, "not an endpoint"),
        ({"endpoint": "http://collector?key=secret"}, "not an endpoint"),
        ({"headers": {"a b": "c"}}, "cannot be sent as a header"),
        ({"headers": {"a": "b\r\nc: d"}}, "cannot be sent as a header"),
        ({"timeout": 0}, "greater than 0"),
        ({"compression": "zstd"}, "'gzip' or 'none'"),
        ({"protocol": "http/json"}, "'http/protobuf' or 'grpc'"),
        ({"sampler": "sometimes"}, "'parent', 'ratio'"),
        ({"propagation": ["baggage"]}, "must have 'tracecontext'"),
        ({"propagation": ["b3"]}, "'tracecontext' or 'baggage'"),
    ],
)
def test_what_cannot_be_is_refused(block: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        TracingConfig.model_validate(block)


def test_secrets_stay_secret() -> None:
    config = TelemetryConfig.model_validate({"tracing": {"headers": {"api-key": "s3cret"}}})
    assert "s3cret" not in repr(config)
    with pytest.raises(ValidationError) as refused:
        TelemetryConfig.model_validate({"tracing": {"headers": {"api-key": "s3cret\n"}}})
    assert "s3cret" not in str(refused.value.errors(include_input=False))
