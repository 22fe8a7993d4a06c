"""Consistent hashing: what decides, where a retry goes, and how it bounds the load. How even and stable it is, the
core's ``test_hash_ring.py`` shows."""

from __future__ import annotations

from math import ceil
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pydantic import ValidationError

from gateway import Exchange, Headers, Request
from gateway_balancers.config import ConsistentHashConfig
from gateway_balancers.consistent_hash import ConsistentHash, ServiceRings
from gateway_balancers.hash_keys import key_finder


def asking_for(path: str, *excluded: Any) -> Exchange:
    exchange = Exchange(Request("GET", path), cast("Any", None))
    exchange.excluded = excluded
    return exchange


# A retry.


def test_a_retry_goes_on_around_the_ring_to_the_same_one_each_time(pool):
    instances = pool(*[1] * 5)
    balancer = ConsistentHash(["path"], 0)
    first = balancer.select(instances, asking_for("/a"))
    second = balancer.select(instances, asking_for("/a", first))
    assert second is not first
    assert balancer.select(instances, asking_for("/a", first)) is second
    assert balancer.select(instances, asking_for("/a", *instances)) is first


def test_all_routes_to_a_service_share_one_ring(pool):
    rings = ServiceRings()
    instances = pool(*[1] * 5)
    by_path, by_header = ConsistentHash(["path"], 0, rings), ConsistentHash(["header:x-user"], 1.25, rings)
    for balancer in (by_path, by_header):
        balancer.select(instances, asking_for("/a"))
    assert by_path._ring is by_header._ring is rings.ring("orders")
    assert rings.ring("users") is not by_path._ring
    fewer = instances[1:]
    assert by_path.select(fewer, asking_for("/a")) in fewer
    assert by_header.select(fewer, asking_for("/a")) in fewer


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
