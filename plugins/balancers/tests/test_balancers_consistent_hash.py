"""Consistent hashing: how even, how stable, and how it bounds the load."""

from __future__ import annotations

from collections import Counter
from math import ceil
from statistics import pstdev
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway import Exchange, Headers, Request
from gateway_balancers.config import ConsistentHashConfig
from gateway_balancers.consistent_hash import ConsistentHash
from gateway_balancers.hash_keys import key_finder
from gateway_balancers.hash_ring import POINTS, HashRing

KEYS = [b"user-%d" % number for number in range(20_000)]


def owners(instances, keys=KEYS):
    ring = HashRing()
    ring.become(instances)
    return [ring.at(ring.owner(key)) for key in keys]


def asking_for(path: str, *excluded: Any) -> Exchange:
    exchange = Exchange(Request("GET", path), cast("Any", None))
    exchange.excluded = excluded
    return exchange


# How even.


@pytest.mark.parametrize("count", [3, 10, 100])
def test_keys_are_spread_evenly(pool, count):
    """Shares deviate by about a tenth; with a binomial's chance of so many keys on top. The optimum is that alone."""
    loads = Counter(owners(pool(*[1] * count)))
    mean = len(KEYS) / count
    by_chance = mean**0.5
    assert pstdev(loads.values()) < ((0.12 * mean) ** 2 + by_chance**2) ** 0.5
    assert max(loads.values()) < mean * 1.25 + 3 * by_chance
    assert min(loads.values()) > mean * 0.7 - 3 * by_chance


def test_weights_are_shares(pool):
    instances = pool(1, 2, 5)
    loads = Counter(owners(instances))
    for instance in instances:
        assert loads[instance] / len(KEYS) == pytest.approx(instance.weight / 8, rel=0.25)


# How stable.


def test_only_the_keys_of_an_instance_that_goes_move(pool):
    instances = pool(*[1] * 10)
    before, after = owners(instances), owners(instances[:4] + instances[5:])
    moved = [(was, now) for was, now in zip(before, after, strict=True) if was is not now]
    assert {was for was, _ in moved} == {instances[4]}
    # And evenly to the others: nobody gets more than twice its due of them.
    assert max(Counter(now for _, now in moved).values()) < len(moved) / 9 * 2


def test_a_new_instance_takes_its_share_and_nothing_else_moves(pool):
    instances = pool(*[1] * 11)
    before, after = owners(instances[:10]), owners(instances)
    moved = [(was, now) for was, now in zip(before, after, strict=True) if was is not now]
    assert {now for _, now in moved} == {instances[10]}
    assert len(moved) / len(KEYS) == pytest.approx(1 / 11, rel=0.25)


def test_keys_come_back_with_their_instance(pool):
    instances = pool(*[1] * 20)
    ring = HashRing()
    ring.become(instances)
    before = [ring.at(ring.owner(key)) for key in KEYS[:2000]]
    for gone in (instances[3:4], instances[5:9], instances[:18]):
        ring.become([each for each in instances if each not in gone])
        ring.become(instances)
        assert [ring.at(ring.owner(key)) for key in KEYS[:2000]] == before


def test_every_worker_and_gateway_agrees(pool):
    assert [each.id for each in owners(pool(1, 1, 1))] == [each.id for each in owners(pool(1, 1, 1))]


weights = st.dictionaries(st.integers(0, 30), st.integers(1, 4), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(changes=st.lists(weights, min_size=1, max_size=6))
def test_however_it_came_about_a_ring_is_the_same(pool, changes):
    everybody = pool(*[1] * 31)
    changed = HashRing()
    instances: list[Any] = []
    for present in changes:
        for number, weight in present.items():
            everybody[number].endpoint = type(everybody[number].endpoint)(
                address=f"host-{number}", port=80, weight=weight
            )
        instances = [everybody[number] for number in present]
        changed.become(instances)
    fresh = HashRing()
    fresh.become(instances)
    assert changed._points == fresh._points
    assert changed._owners == fresh._owners


def test_ten_thousand_instances_are_changed_quickly(pool):
    """In moves of memory and dictionary look-ups, not in hashes: those of the others stay as they are."""
    instances = pool(*[1] * 10_000)
    ring = HashRing()
    ring.become(instances)
    assert len(ring) == 10_000 * POINTS
    kept = ring._points
    ring.become(instances[1:])
    assert ring._points is kept
    assert len(ring) == 9_999 * POINTS


# A retry.


def test_a_retry_goes_on_around_the_ring_to_the_same_one_each_time(pool):
    instances = pool(*[1] * 5)
    balancer = ConsistentHash(["path"], 0)
    first = balancer.select(instances, asking_for("/a"))
    second = balancer.select(instances, asking_for("/a", first))
    assert second is not first
    assert balancer.select(instances, asking_for("/a", first)) is second
    assert balancer.select(instances, asking_for("/a", *instances)) is first


# A bound.


def test_nobody_has_more_than_the_bound(pool):
    """All requests are for one key: without a bound one instance would have them all."""
    instances = pool(*[1] * 10)
    balancer = ConsistentHash(["path"], 1.25)
    for total in range(1, 401):
        balancer.select(instances, asking_for("/hot")).in_flight += 1
        # The average is counted anew each time with so few instances.
        assert max(each.in_flight for each in instances) <= ceil(1.25 * total / 10) + 1
    assert sorted(each.in_flight for each in instances)[0] < 50


def test_within_the_bound_keys_stay_where_they_belong(pool):
    instances = pool(*[1] * 10)
    bounded, free = ConsistentHash(["path"], 2.0), ConsistentHash(["path"], 0)
    for each in instances:
        each.in_flight = 10
    stayed = sum(
        bounded.select(instances, asking_for(f"/{number}")) is free.select(instances, asking_for(f"/{number}"))
        for number in range(300)
    )
    assert stayed == 300


def test_a_bound_holds_by_weight(pool):
    instances = pool(1, 9)
    balancer = ConsistentHash(["path"], 1.25)
    for number in range(200):
        balancer.select(instances, asking_for(f"/{number}")).in_flight += 1
    assert instances[0].in_flight <= ceil(1.25 * 200 / 10) + 1


# Keys.


def request(path="/orders", query="", client="192.0.2.1", **headers):
    fields = Headers.of([(name.replace("_", "-"), value) for name, value in headers.items()])
    return Request("GET", path, query=query, headers=fields, client=client)


@pytest.mark.parametrize(
    ("key", "asked", "found"),
    [
        ("header:X-User", request(x_user="ann"), "ann"),
        ("header:X-User", request(), None),
        ("cookie:session", request(cookie='a=1; session="abc"; b=2'), "abc"),
        ("cookie:session", request(cookie="session=abc"), "abc"),
        ("cookie:session", request(cookie="xsession=abc; session="), None),
        ("query:user", request(query="a=1&user=ann%20b&user=c"), "ann b"),
        ("query:user", request(query="superuser=1"), None),
        ("address", request(), "192.0.2.1"),
        ("path", request(), "/orders"),
    ],
)
def test_a_key_is_found_where_it_stands(key, asked, found):
    assert key_finder(key)(asked) == found


def test_the_first_key_that_a_request_has_decides(pool):
    instances = pool(*[1] * 50)
    balancer = ConsistentHash(ConsistentHashConfig().key, 0)

    def chosen(asked):
        return balancer.select(instances, cast("Any", SimpleNamespace(request=asked, excluded=())))

    by_header = {chosen(request(x_session_id="s", client=f"192.0.2.{number}")) for number in range(20)}
    assert len(by_header) == 1
    assert chosen(request(cookie="session=s")) in by_header
    assert len({chosen(request(client=f"192.0.2.{number}")) for number in range(20)}) > 5


def test_requests_without_any_key_are_spread_by_their_ids(pool):
    instances = pool(*[1] * 5)
    balancer = ConsistentHash(["header:x-user"], 0)
    chosen = set()
    for number in range(50):
        exchange = Exchange(Request("GET", "/", id=f"id-{number}"), cast("Any", None))
        chosen.add(balancer.select(instances, exchange))
    assert chosen == set(instances)


def test_one_key_may_be_written_without_a_list():
    assert ConsistentHashConfig.model_validate({"key": "ip"}).key == ("address",)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"key": "header:"}, "is not a key"),
        ({"key": "body"}, "is not a key"),
        ({"key": []}, "the list of keys is empty"),
        ({"bound": 1.0}, "leaves no room"),
        ({"bound": -1}, "greater than or equal to 0"),
    ],
)
def test_what_cannot_be_meant_is_refused(block, message):
    with pytest.raises(ValidationError, match=message):
        ConsistentHashConfig.model_validate(block)
