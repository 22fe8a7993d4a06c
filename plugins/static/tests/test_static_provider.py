from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from gateway import Endpoint
from gateway_static.config import StaticConfig
from gateway_static.provider import StaticProvider

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def published(*services: dict[str, object]) -> Mapping[str, Sequence[Endpoint]]:
    snapshots: list[Mapping[str, Sequence[Endpoint]]] = []
    provider = StaticProvider(StaticConfig.model_validate({"services": list(services)}))
    asyncio.run(provider.watch(snapshots.append))
    assert len(snapshots) == 1
    return snapshots[0]


def endpoint(**instance: object) -> Endpoint:
    (only,) = published({"name": "orders", "instances": [{"address": "127.0.0.1", **instance}]})["orders"]
    return only


def refusal(*services: object) -> str:
    with pytest.raises(ValidationError) as caught:
        StaticConfig.model_validate({"services": list(services)})
    return str(caught.value)


def refusal_of_instance(**instance: object) -> str:
    return refusal({"name": "orders", "instances": [{"address": "a", **instance}]})


def test_services_are_published_once_as_they_are_listed():
    snapshot = published(
        {"name": "orders", "instances": [{"address": "10.0.0.1", "port": 3000}, {"address": "10.0.0.2", "port": 3000}]},
        {"name": "users", "instances": [{"id": "u-1", "address": "users.internal", "port": 443}]},
    )
    assert snapshot == {
        "orders": (Endpoint(address="10.0.0.1", port=3000), Endpoint(address="10.0.0.2", port=3000)),
        "users": (Endpoint(address="users.internal", port=443, scheme="https", id="u-1"),),
    }


@pytest.mark.parametrize(
    ("written", "scheme", "port"),
    [
        ({}, "http", 80),
        ({"port": 3000}, "http", 3000),
        ({"port": 443}, "https", 443),
        ({"scheme": "http"}, "http", 80),
        ({"scheme": "https"}, "https", 443),
        ({"scheme": "HTTPS", "port": 8443}, "https", 8443),
        ({"scheme": "http", "port": 443}, "http", 443),
        ({"scheme": "demo", "port": 1}, "demo", 1),
        ({"port": "8080"}, "http", 8080),
    ],
)
def test_scheme_and_port_follow_from_each_other(written, scheme, port):
    found = endpoint(**written)
    assert (found.scheme, found.port) == (scheme, port)


@pytest.mark.parametrize("port", [0, 65536, -1, 3000.5, True, "http", "", 10**400])
def test_what_is_no_port_is_refused(port):
    assert "is not a TCP port; write a number from 1 to 65535" in refusal_of_instance(port=port)


def test_a_scheme_without_a_default_port_needs_one():
    assert "scheme 'grpc' has no default port; add 'port'" in refusal_of_instance(scheme="grpc")


def test_what_is_no_scheme_is_refused():
    assert "'http://' is not a scheme; write 'http' or 'https', without '://'" in refusal_of_instance(scheme="http://")


def test_an_address_with_a_scheme_is_refused():
    assert "write the host name or IP address alone" in refusal_of_instance(address="http://x")


def test_ipv6_is_taken_with_and_without_brackets():
    assert endpoint(address="[::1]").address == endpoint(address="::1").address == "::1"


@pytest.mark.parametrize(
    ("written", "is_healthy"),
    [({}, True), *[({"health": state}, True) for state in ("healthy", True)],
     *[({"health": state}, False) for state in ("unhealthy", "Unhealthy", False)]],
)  # fmt: skip
def test_instances_are_healthy_unless_said_otherwise(written, is_healthy):
    assert endpoint(**written).is_healthy is is_healthy


@pytest.mark.parametrize("health", ["sick", "", 1, None, {"path": "/health"}])
def test_other_states_of_health_are_refused(health):
    assert "write 'healthy' or 'unhealthy'" in refusal_of_instance(health=health)


@pytest.mark.parametrize(
    ("written", "weight"),
    [
        ({}, 1),
        ({"weight": 5}, 5),
        ({"weight": 0}, 0),
        ({"weight": "5"}, 5),
        ({"metadata": {"weight": 3}}, 3),
        ({"metadata": {"weight": "3"}}, 3),
        ({"metadata": {"weight": 2.5}}, 25),
        ({"weight": 5, "metadata": {"weight": 3}}, 5),
    ],
)
def test_the_weight_stands_at_the_instance_or_in_its_metadata(written, weight):
    assert endpoint(**written).weight == weight


def test_weights_of_a_service_are_scaled_together():
    instances = [{"address": "a", "weight": 0.5}, {"address": "b", "weight": 1.5}, {"address": "c"}]
    assert [found.weight for found in published({"name": "orders", "instances": instances})["orders"]] == [5, 15, 10]


def test_what_is_no_weight_is_refused():
    assert "'heavy' is not a weight" in refusal_of_instance(weight="heavy")
    assert "metadata.weight: 'heavy' is not a weight" in refusal_of_instance(metadata={"weight": "heavy"})


def test_metadata_and_tags_reach_the_endpoint():
    found = endpoint(metadata={"region": "eu", "nested": {"a": [1]}}, tags=["blue", "canary"])
    assert found.metadata == {"region": "eu", "nested": {"a": [1]}, "tags": ["blue", "canary"]}


def test_tags_in_two_places_are_refused():
    assert "keep 'tags'" in refusal_of_instance(tags=["a"], metadata={"tags": ["b"]})


def test_unknown_keys_are_refused():
    assert "instances.0.prot" in refusal_of_instance(prot=1)
    assert "services.0.nam" in refusal({"nam": "orders"})
    with pytest.raises(ValidationError, match="service"):
        StaticConfig.model_validate({"services": [{"name": "a", "instances": [{"address": "a"}]}], "service": []})


def test_a_service_without_instances_is_refused():
    assert "service 'orders' has no instances; add at least one" in refusal({"name": "orders", "instances": []})


def test_a_block_without_services_is_refused():
    assert "no service is listed; add at least one, or remove the block" in refusal()


def test_a_service_listed_twice_is_refused():
    service = {"name": "orders", "instances": [{"address": "a"}]}
    assert "service 'orders' is listed twice; put all its instances under one entry" in refusal(service, service)


def test_an_id_used_twice_is_refused():
    instances = [{"id": "one", "address": "a"}, {"id": "one", "address": "b"}]
    text = refusal({"name": "orders", "instances": instances})
    assert "service 'orders' has two instances with the id 'one'; give each its own 'id'" in text


def test_an_id_that_is_the_authority_of_another_is_refused():
    instances = [{"id": "b:80", "address": "a"}, {"address": "b"}]
    assert "two instances with the id 'b:80'" in refusal({"name": "orders", "instances": instances})


def test_an_instance_listed_twice_is_refused():
    instances = [{"id": "one", "address": "::1"}, {"id": "two", "address": "[::1]", "port": 80}]
    text = refusal({"name": "orders", "instances": instances})
    assert "service 'orders' lists http://[::1]:80 twice; keep one, and use 'weight' for a larger share" in text


def test_every_field_is_described():
    schema = StaticConfig.model_json_schema()
    for model in (schema, *schema["$defs"].values()):
        assert all("description" in field for field in model["properties"].values())


@pytest.mark.parametrize(
    ("service", "remedy"),
    [
        ({"type": "http"}, "said by the 'protocol' of the rule"),
        ({"instances": [{"address": "a", "protocol": "grpc"}]}, "and by 'scheme' here"),
        (
            {"instances": [{"address": "a", "health": {"path": "/health"}}]},
            "are checked in gateway.health.services.<name>.active",
        ),
    ],
)
def test_keys_of_the_original_gateway_say_what_to_write(service, remedy):
    with pytest.raises(ValidationError, match=remedy):
        StaticConfig.model_validate({"services": [{"name": "s", "instances": [{"address": "a"}], **service}]})
