"""Metrics of a whole gateway, as Prometheus scrapes them."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from gateway.errors import ConfigurationError
from gateway.testing import Answer, GatewayFactory, Reply, RunningGateway, Upstream

pytestmark = pytest.mark.anyio

ON: dict[str, Any] = {"metrics": {"path": "/metrics"}}


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse_text(text)
        for sample in family.samples
    }


class Scrape:
    """What was scraped."""

    def __init__(self, answer: Answer) -> None:
        assert answer.status == 200, answer
        self.text = answer.text
        self._samples = samples(answer.text)

    def __call__(self, name: str, **labels: str) -> float | None:
        return self._samples.get((name, tuple(sorted(labels.items()))))

    def all(self, name: str) -> dict[tuple[tuple[str, str], ...], float]:
        return {labels: value for (found, labels), value in self._samples.items() if found == name}


async def scrape(gateway: RunningGateway, path: str = "/metrics") -> Scrape:
    return Scrape(await gateway.ask("GET", path))


async def test_requests_are_counted_by_method_pattern_and_status(
    gateway_factory: GatewayFactory, upstream: Upstream
) -> None:
    upstream.answer = lambda request: Reply(201 if request.method == "POST" else 200, body=b"hello")
    gateway = await gateway_factory(ON, upstream=upstream, rule={"path": "/users/:id"})
    for number in range(3):
        await gateway.ask("GET", f"/users/{number}")
    await gateway.ask("POST", "/users/1", body=b"x" * 150)
    found = await scrape(gateway)
    assert found("gateway_http_requests_total", method="GET", path="/users/:id", status="200") == 3
    assert found("gateway_http_requests_total", method="POST", path="/users/:id", status="201") == 1
    assert found("gateway_http_request_duration_seconds_count", method="GET", path="/users/:id", status="200") == 3
    assert found("gateway_http_request_size_bytes_sum", method="POST", path="/users/:id") == 150
    assert found("gateway_http_request_size_bytes_bucket", method="POST", path="/users/:id", le="100.0") == 0
    assert found("gateway_http_request_size_bytes_bucket", method="POST", path="/users/:id", le="1000.0") == 1
    assert found("gateway_http_response_size_bytes_sum", method="GET", path="/users/:id") == 15


async def test_attempts_are_counted_by_instance(gateway_factory: GatewayFactory, upstream: Upstream) -> None:
    gateway = await gateway_factory(ON, upstream=upstream)
    await gateway.ask("GET", "/")
    instance = f"127.0.0.1:{upstream.port}"
    found = await scrape(gateway)
    attempt = {"service": "service", "instance": instance, "method": "GET"}
    assert found("gateway_backend_requests_total", **attempt, status="200") == 1
    assert found("gateway_backend_request_duration_seconds_count", **attempt) == 1
    assert not found.all("gateway_backend_errors_total")
    await upstream.stop()
    assert (await gateway.ask("GET", "/")).status == 502
    found = await scrape(gateway)
    assert found("gateway_backend_requests_total", **attempt, status="error") == 1
    error = {"service": "service", "instance": instance, "error_type": "bad_gateway"}
    assert found("gateway_backend_errors_total", **error) == 1
    await upstream.start()


async def test_requests_under_way_are_a_gauge(gateway_factory: GatewayFactory, upstream: Upstream) -> None:
    answer = asyncio.Event()

    async def wait(request: object) -> Reply:
        await answer.wait()
        return Reply()

    upstream.answer = wait
    gateway = await gateway_factory(ON, upstream=upstream)
    active = {"method": "GET", "path": "/*"}
    asked = [asyncio.ensure_future(gateway.ask("GET", "/")) for _ in range(2)]
    await gateway.eventually(lambda: len(upstream.requests) == 2)
    assert (await scrape(gateway))("gateway_http_requests_active", **active) == 2
    answer.set()
    await asyncio.gather(*asked)
    assert (await scrape(gateway))("gateway_http_requests_active", **active) == 0


async def test_a_client_that_went_away_counts_as_499(gateway_factory: GatewayFactory, upstream: Upstream) -> None:
    answer = asyncio.Event()

    async def wait(request: object) -> Reply:
        await answer.wait()
        return Reply()

    upstream.answer = wait
    gateway = await gateway_factory(ON, upstream=upstream)
    async with gateway.client() as client:
        asked = asyncio.ensure_future(client.ask("GET", "/"))
        await gateway.eventually(lambda: upstream.requests)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
    labels = {"method": "GET", "path": "/*", "status": "499"}
    async with asyncio.timeout(5):  # nobody tells when the gateway has noticed
        while (found := await scrape(gateway))("gateway_http_requests_total", **labels) != 1:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
    assert found("gateway_http_requests_active", method="GET", path="/*") == 0
    instance = f"127.0.0.1:{upstream.port}"
    cancelled = {"service": "service", "instance": instance, "error_type": "cancelled"}
    assert found("gateway_backend_errors_total", **cancelled) == 1
    answer.set()


async def test_streamed_bodies_are_measured(gateway_factory: GatewayFactory, upstream: Upstream) -> None:
    upstream.answer = lambda request: Reply(body=[b"x" * 1000] * 300)
    gateway = await gateway_factory(ON, upstream=upstream)
    await gateway.ask("PUT", "/", body=b"y" * 1_000_000)
    found = await scrape(gateway)
    assert found("gateway_http_request_size_bytes_sum", method="PUT", path="/*") == 1_000_000
    assert found("gateway_http_response_size_bytes_sum", method="PUT", path="/*") == 300_000


async def test_strangers_cannot_make_series(gateway_factory: GatewayFactory, upstream: Upstream) -> None:
    upstream.answer = lambda request: Reply(int(request.target.rpartition("/")[2] or 200))
    gateway = await gateway_factory(ON, upstream=upstream, rule={"path": "/status/*"})
    for number, method in enumerate(("PROPFIND", "MKCOL", "REPORT", "LOCK", "PURGE")):
        await gateway.ask(method, f"/status/2{number:02}")
    for number in range(30):
        await gateway.ask("GET", f"/nowhere/{number}")
    await gateway.ask("GET", "/status/799")
    found = await scrape(gateway)
    assert {dict(labels)["method"] for labels in found.all("gateway_http_requests_total")} == {"GET", "other"}
    assert {dict(labels)["method"] for labels in found.all("gateway_backend_requests_total")} == {"GET", "other"}
    assert {dict(labels)["method"] for labels in found.all("gateway_http_requests_active")} == {"GET", "other"}
    assert found("gateway_http_requests_total", method="GET", path="unmatched", status="404") == 30
    assert found("gateway_http_requests_total", method="GET", path="/status/*", status="other") == 1


async def test_labels_can_be_left_out(gateway_factory: GatewayFactory, upstream: Upstream) -> None:
    block = {"path": "/metrics", "includePathLabel": False, "includeMethodLabel": False, "statusClasses": True}
    gateway = await gateway_factory({"metrics": block}, upstream=upstream)
    await gateway.ask("GET", "/a")
    found = await scrape(gateway)
    assert found("gateway_http_requests_total", status="2xx") == 1
    assert found("gateway_http_requests_active") == 1  # the scrape itself
    assert found(
        "gateway_backend_requests_total", service="service", instance=f"127.0.0.1:{upstream.port}", status="2xx"
    )


async def test_without_statuses(gateway_factory: GatewayFactory, upstream: Upstream) -> None:
    gateway = await gateway_factory(
        {"metrics": {"path": "/metrics", "includeStatusLabel": False, "buckets": [0.5, 60]}}, upstream=upstream
    )
    await gateway.ask("GET", "/a")
    found = await scrape(gateway)
    assert found("gateway_http_requests_total", method="GET", path="/*") == 1
    buckets = found.all("gateway_http_request_duration_seconds_bucket")
    assert {dict(labels)["le"] for labels in buckets} == {"0.5", "60.0", "+Inf"}


async def test_instances_and_their_health_are_gauges(gateway_factory: GatewayFactory, upstream: Upstream) -> None:
    services = [
        {
            "name": "orders",
            "instances": [
                {**upstream.instance, "id": "one"},
                {"address": "127.0.0.2", "port": 1, "id": "two", "health": "unhealthy"},
            ],
        }
    ]
    gateway = await gateway_factory({**ON, "registry": {"static": {"services": services}}})
    found = await scrape(gateway)
    assert found("gateway_service_instances", service="orders", health="healthy") == 1
    assert found("gateway_service_instances", service="orders", health="unhealthy") == 1
    assert found("gateway_backend_healthy", service="orders", instance="one") == 1
    assert found("gateway_backend_healthy", service="orders", instance="two") == 0
    directory = gateway.gateway.plane.directory
    (one,) = (each for each in directory.instances("orders") if each.id == "one")
    directory.mark(one, is_healthy=False, reason="test")
    found = await scrape(gateway)
    assert found("gateway_service_instances", service="orders", health="unhealthy") == 2
    assert found("gateway_backend_healthy", service="orders", instance="one") == 0


async def test_the_gateway_tells_of_itself(gateway_factory: GatewayFactory) -> None:
    gateway = await gateway_factory(ON)
    found = await scrape(gateway)
    ((info, value),) = found.all("gateway_info").items()
    assert (dict(info)["version"][0], value) == ("0", 1)
    assert (found("process_resident_memory_bytes", pid=str(os.getpid())) or 0) > 1_000_000
    assert (found("process_cpu_seconds_total", pid=str(os.getpid())) or 0) > 0
    assert found("gateway_client_connections") == 1


# Where it is served.


async def test_only_the_admin_path_is_served_unless_another_is_asked_for(
    gateway_factory: GatewayFactory, upstream: Upstream
) -> None:
    upstream.answer = lambda request: Reply(body=b"the service's own")
    gateway = await gateway_factory({"metrics": {}}, upstream=upstream)
    assert (await gateway.ask("GET", "/metrics")).text == "the service's own"
    assert (await gateway.ask("GET", "/_gateway/metrics")).status == 200


async def test_nothing_is_served_without_the_block(gateway_factory: GatewayFactory, upstream: Upstream) -> None:
    gateway = await gateway_factory(upstream=upstream)
    assert (await gateway.admin("/metrics")).status == 404
    gateway = await gateway_factory({"metrics": {"enabled": False, "path": "/metrics"}}, upstream=upstream)
    assert (await gateway.admin("/metrics")).status == 404
    assert (await gateway.ask("GET", "/metrics")).text == "ok"


async def test_the_path_goes_before_every_rule(gateway_factory: GatewayFactory, upstream: Upstream) -> None:
    gateway = await gateway_factory(ON, upstream=upstream, rule={"path": "/metrics", "priority": 1000})
    assert "gateway_info" in (await gateway.ask("GET", "/metrics")).text
    assert (await gateway.ask("POST", "/metrics")).status == 405
    head = await gateway.ask("HEAD", "/metrics")
    assert (head.status, head.body) == (200, b"")
    assert not upstream.requests


@pytest.mark.parametrize("path", ["/_gateway/metrics", "/metrics"])
async def test_the_token_is_needed_where_it_is_not_public(gateway_factory: GatewayFactory, path: str) -> None:
    gateway = await gateway_factory({"metrics": {"path": "/metrics", "public": False}})
    refused = await gateway.ask("GET", path)
    assert (refused.status, refused["www-authenticate"]) == (401, 'Bearer realm="gateway"')
    assert (await gateway.ask("GET", path, headers={"authorization": "Bearer wrong"})).status == 401
    answer = await gateway.ask("GET", path, headers={"authorization": "Bearer a-token-for-tests"})
    assert "gateway_info" in answer.text


# How it is written.


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/html, text/plain;version=9.9.9", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text;version=nonsense", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        (
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
    ],
)
async def test_the_format_is_negotiated(
    gateway_factory: GatewayFactory, upstream: Upstream, accept: str, content_type: str
) -> None:
    gateway = await gateway_factory(ON, upstream=upstream)
    await gateway.ask("GET", "/")
    answer = await gateway.ask("GET", "/metrics", headers={"accept": accept} if accept else {})
    assert (answer["content-type"], answer["cache-control"]) == (content_type, "no-store")
    parse = parse_openmetrics if "openmetrics" in content_type else parse_text
    families = {family.name: family for family in parse(answer.text)}
    (total,) = (s for s in families["gateway_http_requests"].samples if s.labels["path"] == "/*")
    assert (total.name, total.value) == ("gateway_http_requests_total", 1)


PROMTOOL = shutil.which("promtool")


@pytest.mark.skipif(
    PROMTOOL is None and not os.environ.get("CI"),
    reason="promtool is not on the path; it comes with the package 'prometheus'",
)
async def test_promtool_finds_nothing_to_complain_about(gateway_factory: GatewayFactory, upstream: Upstream) -> None:
    gateway = await gateway_factory(ON, upstream=upstream)
    await gateway.ask("GET", "/")
    await upstream.stop()
    await gateway.ask("GET", "/")
    text = (await scrape(gateway)).text
    assert PROMTOOL is not None, "CI must have promtool; install the package 'prometheus'"
    checked = await asyncio.to_thread(
        subprocess.run, [PROMTOOL, "check", "metrics"], input=text.encode(), capture_output=True, check=False
    )
    assert (checked.returncode, checked.stderr.decode()) == (0, "")


async def test_many_scrapes_at_once_are_rendered_together(gateway_factory: GatewayFactory) -> None:
    gateway = await gateway_factory({**ON, "plugins": {}})
    answers = await asyncio.gather(*(gateway.ask("GET", "/metrics") for _ in range(20)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.text for answer in answers}) < 20


# Reloads.


async def test_counters_go_on_over_reloads(gateway_factory: GatewayFactory, upstream: Upstream) -> None:
    gateway = await gateway_factory(ON, upstream=upstream)
    await gateway.ask("GET", "/")
    await gateway.gateway.reload()
    await gateway.ask("GET", "/")
    found = await scrape(gateway)
    assert found("gateway_http_requests_total", method="GET", path="/*", status="200") == 2
    assert found("gateway_reloads_total", result="done") == 1


async def test_other_buckets_need_a_restart(gateway_factory: GatewayFactory, upstream: Upstream) -> None:
    gateway = await gateway_factory(ON, upstream=upstream)
    text = (gateway.gateway._options.text or "").replace('"path": "/metrics"', '"path": "/metrics", "buckets": [1]')
    with pytest.raises(ConfigurationError, match="buckets and labels of metrics stay as they are until the gateway is"):
        await gateway.gateway.reload(text)
    await gateway.ask("GET", "/")
    found = await scrape(gateway)
    assert found("gateway_http_requests_total", method="GET", path="/*", status="200") == 1
