"""GatewayRoute objects: served, told what became of them, and nobody else's."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from plugins.kubernetes.tests.fake_api_server import answer, status_object
from plugins.kubernetes.tests.objects_for_tests import endpoint, endpoint_slice, route, service

from gateway.config.model import RuleConfig
from gateway.plugin_config import SOURCED_KEYS
from gateway_kubernetes import status_writer
from gateway_kubernetes.route_objects import GROUP, PLURAL, Condition, merge_conditions, parse_route

if TYPE_CHECKING:
    from collections.abc import Callable

    from plugins.kubernetes.tests.fake_api_server import FakeApiServer

    from gateway.testing import RunningGateway

pytestmark = pytest.mark.anyio

MANIFESTS = Path(__file__).parents[3] / "configs" / "deploy" / "kubernetes"


class Routed:
    """A gateway that serves the routes of a cluster, and that cluster."""

    def __init__(self, start: Any, api: FakeApiServer, kubeconfig: Callable[..., str], upstream: Any) -> None:
        self.gateway: RunningGateway
        self._start = start
        self._kubeconfig = kubeconfig
        self.api = api
        self.upstream = upstream

    def offer(self, name: str = "orders", namespace: str = "shop") -> None:
        ports = [{"name": "http", "port": self.upstream.port}]
        self.api.apply(
            service(name, namespace),
            endpoint_slice(endpoint("127.0.0.1"), of=name, namespace=namespace, ports=ports),
        )

    async def start(self, rules: Any = (), registry: Any = None, **source: Any) -> RunningGateway:
        kubernetes = {"kubeconfig": self._kubeconfig(self.api.url), "timeout": "2s", **(registry or {})}
        self.gateway = await self._start({
            "registry": {"kubernetes": kubernetes},
            "router": {"rules": list(rules), "sources": {"kubernetes": source}},
        })  # fmt: skip
        return self.gateway

    async def until(self, target: str, status: int, host: str = "") -> None:
        headers = {"host": host} if host else {}
        async with asyncio.timeout(6):
            while (await self.gateway.ask("GET", target, headers=headers)).status != status:  # noqa: ASYNC110 - it is asked over HTTP
                await asyncio.sleep(0.005)

    def conditions(self, name: str = "orders", namespace: str = "shop") -> dict[str, tuple[str, str]]:
        said = self.api.get("gatewayroutes", namespace, name).get("status", {}).get("conditions", [])
        return {each["type"]: (each["status"], each["reason"]) for each in said}

    def message(self, name: str, kind: str = "Accepted", namespace: str = "shop") -> str:
        said = self.api.get("gatewayroutes", namespace, name)["status"]["conditions"]
        return str(next(each["message"] for each in said if each["type"] == kind))

    async def until_conditions(
        self, name: str = "orders", namespace: str = "shop", **expected: tuple[str, str]
    ) -> None:
        async with asyncio.timeout(6):
            while not expected.items() <= self.conditions(name, namespace).items():  # noqa: ASYNC110 - it is asked over HTTP
                await asyncio.sleep(0.01)

    async def source(self) -> Any:
        (source,) = json.loads((await self.gateway.admin("/status")).body)["routeSources"]
        return source


@pytest.fixture
def routed(gateway_factory, api, kubeconfig, upstream):
    return Routed(gateway_factory, api, kubeconfig, upstream)


GOOD = {
    "Accepted": ("True", "Accepted"), "ResolvedRefs": ("True", "ResolvedRefs"), "Programmed": ("True", "Programmed")
}  # fmt: skip


async def test_a_route_is_served_and_told_so(routed, record_property):
    routed.offer()
    await routed.start()
    assert (await routed.gateway.ask("GET", "/orders/1")).status == 404
    await asyncio.sleep(0.3)
    began_s = time.monotonic()
    routed.api.apply(route(stripPrefix=True, methods=["GET"]))
    await routed.until("/orders/1", 200)
    latency_s = time.monotonic() - began_s
    record_property("event_to_route_s", latency_s)
    assert latency_s < 3
    assert routed.upstream.requests[-1].target == "/1"
    await routed.until_conditions(**GOOD)
    status = routed.api.get("gatewayroutes", "shop", "orders")["status"]
    assert status["observedGeneration"] == 1
    assert {each["observedGeneration"] for each in status["conditions"]} == {1}
    shown = json.loads((await routed.gateway.admin("/routes")).body)["routes"]
    assert [(each["id"], each["source"], each["where"], each["service"]) for each in shown] == [
        ("shop/orders@kubernetes", "kubernetes", "GatewayRoute shop/orders", "orders")
    ]
    routed.api.delete(route())
    await routed.until("/orders/1", 404)


async def test_a_status_is_written_on_change_only(routed):
    routed.offer()
    routed.api.apply(route())
    await routed.start()
    await routed.until_conditions(**GOOD)
    first = routed.api.get("gatewayroutes", "shop", "orders")["status"]["conditions"][0]["lastTransitionTime"]
    count = routed.api.count("patch gatewayroutes")
    routed.api.apply(route("other"))  # its own is written, and no other
    await routed.until_conditions("other", **GOOD)
    await asyncio.sleep(0.5)
    assert routed.api.count("patch gatewayroutes") == count + 1
    # Another generation that means the same.
    routed.api.apply(route(serviceNamespace="shop"))
    async with asyncio.timeout(5):
        while routed.api.get("gatewayroutes", "shop", "orders")["status"]["observedGeneration"] != 2:  # noqa: ASYNC110 - it is asked over HTTP
            await asyncio.sleep(0.01)
    condition = routed.api.get("gatewayroutes", "shop", "orders")["status"]["conditions"][0]
    assert (condition["observedGeneration"], condition["lastTransitionTime"]) == (2, first)


async def test_gateways_that_disagree_do_not_answer_each_other(routed):
    routed.offer()
    routed.api.apply(route())
    await routed.start()
    await routed.until_conditions(**GOOD)
    count = routed.api.count("patch gatewayroutes")
    said = dict(routed.api.get("gatewayroutes", "shop", "orders"))
    said["status"] = {"conditions": [{"type": "Accepted", "status": "False", "reason": "Other", "message": "no"}]}
    routed.api._objects["gatewayroutes"]["shop", "orders"] = said
    routed.api._happen("gatewayroutes", "MODIFIED", said)
    await asyncio.sleep(0.6)
    assert routed.api.count("patch gatewayroutes") == count


async def test_a_bad_route_is_told_why_and_the_others_are_served(routed):
    routed.offer()
    routed.api.apply(
        route("good"),
        route("typo", timeuot=3),
        route("open", authRequired=False),
        route("twice", path="/good/*", created="2026-01-02T00:00:00Z"),
        route("own", path="/own"),
        route("nameless", serviceName=""),
    )
    await routed.start(rules=[{"id": "own", "path": "/own", "serviceName": "orders"}])
    invalid = {"Accepted": ("False", "Invalid"), "Programmed": ("False", "Invalid")}
    for name in ("typo", "open", "twice", "own", "nameless"):
        await routed.until_conditions(name, **invalid)
    await routed.until_conditions("good", **GOOD)
    assert "did you mean 'timeout'?" in routed.message("typo")
    assert "the key 'authRequired' is not allowed here" in routed.message("open")
    assert "routes 'shop/good@kubernetes' and 'shop/twice@kubernetes' share the path" in routed.message("twice")
    assert "routes 'own' and 'shop/own@kubernetes' share the path" in routed.message("own")
    assert "name a Service" in routed.message("nameless")
    source = await routed.source()
    assert (source["rules"], source["served"]) == (6, 1)


async def test_the_older_of_two_routes_wins(routed):
    """As in the Gateway API: whoever comes later must not take over what somebody else has."""
    routed.offer("users", "a")
    routed.offer("users", "z")
    routed.api.apply(route("late", "a", serviceName="users", path="/users", created="2026-02-01T00:00:00Z"))
    routed.api.apply(route("early", "z", serviceName="users", path="/users", created="2026-01-01T00:00:00Z"))
    await routed.start()
    await routed.until_conditions("early", "z", **GOOD)
    await routed.until_conditions("late", "a", Accepted=("False", "Invalid"))


async def test_a_route_leads_to_services_of_its_own_namespace(routed):
    routed.offer("orders", "other")
    routed.api.apply(route(), route("across", serviceNamespace="other"))
    await routed.start()
    await routed.until_conditions(ResolvedRefs=("False", "ServiceNotFound"), Accepted=("True", "Accepted"))
    await routed.until_conditions("across", Accepted=("False", "Invalid"))
    assert "a route leads to services of its own namespace" in routed.message("across")
    assert (await routed.gateway.ask("GET", "/orders/1")).status == 503
    # It comes, and now both namespaces have one: each route leads to its own.
    routed.offer()
    await routed.until("/orders/1", 200)
    await routed.until_conditions(**GOOD)
    (shown,) = json.loads((await routed.gateway.admin("/routes")).body)["routes"]
    assert shown["service"] == "orders.shop"


async def test_a_route_leads_elsewhere_where_that_is_allowed(routed):
    routed.offer("orders", "other")
    routed.api.apply(route("across", serviceNamespace="other"))
    await routed.start(crossNamespace=True)
    await routed.until("/across/1", 200)
    await routed.until_conditions("across", **GOOD)


async def test_only_routes_that_are_selected(routed):
    routed.offer()
    chosen = route("chosen")
    chosen["metadata"]["labels"] = {"gateway": "public"}
    routed.api.apply(chosen, route("other"))
    await routed.start(labelSelector="gateway=public")
    await routed.until("/chosen/1", 200)
    assert (await routed.gateway.ask("GET", "/other/1")).status == 404


async def test_without_the_definition_it_says_so_and_comes_back(routed):
    async def missing(asked, writer):
        answer(writer, status_object(404, "the server could not find the requested resource"), 404)

    routed.offer()
    routed.api.behaviours["list gatewayroutes"] = missing
    await routed.start()
    source = await routed.source()
    assert "GatewayRoute in all namespaces: it answers 404" in source["problems"][0]
    del routed.api.behaviours["list gatewayroutes"]
    routed.api.apply(route())
    await routed.until("/orders/1", 200)
    async with asyncio.timeout(5):
        while (await routed.source())["problems"]:  # noqa: ASYNC110 - it is asked over HTTP
            await asyncio.sleep(0.01)


async def test_a_status_that_must_not_be_written_harms_nothing(routed, caplog):
    routed.offer()
    routed.api.forbidden.add("patch gatewayroutes")
    routed.api.apply(route(), route("other"))
    await routed.start()
    await routed.until("/orders/1", 200)
    async with asyncio.timeout(5):
        while "the status of GatewayRoute shop/" not in caplog.text:  # noqa: ASYNC110 - it is asked over HTTP
            await asyncio.sleep(0.01)
    shown = json.loads((await routed.gateway.admin("/kubernetes")).body)["routes"]
    assert "cannot be written: it answers 403" in shown[0]["problems"][0]
    assert routed.api.count("patch gatewayroutes") == 1


async def test_no_status_is_written_where_that_is_off(routed):
    routed.offer()
    routed.api.apply(route())
    await routed.start(writeStatus=False)
    await routed.until("/orders/1", 200)
    await asyncio.sleep(0.3)
    assert routed.api.count("patch gatewayroutes") == 0


async def test_a_cluster_that_goes_away_leaves_the_routes(routed):
    routed.offer()
    routed.api.apply(route())
    await routed.start()
    assert (await routed.gateway.ask("GET", "/orders/1")).status == 200
    await routed.api.stop()
    await asyncio.sleep(1.5)
    assert (await routed.gateway.ask("GET", "/orders/1")).status == 200


async def test_a_route_that_flaps_causes_few_reloads_and_few_writes(routed, caplog):
    caplog.set_level("INFO", "gateway.runtime")
    routed.offer()
    await routed.start()
    for number in range(20):
        routed.api.apply(route(path=f"/orders/{number % 2}"))
        await asyncio.sleep(0.1)
    await routed.until("/orders/1", 200)
    assert caplog.text.count("route sources: ") <= 5
    await routed.until_conditions(**GOOD)
    assert routed.api.count("patch gatewayroutes") <= 25


async def test_hundreds_of_routes(routed, monkeypatch):
    monkeypatch.setattr(status_writer, "WRITES_PER_S", 2000.0)
    routed.offer()
    for number in range(400):
        routed.api.apply(route(f"r{number}"))
    await routed.start()
    await routed.until("/r399/1", 200)
    async with asyncio.timeout(20):
        while routed.conditions("r399") != GOOD or routed.conditions("r0") != GOOD:  # noqa: ASYNC110 - it is asked over HTTP
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("spec", [{}, {"spec": None}, {"spec": []}, {"spec": {"path": "x" * 70_000}}])
async def test_objects_that_are_none_are_left_out(routed, spec):
    routed.offer()
    bad = route("bad")
    del bad["spec"]
    routed.api._objects["gatewayroutes"]["shop", "bad"] = {**bad, **spec}
    routed.api.apply(route())
    await routed.start()
    await routed.until("/orders/1", 200)
    shown = json.loads((await routed.gateway.admin("/kubernetes")).body)["routes"]
    assert "gatewayroutes shop/bad cannot be read" in shown[0]["problems"][0]


def condition(*, is_true: bool = True, since: str = "", message: str = "m") -> Condition:
    return Condition(type="Accepted", is_true=is_true, reason="R", message=message, generation=1, since=since)


async def test_the_time_of_a_condition_is_that_of_its_last_change():
    (same,) = merge_conditions((condition(message="x" * 9000),), (condition(since="then"),), "now")
    assert (same.since, len(same.message)) == ("then", 1024)
    (other,) = merge_conditions((condition(),), (condition(is_true=False, since="then"),), "now")
    assert other.since == "now"


async def test_what_an_object_says_is_not_taken_on_trust():
    parsed = parse_route({**route(), "status": {"conditions": [None, {"type": 3, "observedGeneration": "x"}]}})
    assert [(each.type, each.generation) for each in parsed.conditions] == [("", 0)]
    assert parsed.target == ("shop", "orders")


# The manifests.


def documents(name: str) -> list[Any]:
    return list(yaml.safe_load_all((MANIFESTS / name).read_text()))


async def test_the_definition_has_the_keys_of_a_rule():
    (definition,) = documents("gatewayroutes.yml")
    assert definition["metadata"]["name"] == f"{PLURAL}.{definition['spec']['group']}"
    (version,) = definition["spec"]["versions"]
    assert f"/apis/{definition['spec']['group']}/{version['name']}" == GROUP
    assert version["subresources"] == {"status": {}}
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    known = {field.alias for field in RuleConfig.model_fields.values()}
    assert spec["properties"].keys() - {"serviceNamespace"} <= known
    assert {key for key in SOURCED_KEYS if "." not in key} - {"id"} <= spec["properties"].keys()


async def test_the_definition_has_the_conditions_that_are_written():
    (definition,) = documents("gatewayroutes.yml")
    status = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
    written = condition(since="2026-01-01T00:00:00Z").as_object()
    assert written.keys() == status["conditions"]["items"]["properties"].keys()


async def test_what_routes_need_is_in_the_roles():
    text = (MANIFESTS / "rbac.yml").read_text()
    for line in ("apiGroups: [gateway.io]", "resources: [gatewayroutes/status]", "verbs: [patch]"):
        assert line in text
