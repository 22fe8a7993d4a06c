"""Consistent hashing: how even, how stable, and that a look-up finds what it must."""

from __future__ import annotations

import struct
from collections import Counter
from hashlib import blake2b
from statistics import pstdev

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import Endpoint, Instance, hash_ring
from gateway.hash_ring import FEW_DIGESTS, MAX_DIGESTS, MOST_MET, POINTS, PROBES, HashRing

KEYS = [b"user-%d" % number for number in range(20_000)]
RING = 1 << 32


def pool(*weights: int) -> tuple[Instance, ...]:
    return tuple(
        Instance("orders", Endpoint(address=f"host-{number}", port=80, weight=weight))
        for number, weight in enumerate(weights)
    )


def ring_of(instances) -> HashRing:
    ring = HashRing()
    ring.become(instances)
    return ring


def owners(instances, keys=KEYS):
    ring = ring_of(instances)
    return [ring.owner(key) for key in keys]


def points_of(instance) -> list[int]:
    name = f"http://{instance.authority}"
    return [
        point
        for number in range(instance.endpoint.weight)
        for point in struct.unpack(">16I", blake2b(f"{name}#{number}".encode()).digest())
    ]


def looked_for(instances, key):
    """Say whose ``key`` is, the slow way."""
    digest = int.from_bytes(blake2b(key, digest_size=8).digest(), "big")
    probes = [(digest + number * ((digest >> 32) | 1)) % RING for number in range(PROBES)]
    return min(
        ((point - probe) % RING, each.authority, each)
        for each in instances
        for point in points_of(each)
        for probe in probes
    )[2]


# What a look-up finds.


@pytest.mark.parametrize("count", [1, 2, 5, 64, 65, 200])
def test_a_key_belongs_to_the_nearest_point_after_any_of_its_hashes(count):
    instances = pool(*[1 + number % 3 for number in range(count)])
    ring = ring_of(instances)
    for key in KEYS[:60]:
        assert ring.owner(key) is looked_for(instances, key)


def test_every_worker_and_gateway_agrees():
    ours, theirs = pool(*[1] * 300), pool(*[1] * 300)[::-1]
    assert [each.authority for each in owners(ours)] == [each.authority for each in owners(theirs)]


def test_points_that_are_the_same_are_put_in_order_by_name(monkeypatch):
    monkeypatch.setattr(hash_ring, "blake2b", lambda data, digest_size=64: blake2b(b"same", digest_size=digest_size))
    one, two = pool(1, 1)
    assert ring_of([one, two]).owner(b"key") is ring_of([two, one]).owner(b"key") is one


def test_what_comes_next_is_everybody_once_around():
    for instances in (pool(*[1] * 5), pool(*[1] * 100)):
        ring = ring_of(instances)
        seen: list[Instance] = []

        def is_good(instance, seen=seen):
            seen.append(instance)
            return False

        assert ring.find(b"key", is_good) is ring.owner(b"key")
        assert len(seen) == len(ring)
        assert set(seen) == set(instances)


# How even.


@pytest.mark.parametrize("count", [3, 10, 100])
def test_keys_are_spread_evenly(count):
    """Shares deviate by about an eighth; with a binomial's chance of so many keys on top. The optimum is that alone."""
    loads = Counter(owners(pool(*[1] * count)))
    mean = len(KEYS) / count
    by_chance = mean**0.5
    assert pstdev(loads.values()) < ((0.15 * mean) ** 2 + by_chance**2) ** 0.5
    assert max(loads.values()) < mean * 1.3 + 3 * by_chance
    assert min(loads.values()) > mean * 0.7 - 3 * by_chance


def test_weights_are_shares():
    instances = pool(1, 2, 5)
    loads = Counter(owners(instances))
    for instance in instances:
        assert loads[instance] / len(KEYS) == pytest.approx(instance.weight / 8, rel=0.25)


# How stable.


@pytest.mark.parametrize("count", [10, 100])
def test_only_the_keys_of_an_instance_that_goes_move(count):
    instances = pool(*[1] * count)
    before, after = owners(instances), owners(instances[:4] + instances[5:])
    moved = [(was, now) for was, now in zip(before, after, strict=True) if was is not now]
    assert {was for was, _ in moved} == {instances[4]}
    # And evenly to the others: nobody gets most of them.
    assert max(Counter(now for _, now in moved).values()) < len(moved) / 3


def test_a_new_instance_takes_its_share_and_nothing_else_moves():
    instances = pool(*[1] * 11)
    before, after = owners(instances[:10]), owners(instances)
    moved = [(was, now) for was, now in zip(before, after, strict=True) if was is not now]
    assert {now for _, now in moved} == {instances[10]}
    assert len(moved) / len(KEYS) == pytest.approx(1 / 11, rel=0.25)


weights = st.dictionaries(st.integers(0, 90), st.integers(1, 4), min_size=1, max_size=80)


@settings(max_examples=60, deadline=None)
@given(changes=st.lists(weights, min_size=1, max_size=6))
def test_however_it_came_about_a_ring_is_the_same(changes):
    everybody = pool(*[1] * 91)
    changed = HashRing()
    instances: list[Instance] = []
    for present in changes:
        for number, weight in present.items():
            everybody[number].endpoint = Endpoint(address=f"host-{number}", port=80, weight=weight)
        instances = [everybody[number] for number in present]
        changed.become(instances)
        assert changed.owner(KEYS[0]) in instances
    fresh = ring_of(instances)
    assert len(changed) == len(fresh) == POINTS * sum(each.endpoint.weight for each in instances)
    assert [changed.owner(key) for key in KEYS[:100]] == [fresh.owner(key) for key in KEYS[:100]]


# How large.


def test_one_of_ten_thousand_that_goes_leaves_nearly_everything_as_it_was():
    instances = pool(*[1] * 10_000)
    ring = ring_of(instances)
    for key in KEYS[:2000]:
        ring.owner(key)
    known = sum(sector is not None for sector in ring._sectors)
    ring.become(instances[1:])
    assert sum(sector is not None for sector in ring._sectors) >= known - POINTS
    assert len(ring) == 9_999 * POINTS


@pytest.mark.parametrize("kept", [0, 1, 50])
def test_ten_thousand_are_met_a_thousand_at_a_time(kept, monkeypatch):
    made = 0

    def counted(data, digest_size=64):
        nonlocal made
        made += digest_size == 64
        return blake2b(data, digest_size=digest_size)

    monkeypatch.setattr(hash_ring, "blake2b", counted)
    instances, ring = pool(*[1 + number % 3 for number in range(10_000)]), HashRing()
    if kept:
        ring.become(instances[:kept])
    for step in range(40):
        made = 0
        if step:
            assert ring.owner(KEYS[step]) in instances
        else:
            ring.become(instances)
        assert made <= MOST_MET + 100
    # And then it is as if they had been there forever.
    assert made == 0
    assert len(ring) == POINTS * sum(each.endpoint.weight for each in instances)
    for key in KEYS[:3]:
        assert ring.owner(key) is looked_for(instances, key)


def test_who_goes_while_others_are_met_gets_no_key():
    instances, ring = pool(*[1] * 5000), HashRing()
    ring.become(instances)
    ring.owner(KEYS[0])
    ring.become(instances[4000:])
    assert all(ring.owner(key) in instances[4000:] for key in KEYS[:200])
    assert len(ring) == 1000 * POINTS
    assert len(ring._owners) <= MOST_MET * 3


def test_a_change_before_the_last_ones_are_met_leaves_nothing_out_of_date():
    instances, ring = pool(*[1] * (2 * MOST_MET + 10)), HashRing()
    ring.become(instances)
    for key in KEYS[:100]:
        ring.owner(key)
        if len(ring) == 2 * MOST_MET * POINTS:
            ring.become(instances)
    assert [ring.owner(key) for key in KEYS[:300]] == owners(instances, KEYS[:300])


def test_memory_is_given_back_when_few_are_left():
    instances, ring = pool(*[1] * 5000), HashRing()
    ring.become(instances)
    for key in KEYS[:10]:
        ring.owner(key)
    ring.become(instances[:100])
    assert len(ring._owners) == 100
    assert [ring.owner(key) for key in KEYS[:50]] == owners(instances[:100], KEYS[:50])
    ring.become(instances[50:150])
    assert [ring.owner(key) for key in KEYS[:50]] == owners(instances[50:150], KEYS[:50])


def test_instances_that_come_and_go_leave_nothing_behind():
    ring = HashRing()
    for begin in range(0, 1000, 50):
        everybody = pool(*[1] * 1100)
        ring.become(everybody[begin : begin + 100])
    assert len(ring._owners) <= 4 * 100
    assert len(ring) == 100 * POINTS


def test_heavy_weights_are_halved_until_they_fit():
    instances = pool(*[100] * 600, *[1] * 10)
    ring = ring_of(instances)
    loads = Counter(ring.owner(key) for key in KEYS)
    assert POINTS * MAX_DIGESTS / 2 < len(ring) <= POINTS * MAX_DIGESTS + 10 * POINTS
    assert sum(loads[each] for each in instances[:600]) > 0.98 * len(KEYS)


def test_the_number_of_sectors_does_not_matter():
    """A ring that grows over the limit, and shrinks again, is what it would have been anyway."""
    instances = pool(*[1] * (FEW_DIGESTS + 1))
    ring = ring_of(instances[:-1])
    before = [ring.owner(key) for key in KEYS[:300]]
    ring.become(instances)
    ring.become(instances[:-1])
    assert [ring.owner(key) for key in KEYS[:300]] == before
