"""A whole gateway, a service behind it, and a collector that decodes what it is sent."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from typing import TYPE_CHECKING, Any

import grpc  # type: ignore[import-untyped]  # has no types of its own
import grpc.aio  # type: ignore[import-untyped]  # as above
import pytest

from gateway.embedding import Gateway
from gateway.errors import ConfigurationError
from gateway.testing import Client, Reply
from gateway.testing.running import configuration_for

if TYPE_CHECKING:
    from gateway.testing import GatewayFactory, Upstream

pytestmark = pytest.mark.anyio

Collector = Any
"""The one of conftest.py, which cannot be imported."""

TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SERVER, CLIENT, INTERNAL = 2, 3, 1
ERROR = 2


def telemetry(collector: Collector, **tracing: Any) -> dict[str, Any]:
    return {"telemetry": {"tracing": {"endpoint": collector.url, "batchTimeout": "20ms", **tracing}}}


def plain(span: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "string_value") for pair in span.attributes}


def traceparent(flags: str = "01") -> dict[str, str]:
    return {"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-{flags}"}


# Spans.


async def test_a_request_is_a_server_span_with_a_client_span_for_its_attempt(
    gateway_factory: GatewayFactory, upstream: Upstream, collector: Collector
) -> None:
    gateway = await gateway_factory(telemetry(collector), upstream=upstream, rule={"path": "/users/:id"})
    before_ns = time.time_ns()
    headers = {**traceparent(), "user-agent": "test/1", "x-request-id": "r-1", "host": "api.example:8080"}
    assert (await gateway.ask("GET", "/users/7?secret=1", headers=headers)).status == 200
    await collector.until(lambda: len(collector.spans) == 2)
    server, client = collector.named("GET /users/:id"), collector.named("GET")
    assert (server.kind, client.kind) == (SERVER, CLIENT)
    assert server.trace_id.hex() == client.trace_id.hex() == TRACE_ID
    assert server.parent_span_id.hex() == PARENT_ID
    assert client.parent_span_id == server.span_id
    assert (server.flags, client.flags) == (0x301, 0x101)
    assert before_ns < server.start_time_unix_nano <= client.start_time_unix_nano
    assert client.end_time_unix_nano <= server.end_time_unix_nano < time.time_ns()
    assert plain(server) == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.route": "/users/:id",
        "url.scheme": "http",
        "url.path": "/users/7",
        "client.address": "127.0.0.1",
        "server.address": "api.example",
        "server.port": 8080,
        "network.protocol.version": "1.1",
        "user_agent.original": "test/1",
        "gateway.route": "/users/:id",
        "gateway.service": "service",
        "gateway.request.id": "r-1",
    }
    assert plain(client) == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "server.address": "127.0.0.1",
        "server.port": upstream.port,
        "url.full": f"http://127.0.0.1:{upstream.port}/users/7",
        "gateway.service": "service",
        "gateway.instance": f"127.0.0.1:{upstream.port}",
    }
    assert (server.status.code, client.status.code) == (0, 0)
    # The service goes on below the client span.
    (request,) = upstream.requests
    assert request["traceparent"] == f"00-{TRACE_ID}-{client.span_id.hex()}-01"


async def test_a_call_of_grpc_says_what_it_is(
    gateway_factory: GatewayFactory, grpc_upstream: Any, collector: Collector
) -> None:
    registry = {"static": {"services": [{"name": "service", "instances": [grpc_upstream.instance]}]}}
    rules = [{"path": "/library.v1.Library/*", "serviceName": "service", "protocol": "grpc"}]
    blocks = {"frontend": {"http2": {}}, "registry": registry, "router": {"rules": rules}, **telemetry(collector)}
    gateway = await gateway_factory(blocks)
    async with grpc.aio.insecure_channel(gateway.url.partition("//")[2].rstrip("/")) as channel:
        assert await channel.unary_unary("/library.v1.Library/Echo")(b"x") == b"x"
    await collector.until(lambda: len(collector.spans) == 2)
    attributes = plain(collector.named("POST /library.v1.Library/*"))
    assert {name: value for name, value in attributes.items() if name.startswith("rpc.")} == {
        "rpc.system": "grpc",
        "rpc.service": "library.v1.Library",
        "rpc.method": "Echo",
        "rpc.grpc.status_code": 0,
    }


async def test_a_trace_begins_here_if_the_client_has_none(
    gateway_factory: GatewayFactory, upstream: Upstream, collector: Collector
) -> None:
    gateway = await gateway_factory(telemetry(collector), upstream=upstream)
    await gateway.ask("GET", "/")
    await collector.until(lambda: len(collector.spans) == 2)
    server, client = collector.named("GET /*"), collector.named("GET")
    assert not server.parent_span_id
    assert upstream.requests[0]["traceparent"] == f"00-{server.trace_id.hex()}-{client.span_id.hex()}-01"


async def test_what_goes_wrong_is_an_error(
    gateway_factory: GatewayFactory, upstream: Upstream, collector: Collector
) -> None:
    gateway = await gateway_factory(telemetry(collector), upstream=upstream, rule={"path": "/a/*"})
    upstream.answer = lambda request: Reply(int(request.target[-3:]))
    await gateway.ask("GET", "/a/404")
    await gateway.ask("PUT", "/a/503")
    await gateway.ask("GET", "/nowhere")
    await upstream.stop()
    await gateway.ask("POST", "/a/1")
    await collector.until(lambda: len(collector.spans) == 7)
    found = {
        (span.kind, plain(span)["http.request.method"], plain(span).get("http.response.status_code")): (
            span.name,
            span.status.code,
            plain(span).get("error.type"),
        )
        for span in collector.spans
    }
    assert found == {
        (CLIENT, "GET", 404): ("GET", ERROR, "404"),
        (SERVER, "GET", 404): found[SERVER, "GET", 404],  # two of them
        (CLIENT, "PUT", 503): ("PUT", ERROR, "503"),
        (SERVER, "PUT", 503): ("PUT /a/*", ERROR, "503"),
        (CLIENT, "POST", None): ("POST", ERROR, "bad_gateway"),
        (SERVER, "POST", 502): ("POST /a/*", ERROR, "bad_gateway"),
    }
    (unmatched,) = (span for span in collector.spans if plain(span).get("url.path") == "/nowhere")
    assert (unmatched.name, unmatched.status.code, plain(unmatched)["gateway.route"]) == ("GET", 0, "gateway.unmatched")


async def test_each_attempt_is_a_span_of_its_own(
    gateway_factory: GatewayFactory, upstream_factory: Any, collector: Collector
) -> None:
    one, two = await upstream_factory(), await upstream_factory()
    gateway = await gateway_factory(telemetry(collector), upstream=[one, two])
    await one.stop()
    for _ in range(2):  # one of them meets the one that is gone first
        assert (await gateway.ask("GET", "/")).status == 200

    def failures() -> list[Any]:
        return [span for span in collector.spans if span.kind == CLIENT and span.status.code == ERROR]

    def trace_of(one: Any) -> list[Any]:
        return [span for span in collector.spans if span.trace_id == one.trace_id]

    await collector.until(lambda: failures() and len(trace_of(failures()[0])) == 3)
    failed = failures()[0]
    (server,) = (span for span in trace_of(failed) if span.kind == SERVER)
    (again,) = (span for span in trace_of(failed) if span.kind == CLIENT and span is not failed)
    assert failed.parent_span_id == again.parent_span_id == server.span_id
    assert plain(again)["http.request.resend_count"] == 1
    (request,) = (each for each in two.requests if failed.trace_id.hex() in each["traceparent"])
    assert request["traceparent"].split("-")[2] == again.span_id.hex()
    await one.start()


async def test_a_client_that_goes_away_is_told_of(
    gateway_factory: GatewayFactory, upstream: Upstream, collector: Collector
) -> None:
    async def never(request: object) -> Reply:
        await asyncio.sleep(30)
        return Reply()

    upstream.answer = never
    gateway = await gateway_factory(telemetry(collector), upstream=upstream)
    async with gateway.client() as client:
        asked = asyncio.ensure_future(client.ask("GET", "/"))
        await gateway.eventually(lambda: upstream.requests)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
    await collector.until(lambda: len(collector.spans) == 2)
    for span in collector.spans:
        assert (span.status.code, plain(span)["error.type"]) == (ERROR, "cancelled")


async def test_policies_are_spans_if_asked(
    gateway_factory: GatewayFactory, upstream: Upstream, collector: Collector, tmp_path: Any
) -> None:
    plugin = tmp_path / "two.py"
    plugin.write_text(
        "import gateway\n"
        "@gateway.policy(stage=gateway.Stage.EDGE, waits=False)\n"
        "async def outer(exchange, call_next):\n"
        "    return await call_next(exchange)\n"
        "@gateway.policy\n"
        "async def inner(exchange, call_next):\n"
        "    if exchange.request.path == '/refused':\n"
        "        raise gateway.GatewayError(gateway.ErrorType.FORBIDDEN, 'no')\n"
        "    return await call_next(exchange)\n"
    )
    settings = {**telemetry(collector, spansPerPolicy=True), "plugins": {"outer": {}, "inner": {}}}
    gateway = await gateway_factory(settings, upstream=upstream, plugin_files=[plugin])
    await gateway.ask("GET", "/")
    await collector.until(lambda: any(span.kind == SERVER for span in collector.spans))
    server, outer, inner, client = map(collector.named, ("GET /*", "policy outer", "policy inner", "GET"))
    # The core's own policies are among them.
    parents = {span.span_id: span.parent_span_id for span in collector.spans}
    assert outer.parent_span_id == server.span_id
    assert server.span_id in (parents[inner.parent_span_id], parents[parents[inner.parent_span_id]])
    assert client.parent_span_id == inner.span_id
    assert (outer.kind, plain(outer)) == (
        INTERNAL,
        {"gateway.policy": "outer", "gateway.stage": "edge", "gateway.route": "/*"},
    )
    await gateway.ask("GET", "/refused")
    await collector.until(lambda: len([span for span in collector.spans if span.kind == SERVER]) == 2)
    inner = [span for span in collector.spans if span.name == "policy inner"][-1]
    assert (inner.status.code, plain(inner)["error.type"]) == (ERROR, "forbidden")


# The context.


async def test_trace_state_and_baggage_reach_the_service(
    gateway_factory: GatewayFactory, upstream: Upstream, collector: Collector
) -> None:
    gateway = await gateway_factory(telemetry(collector), upstream=upstream)
    headers = {**traceparent(), "tracestate": "a=1,b=2", "baggage": "user=7"}
    await gateway.ask("GET", "/", headers=headers)
    (request,) = upstream.requests
    assert (request["tracestate"], request["baggage"]) == ("a=1,b=2", "user=7")
    await collector.until(lambda: len(collector.spans) == 2)
    assert {span.trace_state for span in collector.spans} == {"a=1,b=2"}


async def test_baggage_can_be_kept_from_services(
    gateway_factory: GatewayFactory, upstream: Upstream, collector: Collector
) -> None:
    gateway = await gateway_factory(telemetry(collector, propagation=["tracecontext"]), upstream=upstream)
    await gateway.ask("GET", "/", headers={"baggage": "user=7"})
    assert "baggage" not in upstream.requests[0]


@pytest.mark.parametrize(
    "sent",
    [
        [("traceparent", f"00-{TRACE_ID.upper()}-{PARENT_ID}-01")],
        [("traceparent", f"ff-{TRACE_ID}-{PARENT_ID}-01")],
        [("traceparent", f"00-{'0' * 32}-{PARENT_ID}-01")],
        [("traceparent", f"00-{TRACE_ID}-{'0' * 16}-01")],
        [("traceparent", f"00-{TRACE_ID}-{PARENT_ID}-01-more")],
        [("traceparent", f"00-{TRACE_ID}-{PARENT_ID}")],
        [("traceparent", "x" * 5000)],
        [("traceparent", f"00-{TRACE_ID}-{PARENT_ID}-01")] * 2,
        [],
    ],
    ids=lambda sent: str(sent)[:60],
)
async def test_a_context_that_is_not_valid_is_replaced(
    gateway_factory: GatewayFactory, upstream: Upstream, collector: Collector, sent: list[tuple[str, str]]
) -> None:
    gateway = await gateway_factory(telemetry(collector), upstream=upstream)
    await gateway.ask("GET", "/", headers=[*sent, ("tracestate", "a=1")])
    (request,) = upstream.requests
    (found,) = request.all("traceparent")
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", found)
    assert TRACE_ID not in found
    assert "tracestate" not in request


async def test_a_later_version_is_read_as_far_as_it_is_known(
    gateway_factory: GatewayFactory, upstream: Upstream, collector: Collector
) -> None:
    gateway = await gateway_factory(telemetry(collector), upstream=upstream)
    await gateway.ask("GET", "/", headers={"traceparent": f"cc-{TRACE_ID}-{PARENT_ID}-01-what-comes"})
    assert upstream.requests[0]["traceparent"].startswith(f"00-{TRACE_ID}-")


# Sampling.


@pytest.mark.parametrize(
    ("tracing", "flags", "is_recorded", "told"),
    [
        ({}, "00", False, f"00-{TRACE_ID}-{PARENT_ID}-00"),
        ({"sampleRate": 0}, "01", True, None),
        ({"sampler": "ratio", "sampleRate": 0}, "01", False, f"00-{TRACE_ID}-{PARENT_ID}-00"),
        ({"sampler": "ratio", "sampleRate": 1}, "00", True, None),
        ({"sampler": "always_on", "sampleRate": 0}, "00", True, None),
        ({"sampler": "always_off"}, "01", False, f"00-{TRACE_ID}-{PARENT_ID}-00"),
    ],
)
async def test_the_sampler_decides(
    gateway_factory: GatewayFactory,
    upstream: Upstream,
    collector: Collector,
    tracing: dict[str, Any],
    flags: str,
    is_recorded: bool,  # noqa: FBT001 - a case
    told: str | None,
) -> None:
    gateway = await gateway_factory(telemetry(collector, **tracing), upstream=upstream)
    await gateway.ask("GET", "/", headers=traceparent(flags))
    (request,) = upstream.requests
    if is_recorded:
        await collector.until(lambda: len(collector.spans) == 2)
        assert request["traceparent"].endswith("-01")
    else:
        assert request["traceparent"] == told
        await asyncio.sleep(0.05)
        assert not collector.spans


async def test_what_is_not_recorded_has_a_context_all_the_same(
    gateway_factory: GatewayFactory, upstream: Upstream, collector: Collector
) -> None:
    """So that the service does not begin a trace of its own."""
    gateway = await gateway_factory(telemetry(collector, sampleRate=0), upstream=upstream)
    await gateway.ask("GET", "/")
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", upstream.requests[0]["traceparent"])


async def test_nothing_is_touched_where_tracing_is_off(
    gateway_factory: GatewayFactory, upstream: Upstream, collector: Collector
) -> None:
    gateway = await gateway_factory(telemetry(collector, enabled=False), upstream=upstream)
    await gateway.ask("GET", "/", headers={"traceparent": "anything"})
    assert upstream.requests[0]["traceparent"] == "anything"
    await gateway.ask("GET", "/")
    assert "traceparent" not in upstream.requests[1]


# Exporting.


async def test_exports_say_who_sent_them(
    gateway_factory: GatewayFactory, upstream: Upstream, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "team=a%20b,region=eu,broken")
    settings = telemetry(collector, headers={"Api-Key": "s3cret"}, compression="none")
    settings["telemetry"].update(
        {"service": "edge", "version": "7", "environment": "test", "attributes": {"region": "us"}}
    )
    gateway = await gateway_factory(settings, upstream=upstream)
    await gateway.ask("GET", "/")
    await collector.until(lambda: collector.spans)
    found = collector.resource
    assert {"service.instance.id", "host.name", "process.pid", "telemetry.sdk.version"} < found.keys()
    assert {name: found[name] for name in ("service.name", "service.version", "team", "region")} == {
        "service.name": "edge",
        "service.version": "7",
        "team": "a b",
        "region": "us",
    }
    assert found["deployment.environment.name"] == "test"
    assert collector.headers["api-key"] == "s3cret"
    assert "s3cret" not in (await gateway.admin("/config")).text


async def test_the_seeds_spellings_are_taken(
    gateway_factory: GatewayFactory, upstream: Upstream, collector: Collector
) -> None:
    block = {
        "enabled": True,
        "service": {"name": "edge", "version": "2", "environment": "prod"},
        "otlp": {"endpoint": collector.url.removeprefix("http://"), "insecure": True, "timeout": 5, "headers": None},
        "sampling": {"type": "probability", "rate": 1.0},
        "tracing": {"maxBatchSize": 1, "batchTimeout": 5},
        "metrics": {"enabled": False},
    }
    gateway = await gateway_factory({"telemetry": block}, upstream=upstream)
    await gateway.ask("GET", "/")
    await collector.until(lambda: len(collector.spans) == 2)
    assert collector.resource["service.name"] == "edge"
    assert collector.resource["deployment.environment.name"] == "prod"


async def test_traces_go_over_grpc(
    gateway_factory: GatewayFactory, upstream: Upstream, grpc_collector: Collector
) -> None:
    settings = telemetry(grpc_collector, protocol="grpc", headers={"api-key": "s3cret"})
    gateway = await gateway_factory(settings, upstream=upstream)
    await gateway.ask("GET", "/")
    await grpc_collector.until(lambda: len(grpc_collector.spans) == 2)
    assert grpc_collector.named("GET /*").kind == SERVER
    assert grpc_collector.headers["api-key"] == "s3cret"


async def test_what_waits_is_sent_when_the_gateway_stops(upstream: Upstream, collector: Collector) -> None:
    settings = configuration_for(telemetry(collector, batchTimeout="5m"), upstream, None)
    async with Gateway.from_mapping(settings) as gateway, Client(*gateway.addresses[0]) as client:
        await client.ask("GET", "/")
        assert not collector.spans
    assert len(collector.spans) == 2


async def test_a_collector_that_is_busy_is_asked_again(
    gateway_factory: GatewayFactory, upstream: Upstream, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway_otel.batching.FIRST_DELAY_S", 0.01)
    collector.statuses = [503, 429]
    gateway = await gateway_factory(telemetry(collector), upstream=upstream)
    await gateway.ask("GET", "/")
    await collector.until(lambda: len(collector.spans) == 2)
    assert collector.exports == 3


async def test_what_the_collector_refuses_is_not_sent_again(
    gateway_factory: GatewayFactory, upstream: Upstream, collector: Collector
) -> None:
    collector.statuses = [400]
    settings = {**telemetry(collector), "metrics": {}}
    gateway = await gateway_factory(settings, upstream=upstream)
    await gateway.ask("GET", "/")
    await collector.until(lambda: collector.exports)
    async with asyncio.timeout(5):
        while 'gateway_telemetry_spans_total{result="failed"} 2' not in (await gateway.admin("/metrics")).text:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
    assert (collector.exports, collector.spans) == (1, [])


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
async def test_a_collector_that_is_down_troubles_nobody(
    gateway_factory: GatewayFactory,
    upstream: Upstream,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    protocol: str,
) -> None:
    """Requests are served as ever, what waits is bounded, and the log says it once."""
    monkeypatch.setattr("gateway_otel.batching.FIRST_DELAY_S", 0.01)
    tracing = {
        "endpoint": "http://127.0.0.1:9",
        "protocol": protocol,
        "batchTimeout": "10ms",
        "maxBatchSize": 10,
        "maxQueueSize": 20,
    }
    gateway = await gateway_factory({"telemetry": {"tracing": tracing}, "metrics": {}}, upstream=upstream)
    async with gateway.client() as client:
        for _ in range(100):
            assert (await client.ask("GET", "/")).status == 200
    await gateway.eventually(lambda: "cannot be exported" in caplog.text)
    (process,) = (await gateway.admin("/telemetry")).json()["tracing"]["processes"]
    assert process["waiting"] <= 30
    assert process["lastError"]
    assert 'gateway_telemetry_spans_total{result="dropped"}' in (await gateway.admin("/metrics")).text
    records = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len([record for record in records if "spans cannot be exported" in record.getMessage()]) == 1
    assert len(records) == 1, [record.getMessage() for record in records]


async def test_a_collector_that_hangs_does_not_keep_the_gateway_from_stopping(
    upstream_factory: Any, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway_otel.batching.FLUSH_TIMEOUT_S", 0.2)

    async def never(request: object) -> Reply:
        await asyncio.sleep(30)
        return Reply()

    hanging = await upstream_factory()
    hanging.answer = never
    tracing = {"endpoint": f"http://127.0.0.1:{hanging.port}", "batchTimeout": "10ms"}
    settings = configuration_for({"telemetry": {"tracing": tracing}}, upstream, None)
    async with Gateway.from_mapping(settings) as gateway, Client(*gateway.addresses[0]) as client:
        await client.ask("GET", "/")
        async with asyncio.timeout(5):
            while not hanging.requests:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
        stopping_s = time.monotonic()
    assert time.monotonic() - stopping_s < 8


# Metrics.


async def test_metrics_of_the_whole_gateway_are_sent(
    gateway_factory: GatewayFactory, upstream: Upstream, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = {"tracing": {"enabled": False}, "metrics": {"endpoint": collector.url, "interval": 1}}
    gateway = await gateway_factory({"telemetry": block}, upstream=upstream, rule={"path": "/users/:id"})
    for _ in range(3):
        await gateway.ask("GET", "/users/1")
    upstream.answer = lambda request: Reply(500)
    await gateway.ask("GET", "/users/1")
    await collector.until(lambda: collector.has_metrics)
    metric = collector.metrics["http.server.request.duration"]
    assert (metric.unit, metric.histogram.aggregation_temporality) == ("s", 2)
    points = {point.count: plain(point) for point in metric.histogram.data_points}
    common = {"http.request.method": "GET", "url.scheme": "http", "http.route": "/users/:id"}
    assert points == {
        3: {**common, "http.response.status_code": 200},
        1: {**common, "http.response.status_code": 500, "error.type": "500"},
    }
    client = {
        point.count: plain(point) for point in collector.metrics["http.client.request.duration"].histogram.data_points
    }
    assert client[3]["server.port"] == str(upstream.port)
    (point,) = collector.metrics["gateway_client_connections"].gauge.data_points
    assert point.as_double >= 0
    assert collector.resource["service.name"] == "gateway"


async def test_metrics_count_what_is_not_recorded(
    gateway_factory: GatewayFactory, upstream: Upstream, collector: Collector
) -> None:
    exported = {"endpoint": collector.url}
    block = {"tracing": {**exported, "sampleRate": 0}, "metrics": {**exported, "interval": 1}}
    gateway = await gateway_factory({"telemetry": block}, upstream=upstream)
    for _ in range(3):
        await gateway.ask("GET", "/")
    await collector.until(lambda: collector.has_metrics)
    for name in ("http.server.request.duration", "http.client.request.duration"):
        assert [point.count for point in collector.metrics[name].histogram.data_points] == [3]
    contexts = {request["traceparent"] for request in upstream.requests}
    assert len(contexts) == 3
    assert all(context.endswith("-00") for context in contexts)


async def test_metrics_go_over_grpc(
    gateway_factory: GatewayFactory, upstream: Upstream, grpc_collector: Collector
) -> None:
    metrics = {"endpoint": grpc_collector.url, "interval": 1, "protocol": "grpc"}
    gateway = await gateway_factory(
        {"telemetry": {"tracing": {"enabled": False}, "metrics": metrics}}, upstream=upstream
    )
    await gateway.ask("GET", "/")
    await grpc_collector.until(lambda: grpc_collector.has_metrics)
    assert "http.server.request.duration" in grpc_collector.metrics


# Logs.


async def test_log_records_say_which_trace_they_belong_to(
    gateway_factory: GatewayFactory, upstream: Upstream, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = await gateway_factory(telemetry(collector), upstream=upstream)
    await upstream.stop()
    await gateway.ask("GET", "/", headers=traceparent())
    (record,) = (record for record in caplog.records if record.name == "gateway.pipeline")
    assert getattr(record, "trace_id", None) == TRACE_ID
    await collector.until(lambda: len(collector.spans) == 2)
    assert getattr(record, "span_id", None) == collector.named("GET /*").span_id.hex()
    caplog.clear()
    await gateway.ask("GET", "/", headers=traceparent("00"))
    (record,) = (record for record in caplog.records if record.name == "gateway.pipeline")
    assert not hasattr(record, "trace_id")
    await upstream.start()


async def test_log_records_are_left_alone_if_asked(
    gateway_factory: GatewayFactory, upstream: Upstream, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    settings = telemetry(collector)
    settings["telemetry"]["correlateLogs"] = False
    gateway = await gateway_factory(settings, upstream=upstream)
    await upstream.stop()
    await gateway.ask("GET", "/", headers=traceparent())
    (record,) = (record for record in caplog.records if record.name == "gateway.pipeline")
    assert not hasattr(record, "trace_id")
    await upstream.start()


# What stops the start.


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        ({"tracing": {"caFile": "missing.pem", "endpoint": "https://collector:4318"}}, "No such file"),
        ({"tracing": {"endpoint": "ftp://collector"}}, "is not an endpoint"),
        ({"tracing": {"sampleRate": 2}}, "write 1.0 or less"),
        ({"tracing": {"maxQueueSize": 1}}, "make it larger"),
        ({"tracing": {"smapler": "ratio"}}, "did you mean 'sampler'"),
    ],
)
async def test_what_cannot_be_stops_the_start(
    gateway_factory: GatewayFactory, block: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        await gateway_factory({"telemetry": block})
