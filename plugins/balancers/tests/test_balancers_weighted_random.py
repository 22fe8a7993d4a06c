from __future__ import annotations

from collections import Counter
from math import nextafter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_balancers.shares import BATCH, Shares, step_over
from gateway_balancers.weighted_random import WeightedRandom


def test_instances_are_drawn_as_often_as_their_weight_says(pool, asking, seeded):
    balancer, instances = WeightedRandom(seeded(1).random), pool(6, 3, 1)
    drawn = Counter(balancer.select(instances, asking()).weight for _ in range(20_000))
    # Three standard deviations of a binomial: 3 * sqrt(n p (1 - p)) is 147 at most.
    assert all(abs(drawn[weight] - 2000 * weight) <= 210 for weight in (6, 3, 1))


@given(weights=st.lists(st.integers(1, 50), min_size=1, max_size=8))
def test_every_point_of_the_line_belongs_to_one_position(pool, weights):
    total = sum(weights)
    chance = iter((point + 0.5) / total for point in range(total))
    instances = pool(*weights)
    shares = Shares(instances, lambda: next(chance))
    drawn = Counter(shares.line[shares.draw()] for _ in range(total))
    assert [drawn[instance] for instance in instances] == weights


@given(weights=st.lists(st.integers(1, 50), min_size=1, max_size=8), seed=st.integers(0, 9))
def test_a_batch_is_what_would_be_drawn_one_by_one(pool, seeded, weights, seed):
    instances = pool(*weights)
    batch, single = Shares(instances, seeded(seed).random), Shares(instances, seeded(seed).random)
    assert batch.draw_batch() == [single.draw() for _ in range(BATCH)]


@given(weights=st.lists(st.integers(1, 20), min_size=2, max_size=8), data=st.data())
def test_without_the_excluded_the_others_keep_their_proportions(pool, weights, data):
    instances = pool(*weights)
    excluded = data.draw(st.lists(st.sampled_from(instances), max_size=len(weights) - 1))
    others = {each: each.weight for each in instances if each not in excluded}
    total = sum(others.values())
    chance = iter((point + 0.5) / total for point in range(total))
    shares = Shares(instances, lambda: next(chance))
    taken = shares.positions(excluded)
    assert Counter(shares.line[shares.draw_but(taken)] for _ in range(total)) == others


@pytest.mark.parametrize("total", [3, 10, 2**20 + 1, 10**9, 2**40 - 1])
def test_the_largest_chance_stays_on_the_line(pool, total):
    shares = Shares(pool(total - 1, 1), lambda: nextafter(1, 0))
    assert shares.draw() == 1
    assert shares.draw_but([0]) == 1
    assert shares.draw_but([1]) == 0


def test_when_everyone_is_excluded_nobody_is_spared(pool):
    instances = pool(1, 2)
    assert Shares(instances, lambda: 0.0).positions([*instances, *pool(5)]) == []


@given(taken=st.sets(st.integers(0, 12)))
def test_stepping_over_counts_only_the_others(taken):
    others = [position for position in range(40) if position not in taken]
    assert [step_over(position, sorted(taken)) for position in range(20)] == others[:20]
