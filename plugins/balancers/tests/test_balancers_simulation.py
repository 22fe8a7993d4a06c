"""Queues behind each balancer, against what queueing theory says of them.

Requests arrive at random (Poisson) at 0.8 of what the instances can do and take exponential time. Time is the number
of events of the uniformised chain: each is an arrival or the end of a service somewhere, or nothing where nobody was
served.
"""

from __future__ import annotations

from math import exp

import pytest

from gateway_balancers.least_connections import LeastConnections
from gateway_balancers.load_table import LoadTables
from gateway_balancers.power_of_two import PowerOfTwo
from gateway_balancers.round_robin import RoundRobin
from gateway_balancers.weighted_random import WeightedRandom
from gateway_balancers.weighted_round_robin import WeightedRoundRobin

INSTANCES = 100
LOAD = 0.8


@pytest.fixture(scope="module")
def mean_in_flight(pool, asking, release, seeded):
    """Run the chain and return how many attempts an instance has in flight on average."""

    def run(balancer, *, events=60_000, warm_up=15_000):
        rng, instances, exchange = seeded(11), pool(*[1] * INSTANCES), asking()
        busy = total = 0
        for event in range(events):
            if rng.random() * (1 + LOAD) < LOAD:
                balancer.select(instances, exchange).in_flight += 1
                busy += 1
            elif (instance := instances[int(rng.random() * INSTANCES)]).in_flight:
                release(instance)
                busy -= 1
            if event >= warm_up:
                total += busy
        return total / (events - warm_up) / INSTANCES

    return run


def test_random_choice_makes_each_instance_a_queue_of_its_own(mean_in_flight, seeded):
    """M/M/1: load / (1 - load)."""
    assert mean_in_flight(WeightedRandom(seeded(1).random)) == pytest.approx(LOAD / (1 - LOAD), rel=0.15)


@pytest.mark.parametrize("make", [RoundRobin, WeightedRoundRobin])
def test_taking_turns_makes_arrivals_regular(mean_in_flight, seeded, make):
    """D/M/1 in the limit of many instances: load / (1 - s), where s = exp(-(1 - s) / load)."""
    s = 0.5
    for _ in range(200):
        s = exp(-(1 - s) / LOAD)
    assert mean_in_flight(make(seeded(1).random)) == pytest.approx(LOAD / (1 - s), rel=0.15)


def test_two_choices_make_long_queues_doubly_exponentially_rare(mean_in_flight, seeded):
    """At least i in flight at a share load ** (2 ** i - 1) of the instances (Mitzenmacher 2001)."""
    expected = sum(LOAD ** (2**i - 1) for i in range(1, 20))
    assert mean_in_flight(PowerOfTwo(seeded(1).random)) == pytest.approx(expected, rel=0.1)


def test_least_connections_is_next_to_the_optimum(mean_in_flight, seeded):
    """No balancer can have less in flight than one queue for all (M/M/n), which is the load itself here."""
    busy = mean_in_flight(LeastConnections(LoadTables(seeded(1).random)))
    assert LOAD * 0.95 <= busy <= LOAD * 1.1


def test_of_as_many_attempts_as_instances_two_choices_put_few_on_one(pool, asking, seeded):
    """Azar, Broder, Karlin and Upfal 1994: ln ln n / ln 2 + O(1) against ln n / ln ln n for one choice."""
    fullest = {}
    for make in (PowerOfTwo, WeightedRandom):
        instances, balancer = pool(*[1] * 1000), make(seeded(9).random)
        for _ in instances:
            balancer.select(instances, asking()).in_flight += 1
        fullest[make] = max(instance.in_flight for instance in instances)
    assert fullest[PowerOfTwo] <= 4
    assert fullest[WeightedRandom] > fullest[PowerOfTwo]
