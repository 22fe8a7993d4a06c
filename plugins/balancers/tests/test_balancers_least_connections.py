from __future__ import annotations

import gc
from collections import Counter
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from gateway_balancers.least_connections import LeastConnections
from gateway_balancers.load_table import MOST_VOID, LoadTables


def start(balancer, instances, exchange):
    """Begin an attempt, as the core does."""
    chosen = balancer.select(instances, exchange)
    chosen.in_flight += 1
    return chosen


def balancer_with(chance=0.5):
    return LeastConnections(LoadTables(lambda: chance))


def places(balancer):
    """Count the places in its queues, void ones too."""
    table = balancer._table
    count = sum(len(queue.entries) for queue in table._queues.values())
    assert count == table._entries
    return count


def load(instance):
    return Fraction(instance.in_flight, instance.weight)


def test_the_least_busy_is_taken(pool, asking):
    balancer, instances = balancer_with(), pool(1, 1, 1)
    instances[0].in_flight, instances[2].in_flight = 2, 1
    assert balancer.select(instances, asking()) is instances[1]


def test_attempts_are_spread_to_within_one(pool, asking):
    balancer, instances = balancer_with(), pool(*[1] * 7)
    for _ in range(100):
        start(balancer, instances, asking())
        busy = [instance.in_flight for instance in instances]
        assert max(busy) - min(busy) <= 1


def test_attempts_are_spread_by_weight(pool, asking):
    balancer, instances = balancer_with(), pool(5, 3, 2)
    for _ in range(100):
        start(balancer, instances, asking())
    assert [instance.in_flight for instance in instances] == [50, 30, 20]


def test_idle_instances_take_turns(pool, asking, release):
    balancer, instances = balancer_with(), pool(*[1] * 5)
    chosen = []
    for _ in range(15):
        chosen.append(start(balancer, instances, asking()))
        release(chosen[-1])
    assert all(set(chosen[turn : turn + 5]) == set(instances) for turn in (0, 5, 10))


def test_idle_instances_take_turns_by_weight(pool, asking, release):
    balancer, instances = balancer_with(), pool(3, 1)
    chosen = []
    for _ in range(40):
        chosen.append(start(balancer, instances, asking()))
        release(chosen[-1])
    assert Counter(instance.weight for instance in chosen) == {3: 30, 1: 10}


def test_who_was_busy_for_long_does_not_catch_up_on_its_turns(pool, asking, release):
    balancer, instances = balancer_with(), pool(1, 1)
    busy = start(balancer, instances, asking())
    for _ in range(20):
        release(start(balancer, instances, asking()))
    release(busy)
    chosen = []
    for _ in range(20):
        chosen.append(start(balancer, instances, asking()))
        release(chosen[-1])
    assert 9 <= chosen.count(busy) <= 11


def test_an_attempt_that_never_began_is_not_counted(pool, asking):
    balancer, instances = balancer_with(), pool(1, 1)
    chosen = [balancer.select(instances, asking()) for _ in range(4)]
    assert Counter(chosen) == {instances[0]: 2, instances[1]: 2}


def test_attempts_of_others_count(pool, asking, release):
    balancer, instances = balancer_with(), pool(1, 1, 1)
    for number, instance in enumerate(instances):
        instance.in_flight = 5 + number
    assert balancer.select(instances, asking()) is instances[0]
    instances[0].in_flight += 4
    assert balancer.select(instances, asking()) is instances[1]
    for _ in range(3):
        release(instances[2])
    assert balancer.select(instances, asking()) is instances[2]


@given(data=st.data())
def test_the_choice_is_the_least_busy_whatever_happened(pool, asking, release, data):
    balancer = LeastConnections()
    known = pool(*data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=6), label="weights"))
    some = st.lists(st.sampled_from(known), min_size=1, unique=True)
    instances, busy = known, []
    for step in data.draw(
        st.lists(st.sampled_from(["start", "start", "ask", "release", "foreign", "change"]), max_size=60), label="steps"
    ):
        if step in {"start", "ask"}:
            excluded = data.draw(st.lists(st.sampled_from(known), max_size=3), label="excluded")
            permitted = [each for each in instances if each not in excluded] or instances
            chosen = balancer.select(instances, asking(*excluded))
            assert load(chosen) == min(map(load, permitted))
            if step == "start":
                chosen.in_flight += 1
                busy.append(chosen)
        elif step == "release" and busy:
            release(busy.pop(data.draw(st.integers(0, len(busy) - 1))))
        elif step == "foreign":
            busy.append(data.draw(st.sampled_from(known)))
            busy[-1].in_flight += 1
        elif step == "change":
            instances = tuple(data.draw(some, label="instances"))


def test_releases_nobody_asks_about_do_not_pile_up(pool, asking, release):
    balancer, instances = balancer_with(), pool(*[1] * 4)
    balancer.select(instances, asking())
    for _ in range(1000):
        for instance in instances:
            instance.in_flight += 1
            release(instance)
    assert len(balancer._table._changed) <= 4
    assert places(balancer) <= 4


def test_places_do_not_pile_up_under_load(pool, asking, release, seeded):
    balancer, instances, rng = balancer_with(), pool(*[1] * 10), seeded(3)
    busy = [start(balancer, instances, asking()) for _ in range(200)]
    for _ in range(3000):
        release(busy.pop(rng.randrange(len(busy))))
        if rng.random() < 0.5:
            release(busy.pop(rng.randrange(len(busy))))
            busy.append(start(balancer, instances, asking()))
        busy.append(start(balancer, instances, asking()))
        assert places(balancer) <= 2 * 10 + MOST_VOID


def test_queues_that_nobody_is_in_are_forgotten(pool, asking, release):
    balancer, instances = balancer_with(), pool(1, 1, 3)
    busy = [start(balancer, instances, asking()) for _ in range(3 * MOST_VOID)]
    while busy:
        release(busy.pop())
        balancer.select(instances, asking())
    assert len(balancer._table._queues) <= 2 * 3 + MOST_VOID
    assert len(balancer._table._heap) <= len(balancer._table._queues)


def test_it_listens_to_the_present_instances_only(pool, asking):
    balancer, instances = balancer_with(), pool(1, 1, 0)
    for _ in range(3):
        balancer.select(instances, asking())
    assert [len(instance.release_listeners) for instance in instances] == [1, 1, 0]
    balancer.select(instances[1:2], asking())
    assert [len(instance.release_listeners) for instance in instances] == [0, 1, 0]


def test_listeners_of_others_are_left_alone(pool, asking):
    balancer, instances = balancer_with(), pool(1, 1)
    heard: list[object] = []
    theirs = heard.append
    for instance in instances:
        instance.release_listeners = (theirs,)
    balancer.select(instances, asking())
    balancer.select(instances[:1], asking())
    assert instances[1].release_listeners == (theirs,)


def test_a_balancer_that_is_gone_does_not_listen(pool, asking):
    balancer, instances = balancer_with(), pool(1, 1)
    balancer.select(instances, asking())
    del balancer
    gc.collect()
    assert [instance.release_listeners for instance in instances] == [(), ()]


def test_all_routes_to_a_service_share_one_table(pool, asking, release):
    tables = LoadTables()
    routes, instances = [LeastConnections(tables) for _ in range(10)], pool(*[1] * 5)
    chosen = []
    for route in routes:
        chosen.append(start(route, instances, asking()))
        release(chosen[-1])
    assert [len(instance.release_listeners) for instance in instances] == [1] * 5
    assert set(Counter(chosen).values()) == {2}


def test_services_do_not_share_a_table(pool, asking):
    tables = LoadTables()
    orders, users = LeastConnections(tables), LeastConnections(tables)
    assert orders.select(pool(1), asking()).service == "orders"
    assert users.select(pool(1, service="users"), asking()).service == "users"


def test_turns_are_kept_when_the_set_changes(pool, asking, release):
    balancer, instances = balancer_with(), pool(*[1] * 4)
    first = [start(balancer, instances, asking()) for _ in range(2)]
    for instance in first:
        release(instance)
    changed = tuple(reversed(instances))
    second = [start(balancer, changed, asking()) for _ in range(2)]
    assert {*first, *second} == set(instances)


def test_many_that_come_at_once_are_met_one_by_one(pool, asking, release):
    """Each of them is as idle as any other: nobody has less to do."""
    balancer, instances = balancer_with(), pool(*[1] * 5000)
    chosen = {start(balancer, instances, asking()) for _ in range(100)}
    assert len(chosen) == 100
    assert sum(bool(instance.release_listeners) for instance in instances) == 100


def test_those_that_others_use_are_not_taken_for_idle(pool, asking, release):
    balancer, instances = balancer_with(), pool(*[1] * 1000)
    for instance in instances[:-1]:
        instance.in_flight = 1
    chosen = [balancer.select(instances, asking()) for _ in range(5)]
    assert instances[-1] in chosen


def test_when_all_weights_change_at_once_the_order_holds(pool, asking, release):
    """A slow start changes the weight of everybody."""
    balancer, instances = balancer_with(), pool(*[1] * 600)
    for _ in instances:
        start(balancer, instances, asking())
    for instance in instances:
        instance.weight = 100
    instances[7].weight, instances[8].weight = 200, 10
    changed = (*instances,)
    assert balancer.select(changed, asking()) is instances[7]
    release(instances[3])
    assert balancer.select(changed, asking()) is instances[3]
