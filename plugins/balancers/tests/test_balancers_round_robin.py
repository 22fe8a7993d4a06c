from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from gateway_balancers.round_robin import RoundRobin


def picks(balancer, instances, exchange, count):
    return [balancer.select(instances, exchange).id for _ in range(count)]


def test_each_instance_comes_in_turn(pool, asking):
    balancer = RoundRobin(lambda: 0.5)
    assert picks(balancer, pool(1, 1, 1), asking(), 7) == ["2", "0", "1", "2", "0", "1", "2"]


def test_weights_do_not_matter(pool, asking):
    assert Counter(picks(RoundRobin(), pool(9, 1, 5), asking(), 30)) == {"0": 10, "1": 10, "2": 10}


def test_a_change_goes_on_from_the_same_place(pool, asking):
    balancer, instances = RoundRobin(lambda: 0.99), pool(1, 1, 1, 1)
    assert picks(balancer, instances[:3], asking(), 2) == ["0", "1"]
    assert picks(balancer, instances, asking(), 2) == ["2", "3"]
    assert picks(balancer, instances[:2], asking(), 2) == ["0", "1"]


def test_excluded_instances_are_stepped_over(pool, asking):
    balancer, instances = RoundRobin(lambda: 0.99), pool(1, 1, 1, 1)
    assert picks(balancer, instances, asking(instances[0], instances[1]), 4) == ["2", "3", "2", "3"]
    assert picks(balancer, instances, asking(*instances), 1) != []


def test_what_is_excluded_for_long_is_made_up_for_by_everyone_else(pool, asking):
    instances = pool(1, 1, 1, 1)
    assert Counter(picks(RoundRobin(), instances, asking(instances[1]), 30)) == {"0": 10, "2": 10, "3": 10}


@given(count=st.integers(1, 20), chance=st.floats(0, 1, exclude_max=True), turns=st.integers(1, 200))
def test_nobody_is_ever_more_than_one_ahead(pool, asking, count, chance, turns):
    seen = Counter(picks(RoundRobin(lambda: chance), pool(*[1] * count), asking(), turns))
    assert max(seen.values()) - min(seen[str(number)] for number in range(count)) <= 1
