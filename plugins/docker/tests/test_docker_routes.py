"""Routes from labels: what they mean, whose count, and that a gateway serves them."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plugins.docker.tests.fake_engine import container

from gateway_docker import plugin
from gateway_docker.config import ComposeFileConfig
from gateway_docker.routes import MAX_RULES, RouteLabels, rules_of

if TYPE_CHECKING:
    from gateway.testing import RunningGateway


def labels(owner: str = "container web-1", service: str = "orders", **given: str) -> RouteLabels:
    return RouteLabels(
        owner=owner, service=service, labels={key.replace("__", "."): text for key, text in given.items()}
    )


def rules(*found: RouteLabels) -> list[Any]:
    return [rule.problem or rule.rule for rule in rules_of(found, "gateway")[0]]


# What labels mean.


def test_one_route():
    (rule,), oddities = rules_of(
        [labels(route__path="/orders/*", route__methods="GET, POST", route__stripPrefix="true", route__timeout="5s")],
        "gateway",
    )
    assert rule.rule == {
        "id": "orders",
        "serviceName": "orders",
        "path": "/orders/*",
        "methods": ["GET", "POST"],
        "stripPrefix": True,
        "timeout": "5s",
    }
    assert (rule.where, oddities) == ("service orders", [])


def test_several_routes():
    found = labels(routes__api__path="/api/*", routes__web__path="/", routes__web__priority="-1", route__path="/own")
    assert [(rule["id"], rule["path"], rule.get("priority")) for rule in rules(found)] == [
        ("orders", "/own", None), ("orders-api", "/api/*", None), ("orders-web", "/", -1)
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        '{"path": "/orders/*", "methods": ["GET"], "auth": {"scopes": ["read"]}}',
        "{path: /orders/*, methods: [GET], auth: {scopes: [read]}}",
        "path: /orders/*\nmethods: [GET]\nauth:\n  scopes: [read]\n",
    ],
)
def test_a_whole_rule_in_one_label(text):
    (rule,) = rules(labels(route=text))
    assert rule == {
        "id": "orders",
        "serviceName": "orders",
        "path": "/orders/*",
        "methods": ["GET"],
        "auth": {"scopes": ["read"]},
    }


def test_keys_inside_of_blocks():
    (rule,) = rules(labels(route__path="/a", route__auth__scopes="read,write", route__retry__attempts="3"))
    assert (rule["auth"], rule["retry"]) == ({"scopes": ["read", "write"]}, {"attempts": 3})


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"route": "/orders"}, "gateway.route is '/orders'; write '{path: /orders/*}'"),
        ({"route": "{path: ["}, "gateway.route is no YAML"),
        ({"route": "{a: &a [x], b: *a}"}, "gateway.route is no YAML"),
        ({"route": "[" * 10_000}, "gateway.route is no YAML"),
        ({"route": "{" + "a" * 20_000}, "gateway.route is longer than 16384"),
        ({"route__path": "/a", "route__path__b": "c"}, "gateway.route.path.b lies below a label that has a value"),
        ({"route": "{path: /a}", "route__path": "/b"}, "gateway.route.path is said twice"),
        ({"route__path": "/a", "route__serviceName": "users"}, "serviceName is 'users'; a route leads to its own"),
        ({"routes__ü__path": "/a"}, "a route is called 'ü'"),
        ({"routes": "x"}, "a route is called"),
        ({f"route__k{n}": "x" for n in range(201)}, "there are more than 200 labels"),
    ],
)
def test_rubbish_is_reported_with_whose_it_is(given, problem):
    (found,) = rules_of([labels(**given)], "gateway")[0]
    assert problem in found.problem or (found.rule.get("routes") is None and "routes" in given)
    assert "(container web-1)" in found.problem


def test_a_container_has_so_many_routes():
    found = rules(labels(**{f"routes__r{n:04}__path": f"/{n}" for n in range(MAX_RULES + 5)}))
    assert len(found) == MAX_RULES + 1
    assert found[-1] == f"container web-1 has more than {MAX_RULES} routes"


KEYS = st.text("route.s[]{}ab", max_size=12).map("route.".__add__) | st.sampled_from(
    ["route", "routes.a.path", "routes..b"]
)


@given(st.dictionaries(KEYS, st.text(max_size=20) | st.text("{}[]:,&*ab \n", max_size=20), max_size=6))
def test_whatever_labels_hold_makes_rules_or_problems(given):
    for rule in rules_of([RouteLabels(owner="x", service="s", labels=given)], "gateway")[0]:
        assert rule.problem or rule.rule["serviceName"] == "s"
        json.dumps(rule.rule)


# Whose labels count.


def test_containers_of_one_service_have_one_rule():
    one, two = (labels(f"container web-{n}", route__path="/orders") for n in (1, 2))
    assert len(rules(one, two)) == 1


def test_of_labels_that_differ_the_newest_count_and_that_is_said():
    old, new = labels("container web-1", route__path="/old"), labels("container web-2", route__path="/new")
    found, oddities = rules_of([old, new], "gateway")
    assert [rule.rule["path"] for rule in found] == ["/new"]
    (oddity,) = oddities
    assert oddity.startswith("container web-2 of service orders has other route labels than container web-1; those of")


# At work.


@pytest.mark.anyio
async def test_route_labels_that_nobody_reads_are_said(fake_engine, watch_engine):
    fake_engine.containers = [container(1, labels={"gateway.route.path": "/orders/*"})]
    watched = watch_engine(fake_engine)
    await watched.until(lambda: watched.snapshots)
    assert watched.status["problems"] == [
        "container orders-1 has route labels, which nobody reads; turn on 'docker' below gateway.router.sources"
    ]
    await watched.until(lambda: watched.services)
    published: list[Any] = []
    reading = asyncio.ensure_future(watched.provider.rules.watch(published.append))
    await watched.until(lambda: published)
    assert [rule.rule["path"] for rule in published[0]] == ["/orders/*"]
    fake_engine.emit("start")
    await watched.until(lambda: not watched.status["problems"])
    reading.cancel()
    await asyncio.wait([reading])
    assert not watched.provider.rules.has_readers


@pytest.mark.anyio
async def test_files_have_routes_too(tmp_path, watch):
    file = tmp_path / "docker-compose.yml"
    file.write_text(
        "services:\n  orders:\n    expose: [80]\n    labels:\n      gateway.service: orders\n"
        "      gateway.route.path: /orders/*\n      gateway.route: '{methods: [GET]}'\n"
    )
    config = ComposeFileConfig.model_validate({"useServiceNames": True, "refreshInterval": "1s"})
    watched = watch(lambda context: plugin.build_compose_file(config, context), "compose-file")
    await watched.until(lambda: watched.snapshots)
    published: list[Any] = []
    reading = asyncio.ensure_future(watched.provider.rules.watch(published.append))
    await watched.until(lambda: published)
    (rule,) = published[0]
    assert rule.rule == {"id": "orders", "serviceName": "orders", "path": "/orders/*", "methods": ["GET"]}
    reading.cancel()
    await asyncio.wait([reading])


def labelled(number: int, upstream: Any, **routes: str) -> Any:
    port = str(upstream.port)
    made = container(
        number, labels={"gateway.port": port, **{f"gateway.route.{k}": text for k, text in routes.items()}}
    )
    made["HostConfig"] = {"NetworkMode": "host"}
    return made


def with_routes(host: str, **source: Any) -> Any:
    return {
        "registry": {"docker": {"host": host, "refreshInterval": "1h"}},
        "router": {"sources": {"docker": source}, "rules": [{"id": "own", "path": "/own", "serviceName": "orders"}]},
    }


async def until(gateway: RunningGateway, target: str, status: int) -> None:
    async with asyncio.timeout(5):
        while (await gateway.ask("GET", target)).status != status:  # noqa: ASYNC110 - it is asked over HTTP
            await asyncio.sleep(0.005)


@pytest.mark.anyio
async def test_a_gateway_serves_routes_from_labels(gateway_factory, fake_engine, upstream, record_property):
    gateway: RunningGateway = await gateway_factory(with_routes(fake_engine.host))
    await asyncio.sleep(1.2)
    assert (await gateway.ask("GET", "/orders/1")).status == 404
    fake_engine.containers = [labelled(1, upstream, path="/orders/*", stripPrefix="true")]
    began_s = time.monotonic()
    fake_engine.emit("start")
    await until(gateway, "/orders/1", 200)
    latency_s = time.monotonic() - began_s
    record_property("event_to_route_s", latency_s)
    assert latency_s < 3
    assert upstream.requests[-1].target == "/1"
    fake_engine.containers = []
    fake_engine.emit("die")
    await until(gateway, "/orders/1", 404)


@pytest.mark.anyio
async def test_an_engine_that_goes_away_leaves_the_routes(gateway_factory, fake_engine, upstream):
    fake_engine.containers = [labelled(1, upstream, path="/orders/*")]
    gateway: RunningGateway = await gateway_factory(with_routes(fake_engine.host))
    assert (await gateway.ask("GET", "/orders/1")).status == 200
    await fake_engine.stop()
    await asyncio.sleep(1.5)
    assert (await gateway.ask("GET", "/orders/1")).status == 200


@pytest.mark.anyio
async def test_a_container_that_flaps_causes_few_reloads(gateway_factory, fake_engine, upstream, caplog):
    caplog.set_level("INFO", "gateway.runtime")
    gateway: RunningGateway = await gateway_factory(with_routes(fake_engine.host))
    for number in range(20):
        fake_engine.containers = [labelled(1, upstream, path="/orders/*")] if number % 2 else []
        fake_engine.emit("start" if number % 2 else "die")
        await asyncio.sleep(0.1)
    await until(gateway, "/orders/1", 200)
    assert caplog.text.count("route sources: ") <= 5


@pytest.mark.anyio
async def test_what_labels_must_not_say_is_left_out_and_reported(gateway_factory, fake_engine, upstream):
    fake_engine.containers = [
        labelled(1, upstream, path="/own"),
        labelled(2, upstream, path="/a", authRequired="false"),
        labelled(3, upstream, path="/b", priority="9"),
        labelled(4, upstream, path="/c"),
    ]
    for number, each in enumerate(fake_engine.containers):
        each["Labels"]["gateway.service"] = f"s{number}"
    gateway: RunningGateway = await gateway_factory(with_routes(fake_engine.host))
    (source,) = json.loads((await gateway.admin("/status")).body)["routeSources"]
    assert source["served"] == 1
    assert [each.partition(": ")[0] for each in source["problems"]] == ["service s0", "service s1", "service s2"]
    assert "routes 'own' and 's0@docker' share the path '/own'" in source["problems"][0]
    assert "the key 'authRequired' is not allowed here" in source["problems"][1]
    assert "priority 9 is higher than 0" in source["problems"][2]
    assert (await gateway.ask("GET", "/c")).status == 200


@pytest.mark.anyio
async def test_a_source_without_its_provider_stops_the_start(gateway_factory):
    with pytest.raises(
        Exception, match=r"reads its routes from the discovery provider 'docker', which is off; add gateway"
    ):
        await gateway_factory({"router": {"sources": {"docker": {}}}})


@pytest.mark.anyio
async def test_the_provider_changes_and_the_routes_follow_it(gateway_factory, fake_engine, fake_tcp_engine, upstream):
    """Another engine in the configuration: the same route source then works over another provider."""
    fake_engine.containers = [labelled(1, upstream, path="/one")]
    fake_tcp_engine.containers = [labelled(1, upstream, path="/two")]
    gateway: RunningGateway = await gateway_factory(with_routes(fake_engine.host))
    assert (await gateway.ask("GET", "/one")).status == 200
    text = gateway.gateway.configuration.text.replace(fake_engine.host, fake_tcp_engine.host)
    await gateway.gateway.reload(text)
    assert [(await gateway.ask("GET", path)).status for path in ("/one", "/two")] == [404, 200]
