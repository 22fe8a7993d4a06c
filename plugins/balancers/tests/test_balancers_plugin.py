from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import Endpoint, Instance
from gateway_balancers import plugin
from gateway_balancers.candidates import Locality, candidates
from gateway_balancers.power_of_two import PowerOfTwo
from gateway_balancers.round_robin import RoundRobin
from gateway_balancers.weighted_random import WeightedRandom
from gateway_balancers.weighted_round_robin import WeightedRoundRobin

BY_KEY = ("consistent_hash",)
SPREADING = (
    "round_robin",
    "weighted_round_robin",
    "weighted_random",
    "least_connections",
    "power_of_two",
    "response_time",
    "adaptive",
)
NAMES = (*SPREADING, *BY_KEY)


def build(name: str, kept: dict[str, Any] | None = None):
    kept = {} if kept is None else kept
    context = SimpleNamespace(keep=lambda key, make: kept.setdefault(key, make()))
    (registration,) = [each for each in plugin.gateway_register_balancers() if each.name == name]
    return registration.build(registration.config(), cast("Any", context))


def test_the_offers_are_named_as_load_balance_names_them():
    offers = {each.name: each for each in plugin.gateway_register_balancers()}
    assert tuple(offers) == NAMES
    assert {name: each.other_names for name, each in offers.items() if each.other_names} == {
        "weighted_round_robin": ("weighted",),
        "weighted_random": ("random",),
    }
    assert all(each.summary for each in offers.values())


def test_importing_the_plugin_does_not_import_the_balancers():
    program = "import sys, gateway_balancers.plugin; sys.exit('gateway_balancers.round_robin' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("name", NAMES)
def test_one_instance_gets_everything(name, pool, asking):
    balancer, (only,) = build(name), pool(3)
    assert {balancer.select((only,), asking()) for _ in range(5)} == {only}
    assert balancer.select((only,), asking(only)) is only


@pytest.mark.parametrize("name", NAMES)
def test_instances_of_weight_0_get_nothing(name, pool, asking):
    balancer, instances = build(name), pool(0, 1, 0, 2)
    if name in BY_KEY:
        assert balancer.select(instances, asking()).id in "13"
        return
    assert {each.id for each in (balancer.select(instances, asking()) for _ in range(50))} == {"1", "3"}
    assert {each.id for each in (balancer.select(instances, asking(instances[1])) for _ in range(50))} == {"3"}


@pytest.mark.parametrize("name", SPREADING)
def test_weight_0_everywhere_is_the_same_weight_everywhere(name, pool, asking):
    balancer, instances = build(name), pool(0, 0, 0)
    assert {balancer.select(instances, asking()) for _ in range(100)} == set(instances)


def test_candidates_are_those_with_a_weight_or_all(pool):
    for weights, taking in (((0, 0), "01"), ((1, 2), "01"), ((0, 2, 0), "1")):
        assert [each.id for each in candidates(pool(*weights))] == list(taking)


@pytest.mark.parametrize("name", SPREADING)
def test_routes_and_workers_begin_at_different_instances(name, pool, asking):
    instances = pool(*[1] * 5)
    assert {build(name).select(instances, asking()) for _ in range(200)} == set(instances)


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None)  # of what is drawn, not of what is chosen
@given(data=st.data())
def test_whatever_happens_a_permitted_instance_is_chosen(name, pool, asking, release, data):
    balancer = build(name)
    known = pool(*data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=6), label="weights"))
    some = st.lists(st.sampled_from(known), min_size=1, unique=True)
    instances = tuple(data.draw(some, label="instances"))
    busy = []
    for _ in range(data.draw(st.integers(0, 25), label="steps")):
        step = data.draw(st.sampled_from(["ask", "ask", "ask", "release", "foreign", "change"]), label="step")
        if step == "ask":
            excluded = data.draw(st.lists(st.sampled_from(known), max_size=4), label="excluded")
            chosen = balancer.select(instances, asking(*excluded))
            permitted = {each for each in instances if each.weight} or set(instances)
            assert chosen in (permitted - set(excluded) or permitted)
            chosen.in_flight += 1
            busy.append(chosen)
        elif step == "release" and busy:
            release(busy.pop(data.draw(st.integers(0, len(busy) - 1))))
        elif step == "foreign":
            busy.append(data.draw(st.sampled_from(known)))
            busy[-1].in_flight += 1
        elif step == "change":
            instances = tuple(data.draw(some, label="instances"))
    for each in busy:
        release(each)


@pytest.mark.parametrize("name", SPREADING)
def test_a_retry_is_spread_over_everyone_else(name, pool, asking):
    balancer, instances = build(name), pool(1, 1, 1, 1)
    chosen = [balancer.select(instances, asking(instances[2])) for _ in range(300)]
    for other in (instances[0], instances[1], instances[3]):
        assert 60 <= chosen.count(other) <= 140


@pytest.mark.parametrize("make", [RoundRobin, WeightedRoundRobin, WeightedRandom, PowerOfTwo])
def test_the_same_chance_makes_the_same_choices(make, pool, asking, seeded):
    one, other, instances = make(seeded(7).random), make(seeded(7).random), pool(3, 1, 2)
    assert all(one.select(instances, asking()) is other.select(instances, asking()) for _ in range(50))


# Slow start.


@pytest.mark.parametrize("name", SPREADING)
def test_an_instance_in_slow_start_gets_its_share(name, pool, asking):
    """As the core grants it: see ``Directory.mark``."""
    instances = pool(1, 1, 1)
    for instance, share_percent in zip(instances, (10, 100, 100), strict=True):
        instance.share_percent = instance.weight = share_percent
    balancer = build(name)
    chosen = [balancer.select(instances, asking()) for _ in range(2100)]
    assert 60 <= chosen.count(instances[0]) <= 200
    assert {balancer.select(instances, asking(*instances[1:])) for _ in range(10)} == {instances[0]}


# Priorities and localities.


def placed(pool, *places):
    """Instances of a service, each with the metadata it is given."""
    return tuple(
        Instance("orders", Endpoint(address=f"host-{number}", port=80, metadata=metadata))
        for number, metadata in enumerate(places)
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_first_group_that_has_anybody_takes_all_traffic(name, pool, asking):
    one, two, spare, last = instances = placed(pool, {"priority": 0}, {}, {"priority": "1"}, {"priority": 2})
    balancer = build(name)
    assert {balancer.select(instances, asking()) for _ in range(60)} <= {one, two}
    assert {balancer.select((spare, last), asking()) for _ in range(60)} == {spare}
    assert {balancer.select((last,), asking()) for _ in range(60)} == {last}


def test_a_priority_that_is_none_is_the_first(pool):
    instances = placed(pool, {"priority": "high"}, {"priority": None}, {"priority": [1]}, {"priority": 1})
    assert candidates(instances) == instances[:3]


def test_near_ones_take_all_traffic_where_there_are_enough(pool):
    near = Locality.of({"GATEWAY_ZONE": "a", "GATEWAY_REGION": "eu"}).candidates
    one, two, three, _ = instances = placed(
        pool, {"zone": "a", "region": "eu"}, {"zone": "b", "region": "eu"}, {"zone": "c", "region": "eu"}, {"zone": "d"}
    )
    assert near(instances[:3]) == (one,)
    # One of four would be overrun: its region shares the load.
    assert near(instances) == (one, two, three)
    assert near(instances[1:]) == (two, three)
    assert near(instances[3:]) == instances[3:]
    assert Locality.of({}).candidates(instances) == instances


def test_the_place_of_the_gateway_is_in_its_environment(pool, asking, monkeypatch):
    monkeypatch.setenv("GATEWAY_ZONE", "b")
    for name in NAMES:
        instances = placed(pool, {"zone": "a"}, {"zone": "b"})
        balancer = build(name)
        assert {balancer.select(instances, asking()).endpoint.metadata["zone"] for _ in range(20)} == {"b"}
