from __future__ import annotations

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_balancers import smooth_schedule
from gateway_balancers.smooth_schedule import SmoothSchedule, smooth_turns
from gateway_balancers.weighted_round_robin import WeightedRoundRobin

WEIGHTS = st.lists(st.integers(1, 15), min_size=1, max_size=8)


def take(turns, count):
    return [next(turns) for _ in range(count)]


def deviation(weights, taken, turns, before=0):
    """Return the most by which anyone is ever off their due.

    Args:
        weights: The weights.
        taken: How often each was taken before.
        turns: The turns that follow.
        before: How many were taken before.
    """
    taken, total, worst = list(taken), sum(weights), 0
    for turn, position in enumerate(turns, before + 1):
        taken[position] += 1
        worst = max(worst, *(abs(turn * weight - total * x) for weight, x in zip(weights, taken, strict=True)))
    return Fraction(worst, total)


def nginx(weights, count):
    """Return what nginx's smooth weighted round robin makes of ``weights``, written from its description."""
    backlog, turns = [0] * len(weights), []
    for _ in range(count):
        backlog = [each + weight for each, weight in zip(backlog, weights, strict=True)]
        position = backlog.index(max(backlog))
        backlog[position] -= sum(weights)
        turns.append(position)
    return turns


def longest_run(turns, position):
    around, run, longest = turns + turns, 0, 0
    for each in around:
        run = run + 1 if each == position else 0
        longest = max(longest, run)
    return longest


@pytest.mark.parametrize(
    ("weights", "turns"),
    [
        ((1,), "a"),
        ((1, 1), "ab"),
        ((3, 1), "aaba"),
        ((2, 2, 2), "abc"),
        ((5, 1, 1), "aabaaca"),
        ((4, 2, 1), "abaacab"),
        ((10, *[1] * 10), "abacadaeafagahaiajak"),
    ],
)
def test_turns_are_spread_evenly(weights, turns):
    schedule = SmoothSchedule(weights, lambda: 0.0)
    assert "".join("abcdefghijk"[position] for position in take(schedule, len(turns))) == turns
    assert schedule.cycle == len(turns)


def test_a_heavy_instance_is_interleaved_as_nginx_does_it():
    for weights in ([5, 1, 1], [10, *[1] * 10], [50, *[1] * 50], [7, 3, 2], [20, 5, 5, 5]):
        ours, theirs = take(SmoothSchedule(weights, lambda: 0.0), sum(weights)), nginx(weights, sum(weights))
        assert longest_run(ours, 0) <= longest_run(theirs, 0)


def test_turns_are_about_as_even_as_those_of_nginx_and_never_beyond_the_bound(seeded):
    rng, ours, theirs = seeded(1), [], []
    for _ in range(150):
        weights = [rng.randint(1, rng.choice((2, 5, 12, 40))) for _ in range(rng.randint(2, 12))]
        none = [0] * len(weights)
        ours.append(deviation(weights, none, take(SmoothSchedule(weights, rng.random), sum(weights))))
        theirs.append(deviation(weights, none, nginx(weights, sum(weights))))
        assert ours[-1] <= 1 - Fraction(1, 2 * len(weights) - 2)
    assert sum(ours) <= Fraction(6, 5) * sum(theirs)
    assert max(ours) < 1


@given(weights=WEIGHTS, seed=st.integers(0, 99))
def test_nobody_is_ever_further_off_than_tijdeman_promises(weights, seed, seeded):
    turns = take(SmoothSchedule(weights, seeded(seed).random), 2 * sum(weights))
    assert deviation(weights, [0] * len(weights), turns) <= 1 - Fraction(1, max(2 * len(weights) - 2, 1))


@given(weights=WEIGHTS)
def test_nobody_is_ever_a_whole_turn_off(weights):
    assert (
        deviation(
            weights, [0] * len(weights), take(smooth_turns(range(len(weights)), weights, lambda: 0.0), 2 * sum(weights))
        )
        < 1
    )


@given(weights=WEIGHTS, chance=st.floats(0, 1, exclude_max=True), skipped=st.integers(0, 50))
def test_every_stretch_as_long_as_a_cycle_has_exact_proportions(weights, chance, skipped):
    turns = smooth_turns(range(len(weights)), weights, lambda: chance)
    take(turns, skipped)
    assert Counter(take(turns, sum(weights))) == dict(enumerate(weights))


@given(weights=WEIGHTS, data=st.data())
def test_a_jump_keeps_the_promise_and_later_cycles_are_exact(weights, data):
    schedule = SmoothSchedule(weights, lambda: 0.0)
    begin = data.draw(st.integers(0, schedule.cycle - 1))
    schedule.jump_to(begin)
    taken = list(schedule._taken)
    assert sum(taken) == begin
    rest = take(schedule, schedule.cycle - begin)
    reduced = schedule._weights
    assert deviation(reduced, taken, rest, before=begin) <= 1 - Fraction(1, max(2 * len(weights) - 2, 1))
    assert Counter(rest) + Counter(dict(enumerate(taken))) == dict(enumerate(reduced))
    assert Counter(take(schedule, schedule.cycle)) == dict(enumerate(reduced))


def test_long_cycles_are_exact_too(seeded):
    weights = [997, 991, 3, 3]
    turns = smooth_turns(range(len(weights)), weights, seeded(1).random)
    take(turns, sum(weights))
    assert Counter(take(turns, sum(weights))) == dict(enumerate(weights))


@pytest.mark.parametrize("kinds", [2, 5, 40])
def test_among_many_all_shares_are_exact_and_nobody_is_far_from_its_due(kinds, seeded):
    rng = seeded(kinds)
    weights = [rng.randint(1, kinds) for _ in range(1500)] + [100]
    turns = take(smooth_turns(range(len(weights)), weights, rng.random), 4 * sum(weights))
    groups = sorted(set(weights))
    assert len(groups) > 1
    shares = [weight * weights.count(weight) for weight in groups]
    assert deviation(shares, [0] * len(groups), [groups.index(weights[position]) for position in turns]) < 3 + 3
    taken = Counter(turns)
    assert all(abs(taken[position] - 4 * weight) <= 6 for position, weight in enumerate(weights))


def test_enormous_weights_are_not_written_out(seeded):
    weights = [10**6, 10**6 - 1, 1]
    turns = take(smooth_turns(range(len(weights)), weights, seeded(3).random), 1000)
    assert abs(turns.count(0) - turns.count(1)) <= 2


@pytest.mark.parametrize("written", [0, 1024])
def test_the_first_turn_is_as_likely_as_its_weight(written, monkeypatch):
    """Envoy's issue 31378: begun at the beginning, it would always be the heaviest."""
    monkeypatch.setattr(smooth_schedule, "WRITTEN_CYCLE", written)
    weights = [70, 20, 9, 1]

    def first(chance):
        return next(smooth_turns(range(len(weights)), weights, lambda: chance))

    firsts = Counter(first(begin / 100 + 1e-9) for begin in range(100))
    assert all(abs(firsts[position] - weight) <= (0 if written else 3) for position, weight in enumerate(weights))


@pytest.mark.parametrize(
    "weights",
    [
        [*[128] * 100, *[10] * 10],  # Envoy's pull request 10064, where the light ones got nothing
        [*range(1000, 1050), *[999] * 50, *range(10, 20)],
    ],
)
def test_light_instances_do_not_starve_when_the_set_changes_often(weights, pool, asking, seeded):
    instances = pool(*weights)
    balancer = WeightedRoundRobin(seeded(5).random)
    light = 0
    for _ in range(500):
        changed = (*instances,)  # equal, but not the same
        light += sum(balancer.select(changed, asking()).weight < 20 for _ in range(20))
    assert light == pytest.approx(500 * 20 * sum(weight for weight in weights if weight < 20) / sum(weights), rel=0.5)


def test_an_excluded_instance_gets_no_burst_when_it_is_back(pool, asking):
    instances = pool(4, 4, 4)
    balancer = WeightedRoundRobin(lambda: 0.0)
    for _ in range(500):
        assert balancer.select(instances, asking(instances[0])) is not instances[0]
    after = [balancer.select(instances, asking()) for _ in range(6)]
    assert after.count(instances[0]) == 2


def test_a_turn_of_an_excluded_instance_goes_to_the_others_by_weight(pool, asking, seeded):
    instances = pool(6, 3, 1)
    balancer = WeightedRoundRobin(seeded(2).random)
    chosen = Counter(balancer.select(instances, asking(instances[0])).id for _ in range(4000))
    assert chosen["1"] / chosen["2"] == pytest.approx(3, rel=0.15)


def test_changed_weights_are_taken_over(pool, asking):
    balancer = WeightedRoundRobin()
    for weights in ((3, 1), (1, 3), (1, 1)):
        instances = pool(*weights)
        chosen = Counter(balancer.select(instances, asking()).weight for _ in range(40))
        assert chosen == Counter(dict.fromkeys(weights, 0)) + Counter(
            weight for weight in weights for _ in range(40 * weight // sum(weights))
        )
