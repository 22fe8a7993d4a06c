from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import NoConfig
from gateway_balancers import plugin
from gateway_balancers.candidates import candidates
from gateway_balancers.power_of_two import PowerOfTwo
from gateway_balancers.round_robin import RoundRobin
from gateway_balancers.weighted_random import WeightedRandom
from gateway_balancers.weighted_round_robin import WeightedRoundRobin

NAMES = ("round_robin", "weighted_round_robin", "weighted_random", "least_connections", "power_of_two")


def build(name: str, kept: dict[str, Any] | None = None):
    kept = {} if kept is None else kept
    context = SimpleNamespace(keep=lambda key, make: kept.setdefault(key, make()))
    (registration,) = [each for each in plugin.gateway_register_balancers() if each.name == name]
    return registration.build(NoConfig(), cast("Any", context))


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
    assert {each.id for each in (balancer.select(instances, asking()) for _ in range(50))} == {"1", "3"}
    assert {each.id for each in (balancer.select(instances, asking(instances[1])) for _ in range(50))} == {"3"}


@pytest.mark.parametrize("name", NAMES)
def test_weight_0_everywhere_is_the_same_weight_everywhere(name, pool, asking):
    balancer, instances = build(name), pool(0, 0, 0)
    assert {balancer.select(instances, asking()) for _ in range(100)} == set(instances)


def test_candidates_are_those_with_a_weight_or_all(pool):
    for weights, taking in (((0, 0), "01"), ((1, 2), "01"), ((0, 2, 0), "1")):
        assert [each.id for each in candidates(pool(*weights))] == list(taking)


@pytest.mark.parametrize("name", NAMES)
def test_routes_and_workers_begin_at_different_instances(name, pool, asking):
    instances = pool(*[1] * 5)
    assert {build(name).select(instances, asking()) for _ in range(200)} == set(instances)


@pytest.mark.parametrize("name", NAMES)
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


@pytest.mark.parametrize("name", NAMES)
def test_a_retry_is_spread_over_everyone_else(name, pool, asking):
    balancer, instances = build(name), pool(1, 1, 1, 1)
    chosen = [balancer.select(instances, asking(instances[2])) for _ in range(300)]
    for other in (instances[0], instances[1], instances[3]):
        assert 60 <= chosen.count(other) <= 140


@pytest.mark.parametrize("make", [RoundRobin, WeightedRoundRobin, WeightedRandom, PowerOfTwo])
def test_the_same_chance_makes_the_same_choices(make, pool, asking, seeded):
    one, other, instances = make(seeded(7).random), make(seeded(7).random), pool(3, 1, 2)
    assert all(one.select(instances, asking()) is other.select(instances, asking()) for _ in range(50))
