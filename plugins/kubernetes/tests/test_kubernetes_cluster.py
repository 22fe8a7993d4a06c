"""What any API server tells, the small one of these tests and a real one alike."""

from __future__ import annotations

import time

import pytest
from plugins.kubernetes.tests.objects_for_tests import (
    ENDED,
    ENDING,
    NOT_READY,
    endpoint,
    endpoint_slice,
    port,
    service,
)

pytestmark = pytest.mark.anyio


async def test_services_are_published_with_the_addresses_of_their_pods(cluster, follow):
    await cluster.apply(service(), endpoint_slice("10.0.0.1", "10.0.0.2"))
    following = await follow(**cluster.config)
    await following.until_services({"orders": ["10.0.0.1:8080", "10.0.0.2:8080"]})
    first = following.latest["orders"][0]
    assert first.scheme == "http"
    assert first.id == first.metadata["pod"] == "pod-10-0-0-1"
    assert first.metadata["namespace"] == cluster.namespace
    assert first.metadata["node"] == "node-1"
    assert first.metadata["annotation.gateway/enabled"] == "true"
    assert following.status["state"] == "connected"


async def test_a_change_is_published_at_once(cluster, follow):
    await cluster.apply(service(), endpoint_slice("10.0.0.1"))
    following = await follow(**cluster.config)
    await following.until(lambda: all(each["state"] == "watching" for each in following.status["watches"]))
    for addresses in (["10.0.0.1", "10.0.0.2"], ["10.0.0.2"], []):
        began_s = time.monotonic()
        await cluster.apply(endpoint_slice(*addresses))
        await following.until_services({"orders": [f"{each}:8080" for each in addresses]})
        assert time.monotonic() - began_s < 5.0  # it lists again every few minutes only


async def test_what_is_deleted_is_gone(cluster, follow):
    await cluster.apply(service(), endpoint_slice("10.0.0.1"), service("users"), endpoint_slice("10.0.0.9", of="users"))
    following = await follow(**cluster.config)
    await following.until_services({"orders": ["10.0.0.1:8080"], "users": ["10.0.0.9:8080"]})
    await cluster.delete(service("users"))
    await following.until_services({"orders": ["10.0.0.1:8080"]})
    await cluster.delete(endpoint_slice())
    await following.until_services({"orders": []})


async def test_only_services_with_the_annotation_are_served(cluster, follow):
    await cluster.apply(
        service("on", annotations={"gateway/enabled": "enabled"}),
        service("off", annotations={"gateway/enabled": "false"}),
    )
    following = await follow(**cluster.config)
    await following.until_services({"on": []})
    await cluster.apply(service("off"), service("on", annotations={"gateway/enabled": "false"}))
    await following.until_services({"off": []})


async def test_only_services_with_the_label_are_served(cluster, follow):
    await cluster.apply(service("shown", labels={"tier": "web"}), service("hidden", labels={"tier": "db"}))
    following = await follow(**cluster.config, labelSelector="tier=web")
    await following.until_services({"shown": []})


async def test_conditions_say_who_takes_requests(cluster, follow):
    await cluster.apply(
        service(),
        endpoint_slice(
            endpoint("10.0.0.1"),
            endpoint("10.0.0.2", NOT_READY),
            endpoint("10.0.0.3", ENDING),
            endpoint("10.0.0.4", ENDED),
            endpoint("10.0.0.5", {}),
        ),
    )
    following = await follow(**cluster.config)
    await following.until_services({
        "orders": ["10.0.0.1:8080", "!10.0.0.2:8080", "10.0.0.3:8080*0", "!10.0.0.4:8080*0", "10.0.0.5:8080"]
    })  # fmt: skip


async def test_ports_are_joined_by_name(cluster, follow):
    ports = [port("admin", 9000), port("web", 80)]
    in_pods = [{"name": "web", "port": 8000, "protocol": "TCP"}, {"name": "admin", "port": 9001, "protocol": "TCP"}]
    await cluster.apply(
        service("first", ports=ports),
        endpoint_slice("10.0.0.1", of="first", ports=in_pods),
        service("second", ports=ports, annotations={"port": "web"}),
        endpoint_slice("10.0.0.2", of="second", ports=in_pods),
        service("third", ports=ports, annotations={"port": "80"}),
        endpoint_slice("10.0.0.3", of="third", ports=in_pods),
    )
    following = await follow(**cluster.config)
    await following.until_services({
        "first": ["10.0.0.1:9001"], "second": ["10.0.0.2:8000"], "third": ["10.0.0.3:8000"],
    })  # fmt: skip


async def test_the_configuration_names_a_port(cluster, follow):
    ports = [port("admin", 9000), port("web", 80)]
    in_pods = [{"name": "web", "port": 8000, "protocol": "TCP"}, {"name": "admin", "port": 9001, "protocol": "TCP"}]
    await cluster.apply(
        service("several", ports=ports),
        endpoint_slice("10.0.0.1", of="several", ports=in_pods),
        service("single"),
        endpoint_slice("10.0.0.2", of="single"),
        service("other", ports=[port("a", 1), port("b", 2)]),
    )
    following = await follow(**cluster.config, portName="web")
    await following.until_services({"several": ["10.0.0.1:8000"], "single": ["10.0.0.2:8080"]})
    await following.until(
        lambda: "it has no port called 'web'; it has a (1), b (2)" in str(following.status["problems"])
    )


async def test_the_scheme_is_that_of_the_port(cluster, follow):
    in_pods = [{"name": name, "port": 1, "protocol": "TCP"} for name in ("http", "https", "x")]
    services = {
        "https": service("a", ports=[port("x", 80, appProtocol="https")]),
        "http": service("b", ports=[port("x", 443, appProtocol="http")]),
        "by-number": service("c", ports=[port("x", 443)]),
        "by-name": service("d", ports=[port("https", 8443)]),
        "by-annotation": service("e", ports=[port("x", 443)], annotations={"scheme": "http"}),
    }
    slices = [endpoint_slice("10.0.0.1", of=name, ports=in_pods) for name in "abcde"]
    await cluster.apply(*services.values(), *slices)
    following = await follow(**cluster.config)
    await following.until(lambda: len(following.latest) == 5 and all(following.latest.values()))
    schemes = {name: endpoints[0].scheme for name, endpoints in following.latest.items()}
    assert schemes == {"a": "https", "b": "http", "c": "https", "d": "https", "e": "http"}


async def test_two_families_of_addresses_are_one_set_of_pods(cluster, follow):
    await cluster.apply(
        service(),
        endpoint_slice("fd00::1", "fd00::2", name="orders-6", family="IPv6"),
        endpoint_slice("10.0.0.1", "10.0.0.2"),
    )
    following = await follow(**cluster.config)
    await following.until_services({"orders": ["10.0.0.1:8080", "10.0.0.2:8080"]})
    await cluster.delete(endpoint_slice())
    await following.until_services({"orders": ["fd00::1:8080", "fd00::2:8080"]})


async def test_a_pod_in_two_slices_is_one_instance_and_the_better_word_counts(cluster, follow):
    await cluster.apply(
        service(), endpoint_slice(endpoint("10.0.0.1", NOT_READY)), endpoint_slice("10.0.0.1", name="orders-2")
    )
    following = await follow(**cluster.config)
    await following.until_services({"orders": ["10.0.0.1:8080"]})


async def test_the_weight_is_annotated(cluster, follow):
    await cluster.apply(service(annotations={"weight": "5"}), endpoint_slice("10.0.0.1"))
    following = await follow(**cluster.config)
    await following.until_services({"orders": ["10.0.0.1:8080*5"]})


async def test_the_address_of_the_service_can_be_used(cluster, follow):
    await cluster.apply(service())
    following = await follow(**cluster.config, endpointMode="service")
    await following.until(lambda: following.latest)
    (instance,) = following.latest["orders"]
    assert instance.port == 80
    assert instance.metadata["type"] == "clusterip"


async def test_a_list_of_several_pages_is_read_to_its_end(cluster, follow, monkeypatch):
    monkeypatch.setattr("gateway_kubernetes.reflection.PAGE_SIZE", 3)
    await cluster.apply(*(service(f"s{number}") for number in range(8)))
    following = await follow(**cluster.config)
    await following.until_services({f"s{number}": [] for number in range(8)})
