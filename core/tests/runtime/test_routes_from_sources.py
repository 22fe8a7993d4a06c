"""Rules of a route source, all the way: published, let in, served, taken back."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gateway.errors import ConfigurationError
from gateway.runtime.route_sources import SHORTEST_GAP_S
from gateway.testing import Reply

if TYPE_CHECKING:
    from gateway.testing import RunningGateway

pytestmark = pytest.mark.anyio

EXAMPLE = Path(__file__).parents[3] / "tests" / "documentation" / "examples" / "routes_file.py"


class Routes:
    """A gateway with a route source that reads a file, and that file."""

    def __init__(self, folder: Path, start: Any, upstream: Any) -> None:
        self.gateway: RunningGateway
        self._start = start
        self._upstream = upstream
        self.plugin = folder / "routes_file.py"
        self.file = folder / "routes.json"
        shutil.copy(EXAMPLE, self.plugin)
        self.write()

    def write(self, *rules: Any) -> None:
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps(rules))
        new.replace(self.file)

    async def start(self, source: Any = None, rules: Any = (), **gateway: Any) -> RunningGateway:
        self.upstream = await self._upstream()
        services = [{"name": name, "instances": [self.upstream.instance]} for name in ("service", "shop", "orders")]
        file = {"path": str(self.file), "interval": "10ms", **(source or {})}
        configuration = {
            "registry": {"static": {"services": services}},
            "router": {"rules": list(rules), "sources": {"file": file}},
            **gateway,
        }
        self.gateway = await self._start(configuration, plugin_files=[self.plugin])
        return self.gateway

    async def status(self, target: str, method: str = "GET") -> int:
        answer = await self.gateway.ask(method, target)
        return int(answer.status)

    async def until(self, target: str, status: int) -> None:
        async with asyncio.timeout(30):
            while await self.status(target) != status:  # noqa: ASYNC110 - it is asked over HTTP
                await asyncio.sleep(0.01)

    async def source(self) -> Any:
        (source,) = json.loads((await self.gateway.admin("/status")).body)["routeSources"]
        return source

    async def problems(self) -> str:
        return "\n".join((await self.source())["problems"])

    async def settled(self, count: int) -> None:
        """Wait until the gateway has taken over so many rules, served or not."""
        async with asyncio.timeout(30):
            while (await self.source())["rules"] != count:  # noqa: ASYNC110 - it is asked over HTTP
                await asyncio.sleep(0.01)


@pytest.fixture
def routes(tmp_path, gateway_factory, upstream_factory):
    return Routes(tmp_path, gateway_factory, upstream_factory)


SHOP = {"path": "/shop/*", "serviceName": "shop"}


async def test_rules_are_there_when_the_gateway_starts(routes):
    routes.write(SHOP)
    await routes.start()
    assert (await routes.status("/shop/1"), await routes.status("/orders/1")) == (200, 404)


async def test_a_change_is_served_within_a_moment(routes):
    await routes.start()
    assert await routes.status("/shop/1") == 404
    routes.write(SHOP)
    await routes.until("/shop/1", 200)
    routes.write()
    await routes.until("/shop/1", 404)


async def test_the_admin_api_shows_where_each_rule_comes_from(routes):
    routes.write(SHOP)
    gateway = await routes.start(rules=[{"id": "own", "path": "/orders", "serviceName": "orders"}])
    shown = json.loads((await gateway.admin("/routes")).body)["routes"]
    assert [(each["id"], each["source"], each["where"]) for each in shown if each["source"] != "file"] == [
        ("/shop/*@routes_file", "routes_file", "routes.json 1")
    ]
    assert shown[0]["source"] == "file"
    config = json.loads((await gateway.admin("/config")).body)
    (sourced,) = config["sourcedRules"]["routes_file"]
    assert (sourced["where"], sourced["rule"]["path"]) == ("routes.json 1", "/shop/*")
    assert await routes.source() == {
        "name": "routes_file", "hasPublished": True, "rules": 1, "served": 1, "problems": []
    }  # fmt: skip


X = {"path": "/x", "serviceName": "shop"}
BAD: list[tuple[Any, str]] = [
    ({"path": "/x"}, "serviceName: the key is missing"),
    ({"serviceName": "shop"}, "path: the key is missing"),
    ({"path": "x", "serviceName": "shop"}, "path: "),
    ({"path": "/x", "serviceName": "nobody"}, "no registry knows the service 'nobody'"),
    ({**X, "timeuot": 3}, "the key 'timeuot' is not allowed here; did you mean 'timeout'?"),
    ({**X, "timeout": "soon"}, "timeout: "),
    ({**X, "loadBalance": "magic"}, "no installed plugin provides the balancer 'magic'"),
    ({**X, "protocol": "magic"}, "no installed plugin provides the protocol 'magic'"),
    ({**X, "authRequired": False}, "the key 'authRequired' is not allowed here"),
    ({**X, "auth": {"required": False}}, "the key 'auth.required' is not allowed"),
    ({**X, "metadata": {"authRequired": False}}, "the key 'authRequired' is not allowed"),
    ({**X, "authRequired": True}, "credentials are required and no authenticator is on"),
    ({**X, "priority": 1}, "priority 1 is higher than 0"),
    ({"path": "/x(a+)+", "pathType": "regex", "serviceName": "shop"}, "pathType 'regex' is not allowed here"),
    ({**X, "plugins": {"gone": {}}}, "the key 'plugins.gone' is not allowed here"),
    ({"path": "/x" + "y" * 70_000, "serviceName": "shop"}, "it is too large for a rule"),
    (["path"], "a list is not a rule"),
    ("/x", "a str is not a rule"),
    (None, "a NoneType is not a rule"),
    ({**X, "methods": []}, "methods: "),
    ({**X, "hosts": ["a b"]}, "hosts"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "problem"), BAD)
async def test_a_bad_rule_is_left_out_and_reported_and_the_others_stay(routes, caplog, rule, problem):
    routes.write(SHOP, rule)
    gateway = await routes.start()
    assert (await routes.status("/shop/1"), await routes.status("/x")) == (200, 404)
    (said,) = (await routes.source())["problems"]
    assert said.startswith("routes.json 2: ")
    assert problem in said
    assert f"route source routes_file: {said}" in caplog.text
    assert json.loads((await gateway.ask("GET", "/_gateway/health")).body)["status"] == "degraded"
    routes.write(SHOP)
    await routes.settled(1)
    assert json.loads((await gateway.ask("GET", "/_gateway/health")).body)["status"] == "healthy"


async def test_a_rule_of_a_plugin_that_is_missing_is_left_out_even_where_it_is_allowed(routes):
    routes.write({**SHOP, "rateLimit": 5, "plugins": {"gone": {}}})
    await routes.start({"alsoAllow": ["rateLimit", "plugins"]}, disabledPlugins=["ratelimit"])
    assert "rateLimit" in await routes.problems()
    assert "'gone'" in await routes.problems()


async def test_the_file_wins(routes):
    """The very same path and host is the file's, whatever conditions and priority would say."""
    routes.write(
        {"path": "/orders/{id}", "serviceName": "shop"},
        {"path": "/orders/{other}", "serviceName": "shop", "methods": ["GET"]},
        {"path": "/orders/{id}", "serviceName": "shop", "priority": 9},
        {"id": "own", "path": "/shop", "serviceName": "shop"},
    )
    await routes.start({"maxPriority": 10}, rules=[{"id": "own", "path": "/orders/:id", "serviceName": "orders"}])
    assert (await routes.source())["served"] == 1
    assert (await routes.problems()).count("routes 'own' and") == 3
    assert await routes.status("/shop") == 200


async def test_of_two_that_conflict_the_first_is_served(routes):
    routes.write({"id": "a", **SHOP}, {"id": "b", **SHOP}, {"id": "a", "path": "/orders", "serviceName": "orders"})
    await routes.start()
    first, second = (await routes.source())["problems"]
    assert "routes 'a@routes_file' and 'b@routes_file' share the path '/shop/*'" in first
    assert "the id 'a@routes_file' is taken by the rule at routes.json 1" in second


async def test_the_operator_adds_defaults_and_has_the_last_word(routes):
    routes.write({**SHOP, "timeout": 5, "host": "evil.example.com"})
    gateway = await routes.start(
        {"defaults": {"timeout": 1, "methods": ["GET"]}, "force": {"hosts": ["shop.example.com"]}}
    )
    (route,) = json.loads((await gateway.admin("/routes")).body)["routes"]
    assert (route["hosts"], route["methods"]) == (["shop.example.com"], ["GET"])
    (sourced,) = json.loads((await gateway.admin("/config")).body)["sourcedRules"]["routes_file"]
    assert (sourced["rule"]["timeout"], "host" in sourced["rule"]) == (5, False)


async def test_what_is_forced_cannot_be_undone(routes):
    """Credentials are required, and no way of spelling that they are not gets around it."""
    routes.write({**SHOP, "authRequired": False}, {"path": "/a", "serviceName": "shop", "auth": {"required": False}})
    await routes.start(
        {"force": {"authRequired": True}, "alsoAllow": ["authRequired", "auth"]},
        auth={"jwt": {"secret": "s" * 32, "algorithms": ["HS256"]}},
    )
    assert await routes.status("/shop/1") == 401
    assert "authRequired and auth.required differ" in await routes.problems()


async def test_a_fence_of_hosts_and_paths(routes):
    routes.write(
        {"path": "/shop/in", "serviceName": "shop", "host": "a.example.com"},
        {"path": "/shopping", "serviceName": "shop", "host": "a.example.com"},
        {"path": "/{any}/in", "serviceName": "shop", "host": "a.example.com"},
        {"path": "/shop/in", "serviceName": "shop"},
        {"path": "/shop/in", "serviceName": "shop", "host": "example.com"},
        {"path": "/shop/in", "serviceName": "shop", "hosts": ["b.example.com", "c.example.org"]},
        {"path": "/shop/in", "serviceName": "shop", "host": "*"},
    )
    await routes.start({"hosts": "*.example.com", "pathPrefixes": "/shop"})
    assert (await routes.source())["served"] == 1
    problems = (await routes.source())["problems"]
    assert [problem.partition(": ")[0] for problem in problems] == [f"routes.json {n}" for n in range(2, 8)]


async def test_a_source_that_fails_keeps_its_rules_and_recovers(routes, caplog):
    routes.write(SHOP)
    await routes.start()
    routes.file.write_text("[{")
    async with asyncio.timeout(30):
        while "route source 'routes_file' crashed" not in caplog.text:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
    assert await routes.status("/shop/1") == 200
    routes.write(SHOP, {"path": "/orders", "serviceName": "orders"})
    await routes.until("/orders", 200)


async def test_a_source_that_is_new_after_a_reload_does_not_lose_its_rules_meanwhile(routes):
    """Its block has changed, and what it reads is gone at this moment."""
    routes.write(SHOP)
    gateway = await routes.start()
    routes.file.unlink()
    configuration = json.loads(gateway.gateway.configuration.text)
    configuration["gateway"]["router"]["sources"]["file"]["maxRules"] = 5
    await gateway.gateway.reload(json.dumps(configuration))
    assert await routes.status("/shop/1") == 200


async def test_a_flood_of_changes_causes_few_reloads(routes, caplog):
    caplog.set_level("INFO", "gateway.runtime")
    await routes.start()
    began_s = time.monotonic()
    for number in range(40):
        routes.write(*([SHOP] if number % 2 else []))
        await asyncio.sleep(0.03)
    routes.write(SHOP)
    await routes.until("/shop/1", 200)
    # Two a second at most, and the first at once: on a busy machine it takes more seconds.
    assert caplog.text.count("route sources: ") <= (time.monotonic() - began_s) / SHORTEST_GAP_S + 2


async def test_what_means_the_same_causes_no_reload(routes, caplog):
    caplog.set_level("INFO", "gateway.runtime")
    routes.write(SHOP)
    await routes.start()
    await asyncio.sleep(0.2)
    assert "route sources: " not in caplog.text


async def test_a_reload_takes_the_rules_of_sources_along(routes):
    routes.write(SHOP)
    gateway = await routes.start()
    configuration = json.loads(gateway.gateway.configuration.text)
    configuration["gateway"]["router"]["rules"] = [{"path": "/orders", "serviceName": "orders"}]
    await gateway.gateway.reload(json.dumps(configuration))
    assert (await routes.status("/shop/1"), await routes.status("/orders")) == (200, 200)
    configuration["gateway"]["router"]["sources"]["file"]["enabled"] = False
    await gateway.gateway.reload(json.dumps(configuration))
    assert (await routes.status("/shop/1"), await routes.status("/orders")) == (404, 200)
    assert json.loads((await gateway.admin("/status")).body)["routeSources"] == []


async def test_exchanges_go_on_while_routes_change(routes):
    await routes.start()
    more = asyncio.Event()

    async def pieces():
        yield b"one"
        await more.wait()
        yield b"two"

    routes.write(SHOP)
    await routes.until("/shop/1", 200)
    routes.upstream.answer = lambda request: Reply(body=pieces())
    async with routes.gateway.stream("GET", "/shop/long") as answer:
        assert await anext(answer.pieces()) == b"one"
        routes.upstream.answer = lambda request: Reply()
        routes.write()
        await routes.until("/shop/1", 404)
        more.set()
        assert await answer.read() == b"two"


async def test_thousands_of_routes(routes):
    routes.write(*({"path": f"/r{n}/{{id}}", "serviceName": "shop", "methods": ["GET"]} for n in range(1500)))
    await routes.start({"maxRules": 1200, "interval": "1h"})
    source = await routes.source()
    assert (source["rules"], source["served"]) == (1200, 1200)
    assert source["problems"] == ["there are 1500 rules; the first 1200 count"]


async def test_thousands_of_routes_for_one_path(routes):
    routes.write(*({"path": "/same", "serviceName": "shop", "id": f"r{n}"} for n in range(1500)))
    await routes.start({"interval": "1h"})
    source = await routes.source()
    assert (source["rules"], source["served"], len(source["problems"])) == (1500, 1, 100)


CARRIED = """
import asyncio
from gateway import (
    Config, DiscoveryRegistration, Endpoint, RouteSourceConfig, RouteSourceRegistration, SourcedRule, hookimpl
)


class ProviderConfig(Config):
    path: str = "/none"


class Provider:
    def __init__(self, config, context):
        self.path = config.path

    async def watch(self, publish):
        publish({"shop": [Endpoint(address="127.0.0.1", port=PORT)]})


class Source:
    def __init__(self, config, context):
        pass

    def over(self, provider):
        return Follower(provider.path)


class Follower:
    def __init__(self, path):
        self.path = path

    async def watch(self, publish):
        publish([SourcedRule(rule={"path": self.path, "serviceName": "shop"}, where="here")])
        await asyncio.Event().wait()


@hookimpl
def gateway_register_discovery_providers():
    return [DiscoveryRegistration(name="tags", config=ProviderConfig, build=Provider, path="registry.tags")]


@hookimpl
def gateway_register_route_sources():
    return [RouteSourceRegistration(name="tags", build=Source, path="router.sources.tags", over="tags")]
"""


async def test_a_source_over_a_provider_follows_the_one_of_the_configuration(tmp_path, gateway_factory, upstream):
    plugin = tmp_path / "tags.py"
    plugin.write_text(CARRIED.replace("PORT", str(upstream.port)))
    configuration: Any = {"registry": {"tags": {"path": "/one"}}, "router": {"sources": {"tags": {}}}}
    gateway = await gateway_factory(configuration, plugin_files=[plugin])
    assert (await gateway.ask("GET", "/one")).status == 200
    written = json.loads(gateway.gateway.configuration.text)
    written["gateway"]["registry"]["tags"]["path"] = "/two"
    await gateway.gateway.reload(json.dumps(written))
    assert [(await gateway.ask("GET", path)).status for path in ("/one", "/two")] == [404, 200]
    written["gateway"]["registry"]["tags"]["enabled"] = False
    with pytest.raises(ConfigurationError, match="'tags', which is off; add gateway"):
        await gateway.gateway.reload(json.dumps(written))
    assert (await gateway.ask("GET", "/two")).status == 200
