from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plugins.docker.tests.fake_engine import container

from gateway_docker.containers import Container, ListingError, network_addresses, parse_listing
from gateway_docker.endpoints import Addressing, expose, snapshot_of
from gateway_docker.labels import LabelError, exposure_by_service_label, is_enabled, parse_labels


def snapshot(*entries: object, network: str = "") -> tuple[dict[str, list[str]], list[str]]:
    containers, problems = parse_listing(json.dumps(entries).encode())
    found, left_out = expose(containers, exposure_by_service_label, "gateway")
    services, unreachable = snapshot_of(found, Addressing(network, "192.0.2.1"))
    shown = {name: [f"{each.address}:{each.port}" for each in instances] for name, instances in services.items()}
    return shown, [*problems, *left_out, *unreachable]


@pytest.mark.parametrize("port", ["", "0", "65536", "-1", "80.0", "http", "٨٠", "1" * 500, " "])
def test_ports_that_are_none_leave_the_container_out(port):
    services, (problem,) = snapshot(container(labels={"gateway.port": port}))
    assert services == {}
    assert problem.startswith("container orders-1 is left out: gateway.port is ")
    assert len(problem) < 200


@pytest.mark.parametrize(
    ("own", "problem"),
    [
        ({"scheme": "http://"}, "gateway.scheme is 'http://'"),
        ({"service": "two words"}, "gateway.service is 'two words'"),
        ({"service": "a\nb: forged log line"}, r"gateway.service is 'a\nb"),
        ({"service": "x" * 300}, "gateway.service is 'xxx"),
        ({"enable": "perhaps"}, "gateway.enable is 'perhaps'; write 'true' or 'false'"),
    ],
)
def test_labels_that_cannot_be_used_leave_the_container_out(own, problem):
    labels = {f"gateway.{name}": value for name, value in own.items()}
    services, (said,) = snapshot(container(labels=labels))
    assert services == {}
    assert problem in said
    assert "\n" not in said


def test_oddities_are_said_and_passed_over():
    exposed = parse_labels(
        {"weight": "heavy", "prot": "80", "meta.big": "x" * 2000, "meta.": "x", "routing.path": "/"},
        "gateway", service="orders", ports=[8080],
    )  # fmt: skip
    assert (exposed.weight, exposed.metadata) == (1, {})
    assert [oddity.partition(" ")[2][:40] for oddity in exposed.oddities] == [
        "gateway.meta. means nothing", "gateway.prot means nothing", "gateway.routing.path means nothing",
        "gateway.meta.big is longer than 1024 and", "is 'heavy', which counts as 1; write a w",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("own", "weight"),
    [({}, 1), ({"weight": "0"}, 0), ({"weight": " 7 "}, 7), ({"meta.weight": "3"}, 3), ({"weight": "1000001"}, 1)],
)
def test_weights(own, weight):
    assert parse_labels(own, "gateway", service="a", ports=[1]).weight == weight


def test_metadata_is_bounded():
    own = {f"meta.key-{number:03}": "x" for number in range(100)}
    exposed = parse_labels(own, "gateway", service="a", ports=[1])
    assert len(exposed.metadata) == 64
    assert "more than 64 labels" in exposed.oddities[0]


@pytest.mark.parametrize(
    ("own", "meant"),
    [({}, None), ({"enable": "true"}, True), ({"enabled": "No"}, False), ({"enable": "1", "enabled": "false"}, True)],
)
def test_enable_has_two_spellings(own, meant):
    assert is_enabled(own, "gateway") is meant


def test_a_label_may_turn_a_container_off():
    assert snapshot(container(labels={"gateway.enable": "false"})) == ({}, [])


def test_without_a_label_the_lowest_declared_tcp_port_counts():
    ports = [
        {"PrivatePort": 53, "Type": "udp"},
        {"PrivatePort": 9090, "Type": "tcp"},
        {"PrivatePort": 8080, "PublicPort": 80, "Type": "tcp"},
        {"PrivatePort": 70000, "Type": "tcp"},
        "rubbish",
    ]
    assert snapshot(container(labels={"gateway.port": None}, Ports=ports)) == ({"orders": ["10.0.0.1:8080"]}, [])
    assert "declares no TCP port" in snapshot(container(labels={"gateway.port": None}))[1][0]


NETWORKS = {
    "shop_back": {"IPAddress": "10.2.0.1"},
    "alpha": {"IPAddress": "", "GlobalIPv6Address": "2001:db8::1"},
    "empty": {"IPAddress": ""},
    "lies": {"IPAddress": "0.0.0.0"},  # noqa: S104 - what an API may say
    "rubbish": {"IPAddress": "not an address"},
}


@pytest.mark.parametrize(
    ("network", "label", "address"),
    [
        ("", None, "2001:db8::1"),
        ("shop_back", None, "10.2.0.1"),
        ("back", None, "10.2.0.1"),
        ("shop_back", "alpha", "2001:db8::1"),
    ],
)
def test_the_network_is_chosen_deterministically(network, label, address):
    labels = {"gateway.network": label, "com.docker.compose.project": "shop"}
    for networks in (NETWORKS, dict(reversed(NETWORKS.items()))):
        entry = container(labels=labels, NetworkSettings={"Networks": networks})
        assert snapshot(entry, network=network) == ({"orders": [f"{address}:8080"]}, [])


def test_a_network_without_an_address_leaves_the_container_out_and_says_where_it_has_one():
    entry = container(NetworkSettings={"Networks": NETWORKS})
    services, (problem,) = snapshot(entry, network="empty")
    assert services == {}
    assert "no address on the network 'empty'; it has one on: alpha, shop_back" in problem


def test_containers_on_the_hosts_network_are_at_the_host():
    entry = container(HostConfig={"NetworkMode": "host"}, NetworkSettings={"Networks": {"host": {"IPAddress": ""}}})
    assert snapshot(entry) == ({"orders": ["192.0.2.1:8080"]}, [])
    entry = container(HostConfig={"NetworkMode": "none"}, NetworkSettings={"Networks": {}})
    assert "no address on any network (network mode 'none')" in snapshot(entry)[1][0]


def test_two_containers_at_one_place_are_one_instance_and_a_problem():
    host = {"HostConfig": {"NetworkMode": "host"}}
    services, (problem,) = snapshot(container(2, **host, Names=["/two"]), container(1, **host, Names=["/one"]))
    assert services == {"orders": ["192.0.2.1:8080"]}
    assert problem.startswith("container two is at 192.0.2.1:8080 of service orders, where container one is too")


def test_two_containers_with_one_name_are_two_instances():
    services, problems = snapshot(container(1, Names=["/same"]), container(2, Names=["/same"]))
    assert services == {"orders": ["10.0.0.1:8080", "10.0.0.2:8080"]}
    assert problems == []


def test_a_container_listed_twice_counts_once():
    services, (problem,) = snapshot(container(1), container(1))
    assert services == {"orders": ["10.0.0.1:8080"]}
    assert "is listed twice" in problem


def test_the_order_of_the_list_does_not_matter():
    entries = [container(number) for number in (3, 1, 2)]
    assert snapshot(*entries) == snapshot(*reversed(entries))


def test_entries_that_are_no_containers_are_said_and_passed_over():
    services, problems = snapshot(container(1), None, {"Id": "../../x"}, container(2, Labels=["a"]), container(3, Labels={"a": 1}))  # fmt: skip # noqa: E501 - one list
    assert services == {"orders": ["10.0.0.1:8080"]}
    assert len(problems) == 4


def test_an_empty_list_is_a_list():
    assert parse_listing(b" [ ] ") == ([], [])


@pytest.mark.parametrize("body", [b"", b"[", b"[1,", b"[] x", b"[{}]]", b"{}", b"null", b'"x"', b"\xff", b"[1 2]"])
def test_what_is_no_list_is_an_error(body):
    with pytest.raises(ListingError):
        parse_listing(body)


def test_more_containers_than_an_engine_can_run_are_an_error(monkeypatch):
    monkeypatch.setattr("gateway_docker.containers.MAX_CONTAINERS", 2)
    with pytest.raises(ListingError, match="more than 2 containers"):
        parse_listing(json.dumps([container(number) for number in range(3)]).encode())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
entries = st.fixed_dictionaries(
    {},
    optional={
        "Id": st.just("a" * 64) | json_values, "Names": json_values, "Created": json_values, "Ports": json_values,
        "Labels": st.dictionaries(st.sampled_from(["gateway.service", "gateway.port", "gateway.weight"]), st.text())
        | json_values,
        "State": st.just("running") | json_values, "Status": json_values, "HostConfig": json_values,
        "NetworkSettings": json_values | st.fixed_dictionaries({"Networks": json_values}),
    },
)  # fmt: skip


@given(st.lists(entries | json_values, max_size=4))
def test_an_api_that_lies_makes_no_instances_that_cannot_be(listed):
    try:
        services, _ = snapshot(*listed)
    except ListingError:
        return
    for places in services.values():
        assert all(1 <= int(place.rpartition(":")[2]) <= 65535 for place in places)


@given(json_values)
def test_networks_that_are_none_have_no_addresses(networks):
    assert all(address for address in network_addresses(networks).values())


def test_containers_that_mean_to_offer_something_say_why_they_do_not():
    with pytest.raises(LabelError):
        exposure_by_service_label(Container(id="a", name="a", labels={"gateway.service": "a"}), "gateway")
    assert exposure_by_service_label(Container(id="a", name="a", labels={"gateway.service": " "}), "gateway") is None
