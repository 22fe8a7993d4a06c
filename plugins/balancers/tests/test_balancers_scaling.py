"""What a selection costs as the number of instances grows, in bytecode instructions: time would tell of the machine."""

from __future__ import annotations

import importlib.util
import sys
from unittest.mock import patch

import pytest

from gateway_balancers import load_table, shares, smooth_schedule
from gateway_balancers.adaptive import Adaptive
from gateway_balancers.consistent_hash import ConsistentHash
from gateway_balancers.least_connections import LeastConnections
from gateway_balancers.load_table import LoadTables
from gateway_balancers.power_of_two import PowerOfTwo
from gateway_balancers.response_time import ResponseTime
from gateway_balancers.round_robin import RoundRobin
from gateway_balancers.smooth_schedule import SmoothSchedule
from gateway_balancers.weighted_random import WeightedRandom
from gateway_balancers.weighted_round_robin import WeightedRoundRobin

FEW, MANY = 16, 512
GROWTH = 9 / 4
"""What of their logarithms is."""


def in_python(name):
    """Import a module of the standard library without its C half, so that its work can be counted too."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with patch.dict(sys.modules, {f"_{name}": None}):
        spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def _count_heaps_and_searches(monkeypatch):
    heapq, bisect = in_python("heapq"), in_python("bisect")
    for module in (load_table, smooth_schedule):
        for name in ("heapify", "heappop", "heappush", "heapreplace"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, getattr(heapq, name))
    monkeypatch.setattr(shares, "bisect_right", bisect.bisect_right)


def instructions(work):
    """Return how many bytecode instructions ``work`` executes."""
    count = 0

    def trace(frame, event, _):
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


@pytest.fixture
def cost(pool, asking, release, seeded):
    """Return the mean cost of a selection and of what becomes of it, once everything is made."""

    def measure(make, count, excluded=0, selections=1200, busy=None, known=1):
        rng = seeded(count)
        instances = pool(*[rng.randint(1, 3) for _ in range(count)])
        balancer, exchange, limit, under_way = make(rng.random), asking(*instances[:excluded]), busy or count, []

        def work(times=selections):
            for _ in range(times):
                chosen = balancer.select(instances, exchange)
                chosen.in_flight += 1
                under_way.append(chosen)
                if len(under_way) > limit:
                    release(under_way.pop(int(rng.random() * limit)))

        work(known)
        return instructions(work) / selections

    return measure


def least_connections(random):
    return LeastConnections(LoadTables(random))


def response_time(random):
    return ResponseTime(10.0, random)


def adaptive(random):
    return Adaptive([WeightedRoundRobin(random), PowerOfTwo(random), response_time(random)], random)


def by_path(random):
    return ConsistentHash(["path"], 0)


def by_path_within_bounds(random):
    return ConsistentHash(["path"], 1.25)


ALL = [
    RoundRobin,
    WeightedRandom,
    WeightedRoundRobin,
    PowerOfTwo,
    least_connections,
    response_time,
    adaptive,
    by_path,
]


@pytest.mark.parametrize("excluded", [0, 2])
@pytest.mark.parametrize("make", ALL)
def test_a_selection_costs_no_more_than_the_logarithm(make, excluded, cost):
    assert cost(make, MANY, excluded) <= cost(make, FEW, excluded) * GROWTH


def test_turns_of_many_different_weights_cost_no_more_than_the_logarithm(seeded):
    def cost_of_a_turn(count):
        schedule = SmoothSchedule(range(1, count + 1), seeded(count).random)
        schedule.jump_to(schedule.cycle // 3)
        return instructions(lambda: [next(schedule) for _ in range(1500)]) / 1500

    assert cost_of_a_turn(MANY) <= cost_of_a_turn(FEW) * GROWTH


@pytest.mark.parametrize("make", ALL)
def test_a_selection_among_thousands_costs_what_it_costs_among_ten(make, cost):
    # As many attempts under way, and everybody known.
    assert cost(make, 2500, busy=10, known=5000) <= cost(make, 10, busy=10, known=5000) * 1.1


def test_the_counting_sees_what_is_linear(cost):
    """The check itself: a balancer that looks at every instance must fail it."""

    class Looking:
        def __init__(self, random):
            pass

        def select(self, instances, exchange):
            return min((instance for instance in instances), key=lambda instance: instance.in_flight)

    assert cost(Looking, MANY, selections=40) > cost(Looking, FEW, selections=40) * GROWTH * 4
