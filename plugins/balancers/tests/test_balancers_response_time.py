"""Peak EWMA, and what it makes of instances that differ."""

from __future__ import annotations

from heapq import heappop, heappush
from math import exp

import pytest

from gateway.testing import ManualClock
from gateway_balancers.adaptive import LEAST_SHARE, Adaptive
from gateway_balancers.latency_table import LatencyTable
from gateway_balancers.power_of_two import PowerOfTwo
from gateway_balancers.response_time import ResponseTime
from gateway_balancers.weighted_round_robin import WeightedRoundRobin


def test_a_peak_counts_at_once_and_is_forgotten_by_and_by(pool, clock):
    (one,), table = pool(1), LatencyTable(10.0, clock)
    table.follow([one])
    assert table.latency_s(0) == 0
    one.latency_s = float("0.1")
    assert table.latency_s(0) == 0.1
    one.latency_s = float("2.0")
    assert table.latency_s(0) == 2.0
    clock.advance(10)
    one.latency_s = float("0.1")
    assert table.latency_s(0) == pytest.approx(2 * exp(-1) + 0.1 * (1 - exp(-1)))


def test_what_is_not_asked_becomes_attractive_again(pool, clock):
    (one,), table = pool(1), LatencyTable(10.0, clock)
    table.follow([one])
    one.latency_s = 5.0
    table.latency_s(0)
    clock.advance(30)
    assert table.latency_s(0) == pytest.approx(5 * exp(-3))


def test_what_is_known_outlives_a_change_of_the_others(pool, clock):
    table, (one, two, three) = LatencyTable(10.0, clock), pool(1, 1, 1)
    one.latency_s, two.latency_s = 1.0, 2.0
    table.follow([one, two])
    clock.advance(10)
    two.latency_s = 0.0
    table.follow([three, two])
    assert [table.latency_s(0), table.latency_s(1)] == [0.0, pytest.approx(2 * exp(-1))]
    clock.advance(10)
    table.follow([two, one, three])
    assert [table.latency_s(0), table.latency_s(1)] == [pytest.approx(2 * exp(-2)), 1.0]


def test_a_clock_that_jumps_back_does_no_harm(pool, clock):
    (one,), table = pool(1), LatencyTable(10.0, clock)
    table.follow([one])
    one.latency_s = 1.0
    table.latency_s(0)
    clock.advance(-1_000_000)
    one.latency_s = 0.5
    assert table.latency_s(0) <= 1.0


def test_what_is_new_is_asked_once_and_then_waited_for(pool, asking, clock):
    balancer, (known, new) = ResponseTime(10.0, lambda: 0.3, clock=clock), pool(1, 1)
    known.latency_s = 0.2
    assert balancer.select((known, new), asking()) is new
    new.in_flight = 1
    assert balancer.select((known, new), asking()) is known
    new.in_flight, new.latency_s = 0, 0.1
    assert balancer.select((known, new), asking()) is new


@pytest.fixture
def mean_latency_s(pool, asking, release, seeded):
    """Run requests at a rate over servers with one place each, in order of arrival; returns the mean time they take."""

    def run(make, services_s, *, rate, count=6000, change=None):
        clock, rng, exchange = ManualClock(0.0), seeded(5), asking()
        instances = pool(*[1] * len(services_s))
        balancer = make(rng.random, clock)
        free_s = dict.fromkeys(instances, 0.0)
        service_s = dict(zip(instances, services_s, strict=True))
        done: list = []
        took, asked = [], []
        for number in range(count):
            clock.advance(rng.expovariate(rate))
            if change is not None and number == count // 2:
                service_s[instances[0]] = change
            while done and done[0][0] <= clock():
                ended_s, _, instance, began_s = heappop(done)
                instance.latency_s = ended_s - began_s
                release(instance)
            instance = balancer.select(instances, exchange)
            instance.in_flight += 1
            asked.append(instance)
            free_s[instance] = max(free_s[instance], clock()) + rng.expovariate(1 / service_s[instance])
            took.append(free_s[instance] - clock())
            heappush(done, (free_s[instance], number, instance, clock()))
        tail = asked[count * 3 // 4 :]
        return sum(took) / count, tail.count(instances[0]) / len(tail), balancer

    return run


def response_time(random, clock):
    return ResponseTime(5.0, random, clock=clock)


def two(random, clock):
    return PowerOfTwo(random)


def turns(random, clock):
    return WeightedRoundRobin(random)


def adaptive(random, clock):
    return Adaptive([turns(random, clock), two(random, clock), response_time(random, clock)], random)


SLOW = [1.0, *[0.1] * 9]
"""One instance is ten times slower; the others can do 90 in a second."""


def test_a_slow_instance_is_left_nearly_alone(mean_latency_s):
    """The optimum is a queue for the fast ones alone: they are at half load, and hardly ever wait."""
    mean_s, share, _ = mean_latency_s(response_time, SLOW, rate=45)
    blind_s, *_ = mean_latency_s(turns, SLOW, rate=45)
    by_load_s, *_ = mean_latency_s(two, SLOW, rate=45)
    assert mean_s < 0.1 * 1.7
    assert mean_s < by_load_s
    assert mean_s < blind_s / 20
    assert share < 0.02


def test_equal_instances_get_equal_shares(mean_latency_s):
    _, share, _ = mean_latency_s(response_time, [0.1] * 5, rate=25)
    assert share == pytest.approx(0.2, abs=0.04)


def test_an_instance_that_recovers_gets_its_share_again(mean_latency_s):
    _, share, _ = mean_latency_s(response_time, [3.0, *[0.1] * 4], rate=25, change=0.1)
    assert share == pytest.approx(0.2, abs=0.05)


def test_adaptive_finds_out_what_works(mean_latency_s):
    """Next to as good as the best of its ways, and much better than the worst."""
    best_s, *_ = mean_latency_s(response_time, SLOW, rate=45)
    worst_s, *_ = mean_latency_s(turns, SLOW, rate=45)
    mean_s, _, balancer = mean_latency_s(adaptive, SLOW, rate=45)
    assert mean_s < worst_s / 5
    assert mean_s < best_s * 4
    assert balancer.shares[0] == min(balancer.shares) < 0.2
    assert sum(balancer.shares) == pytest.approx(1)
    assert min(balancer.shares) >= LEAST_SHARE


def test_where_all_ways_are_alike_adaptive_keeps_them_all(mean_latency_s):
    *_, balancer = mean_latency_s(adaptive, [0.1] * 10, rate=10)
    assert min(balancer.shares) > 0.15
