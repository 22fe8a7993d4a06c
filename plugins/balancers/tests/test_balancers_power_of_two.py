from __future__ import annotations

from collections import Counter

import pytest

from gateway_balancers.power_of_two import PowerOfTwo


def test_the_less_busy_of_two_is_taken(pool, asking, seeded):
    instances = pool(1, 1)
    instances[0].in_flight = 1
    balancer = PowerOfTwo(seeded(1).random)
    assert {balancer.select(instances, asking()).id for _ in range(50)} == {"1"}


def test_the_busiest_is_never_taken_because_two_different_ones_are_drawn(pool, asking, seeded):
    instances = pool(1, 1, 1)
    instances[2].in_flight = 9
    balancer = PowerOfTwo(seeded(1).random)
    assert {balancer.select(instances, asking()).id for _ in range(200)} == {"0", "1"}


def test_what_is_in_flight_counts_for_its_weight(pool, asking, seeded):
    instances = pool(4, 1)
    instances[0].in_flight, instances[1].in_flight = 3, 1
    balancer = PowerOfTwo(seeded(1).random)
    assert {balancer.select(instances, asking()).weight for _ in range(50)} == {4}
    instances[0].in_flight = 5
    assert {balancer.select(instances, asking()).weight for _ in range(50)} == {1}


def test_an_idle_service_is_used_by_weight(pool, asking, seeded):
    balancer, instances = PowerOfTwo(seeded(1).random), pool(6, 3, 1)
    drawn = Counter(balancer.select(instances, asking()).weight for _ in range(20_000))
    assert all(drawn[weight] == pytest.approx(2000 * weight, rel=0.08) for weight in (6, 3, 1))


def test_each_pair_is_drawn_equally_often(pool, asking, seeded):
    """Draws 3 out of 4 by making one too busy, so that the pairs show in who wins."""
    instances = pool(1, 1, 1, 1)
    for rank, instance in enumerate(instances):
        instance.in_flight = rank
    balancer = PowerOfTwo(seeded(4).random)
    wins = Counter(balancer.select(instances, asking()).id for _ in range(12_000))
    # The least busy is in 3 of 6 pairs, the next wins 2, then 1, then none.
    assert [wins[str(rank)] for rank in range(4)] == [pytest.approx(6000, rel=0.05), pytest.approx(4000, rel=0.05),
                                                      pytest.approx(2000, rel=0.08), 0]  # fmt: skip


def test_excluded_instances_are_in_no_pair(pool, asking, seeded):
    instances = pool(1, 1, 1, 1)
    instances[3].in_flight = 5
    balancer = PowerOfTwo(seeded(1).random)
    chosen = Counter(balancer.select(instances, asking(instances[0], instances[0])).id for _ in range(300))
    assert chosen.keys() == {"1", "2"}
    assert balancer.select(instances, asking(*instances[:3])) is instances[3]
