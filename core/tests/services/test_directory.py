from __future__ import annotations

import asyncio
import gc
import logging
import pickle
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import Endpoint, Instance
from gateway.services import Change, ServiceDirectory, slices


def ports(instances) -> list[int]:
    return [instance.endpoint.port for instance in instances]


@pytest.fixture
def directory():
    return ServiceDirectory()


def test_what_is_published_is_available(directory, endpoint):
    directory.publish("static", {"orders": [endpoint(1), endpoint(2, is_healthy=False)]})
    service = directory.service("orders")
    assert ports(service.instances) == [1, 2]
    assert ports(service.available) == [1]
    assert directory.services() == ["orders"]
    assert repr(service) == "<Service orders 1 of 2 available>"


def test_what_is_said_of_an_instance_that_is_gone_is_not_kept(directory, endpoint):
    """A check may end after its instance; if the address comes back, it is somebody else's."""
    directory.publish("static", {"orders": [endpoint(1), endpoint(2)]})
    gone = directory.instances("orders")[0]
    directory.publish("static", {"orders": [endpoint(2)]})
    directory.mark(gone, is_healthy=False, reason="500")
    assert directory.marks(gone) == {}
    directory.publish("static", {"orders": [endpoint(1), endpoint(2)]})
    assert ports(directory.service("orders").available) == [1, 2]


def test_an_unknown_service_has_no_instances(directory):
    assert directory.instances("nobody") == ()
    assert directory.services() == []


def test_a_route_may_hold_a_service_that_is_published_later(directory, endpoint):
    service = directory.service("orders")
    assert service.available == ()
    directory.publish("static", {"orders": [endpoint(1)]})
    assert ports(service.available) == [1]
    assert directory.service("orders") is service


def test_an_instance_keeps_its_identity_over_a_refresh(directory, endpoint):
    """Its counters and pooled connections hang on it."""
    service = directory.service("orders")
    directory.publish("static", {"orders": [endpoint(1, weight=1), endpoint(2)]})
    one, two = service.instances
    one.in_flight = 3
    directory.publish("static", {"orders": [endpoint(3), endpoint(1, weight=5, id="new name")]})
    assert [instance is one for instance in service.instances] == [False, True]
    assert (one.in_flight, one.weight, one.id) == (3, 5, "new name")
    assert two not in service.instances


def test_scheme_address_and_port_make_the_identity(directory, endpoint):
    directory.publish("static", {"orders": [endpoint(1), endpoint(1, scheme="https")]})
    assert len(directory.instances("orders")) == 2


def test_available_is_the_same_object_until_something_changes(directory, endpoint):
    service = directory.service("orders")
    directory.publish("static", {"orders": [endpoint(1)]})
    before = service.available
    directory.publish("static", {"orders": [endpoint(1)]})
    assert service.available is before
    directory.publish("static", {"orders": [endpoint(1, weight=2)]})
    assert service.available is not before


def test_an_instance_that_is_listed_twice_counts_once(directory, endpoint):
    directory.publish("static", {"orders": [endpoint(1, weight=2), endpoint(1, weight=9)]})
    (instance,) = directory.instances("orders")
    assert instance.weight == 2


def test_providers_add_up_and_the_first_decides(directory, endpoint):
    directory.publish("static", {"orders": [endpoint(1, weight=1)]})
    directory.publish("docker", {"orders": [endpoint(1, weight=7), endpoint(2)]})
    assert [(each.endpoint.port, each.weight) for each in directory.instances("orders")] == [(1, 1), (2, 1)]
    directory.withdraw("static")
    assert [(each.endpoint.port, each.weight) for each in directory.instances("orders")] == [(1, 7), (2, 1)]


def test_a_provider_that_takes_over_from_another_changes_nothing(endpoint, caplog):
    """What a reload does: balancers keep what they know, workers are told nothing, and there is no line to read."""
    told = []
    caplog.set_level(logging.INFO, "gateway")
    directory = ServiceDirectory(changed=lambda service, instance: told.append(service.name))
    directory.publish("static#1", {"orders": [endpoint(1), endpoint(2)]})
    available = directory.service("orders").available
    directory.publish("static#2", {"orders": [endpoint(1), endpoint(2)]})
    directory.withdraw("static#1")
    assert directory.service("orders").available is available
    assert told == ["orders"]
    assert len(caplog.records) == 1


def test_what_a_provider_leaves_out_is_gone(directory, endpoint):
    directory.publish("docker", {"orders": [endpoint(1)], "users": [endpoint(2)]})
    directory.publish("docker", {"users": [endpoint(2)]})
    assert directory.instances("orders") == ()
    assert ports(directory.instances("users")) == [2]


def test_services_that_come_and_go_leave_nothing_behind(directory, endpoint):
    """Where every deployment is a service of its own, their number is without end."""
    held = directory.service("held by a route")
    for number in range(100):
        directory.publish("docker", {f"service-{number}": [endpoint(1)]})
    gc.collect()
    assert directory.services() == ["held by a route", "service-99"]
    assert directory.service("held by a route") is held


# Health.


def test_an_instance_that_does_not_work_is_not_available(directory, endpoint, caplog):
    directory.publish("static", {"orders": [endpoint(1, id="one"), endpoint(2)]})
    service = directory.service("orders")
    one, _ = service.instances
    directory.mark(one, is_healthy=False, reason="connect refused")
    assert ports(service.available) == [2]
    assert not one.is_healthy
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == "instance one of service orders is unhealthy: connect refused"
    directory.mark(one, is_healthy=True, reason="200")
    assert ports(service.available) == [1, 2]


def test_saying_the_same_again_changes_nothing(directory, endpoint, caplog):
    directory.publish("static", {"orders": [endpoint(1)]})
    (one,) = directory.instances("orders")
    directory.mark(one, is_healthy=True, reason="200")
    directory.mark(one, is_healthy=False, reason="500")
    available = directory.service("orders").available
    directory.mark(one, is_healthy=False, reason="500")
    assert directory.service("orders").available is available
    assert len(caplog.records) == 1


def test_what_health_checks_found_survives_a_refresh(directory, endpoint):
    directory.publish("static", {"orders": [endpoint(1), endpoint(2)]})
    directory.mark(directory.instances("orders")[0], is_healthy=False, reason="")
    directory.publish("static", {"orders": [endpoint(1, weight=4), endpoint(2)]})
    assert ports(directory.service("orders").available) == [2]


def test_an_instance_that_comes_back_begins_anew(directory, endpoint):
    directory.publish("static", {"orders": [endpoint(1)]})
    (one,) = directory.instances("orders")
    directory.mark(one, is_healthy=False, reason="")
    directory.publish("static", {})
    directory.publish("static", {"orders": [endpoint(1)]})
    (again,) = directory.instances("orders")
    assert again.is_healthy
    assert again is not one


def test_the_word_about_an_instance_that_is_gone_does_not_count(directory, endpoint):
    directory.publish("static", {"orders": [endpoint(1)]})
    (one,) = directory.instances("orders")
    directory.publish("static", {})
    directory.mark(one, is_healthy=False, reason="")
    directory.publish("static", {"orders": [endpoint(1)]})
    directory.mark(one, is_healthy=False, reason="")
    assert ports(directory.service("orders").available) == [1]


def test_a_health_check_cannot_make_healthy_what_its_source_says_is_not(directory, endpoint):
    directory.publish("docker", {"orders": [endpoint(1, is_healthy=False)]})
    (one,) = directory.instances("orders")
    directory.mark(one, is_healthy=True, reason="")
    assert directory.service("orders").available == ()


def test_when_nobody_checks_any_more_everything_counts_as_working(directory, endpoint):
    """An instance that was unhealthy when health checks were turned off would stay so for good."""
    directory.publish("static", {"orders": [endpoint(1), endpoint(2)], "users": [endpoint(3)]})
    for instance in directory.instances("orders"):
        directory.mark(instance, is_healthy=False, reason="")
    directory.forget_marks("somebody")
    assert ports(directory.service("orders").available) == [1, 2]


def test_what_one_says_another_cannot_take_back(directory, endpoint):
    directory.publish("static", {"orders": [endpoint(1), endpoint(2)]})
    active, passive = directory.heard_from("active"), directory.heard_from("passive")
    one, _ = directory.instances("orders")
    passive.mark(one, is_healthy=False, reason="5 errors in a row")
    active.mark(one, is_healthy=True, reason="200")
    assert not one.is_healthy
    active.mark(one, is_healthy=False, reason="500")
    passive.mark(one, is_healthy=True, reason="time served")
    assert not one.is_healthy
    assert {by: mark.reason for by, mark in active.marks(one).items()} == {"active": "500"}
    active.mark(one, is_healthy=True, reason="200")
    assert one.is_healthy
    assert active.marks(one) == {}
    assert (active.services(), list(active.instances("orders"))) == (["orders"], list(directory.instances("orders")))


def test_what_is_said_goes_with_who_said_it(directory, endpoint):
    directory.publish("static", {"orders": [endpoint(1)]})
    (one,) = directory.instances("orders")
    for source in ("worker 1: passive", "worker 11: passive", "active"):
        directory.heard_from(source).mark(one, is_healthy=False, reason="")
    directory.forget_marks("worker 1: ")
    assert list(directory.marks(one)) == ["worker 11: passive", "active"]


def test_health_is_logged_when_it_changes_for_everybody(directory, endpoint, caplog):
    directory.publish("static", {"orders": [endpoint(1, id="one")]})
    (one,) = directory.instances("orders")
    for is_healthy in (False, True):
        directory.heard_from("active").mark(one, is_healthy=is_healthy, reason="checked")
        directory.heard_from("passive").mark(one, is_healthy=is_healthy, reason="seen")
    assert [record.getMessage() for record in caplog.records] == [
        "instance one of service orders is unhealthy: checked",
        "instance one of service orders is healthy again: seen",
    ]


def test_an_instance_may_be_granted_a_share_of_its_weight(directory, endpoint):
    """Weights are whole numbers; what counts are their proportions."""
    directory.publish("static", {"orders": [endpoint(1, weight=2), endpoint(2, weight=3)]})
    service = directory.service("orders")
    one, two = service.available
    before = service.available
    directory.mark(one, is_healthy=True, reason="slow start", share_percent=10)
    assert (one.weight, two.weight, one.share_percent) == (20, 300, 10)
    assert service.available is not before
    assert service.available == before
    directory.heard_from("another").mark(one, is_healthy=True, reason="slow start", share_percent=5)
    assert one.weight == 10
    directory.mark(one, is_healthy=True, reason="")
    assert one.weight == 10
    directory.heard_from("another").mark(one, is_healthy=True, reason="")
    assert (one.weight, two.weight, one.share_percent) == (2, 3, 100)


@pytest.mark.parametrize("share_percent", [0, 101, -1])
def test_a_share_that_is_none_is_refused(directory, endpoint, share_percent):
    directory.publish("static", {"orders": [endpoint(1)]})
    with pytest.raises(ValueError, match="must be from 1 to 100"):
        directory.mark(directory.instances("orders")[0], is_healthy=True, reason="", share_percent=share_percent)


# Telling others.


def test_a_word_about_one_instance_is_told_as_such(endpoint):
    """A service may have thousands of them."""
    told = []
    directory = ServiceDirectory(changed=lambda service, instance: told.append(instance))
    directory.publish("static", {"orders": [endpoint(1), endpoint(2)]})
    _, two = directory.instances("orders")
    directory.mark(two, is_healthy=False, reason="")
    assert told == [None, two]
    copy = ServiceDirectory()
    copy.take_over("orders", directory.service("orders").published())
    copy.take_marks("orders", two.endpoint, {})
    copy.take_marks("orders", two.endpoint, directory.marks(two))
    copy.take_marks("orders", endpoint(9), directory.marks(two))
    assert ports(copy.service("orders").available) == [1]
    copy.take_marks("orders", two.endpoint, {})
    assert ports(copy.service("orders").available) == [1, 2]


def test_nobody_says_anything_about_an_unknown_instance(directory, endpoint):
    assert directory.marks(Instance("nobody", endpoint(1))) == {}


def test_every_change_is_told_once(endpoint):
    told = []
    directory = ServiceDirectory(changed=lambda service, instance: told.append(service.name))
    directory.publish("static", {"orders": [endpoint(1)], "users": [endpoint(2)]})
    assert sorted(told) == ["orders", "users"]
    told.clear()
    directory.publish("static", {"orders": [endpoint(1)], "users": [endpoint(3)]})
    directory.publish("static", {"orders": [endpoint(1)], "users": [endpoint(3)]})
    assert told == ["users"]
    told.clear()
    directory.mark(directory.instances("users")[0], is_healthy=False, reason="")
    directory.mark(directory.instances("users")[0], is_healthy=False, reason="")
    directory.forget_marks("somebody")
    directory.forget_marks("somebody")
    assert told == ["users", "users"]
    directory.withdraw("static")
    assert sorted(told) == ["orders", "users", "users", "users"]


def test_a_copy_is_what_the_original_is(directory, endpoint):
    directory.publish("static", {"orders": [endpoint(1), endpoint(2), endpoint(3, is_healthy=False)]})
    directory.mark(directory.instances("orders")[0], is_healthy=False, reason="")
    copy = ServiceDirectory()
    service = copy.service("orders")
    copy.take_over("orders", directory.service("orders").published())
    assert ports(service.available) == [2]
    assert ports(service.instances) == [1, 2, 3]
    kept = service.available[0]
    directory.publish("static", {"orders": [endpoint(2), endpoint(4)]})
    copy.take_over("orders", directory.service("orders").published())
    assert ports(service.available) == [2, 4]
    assert service.available[0] is kept
    copy.take_over("orders", (Change(), {}))
    assert service.instances == ()


def follow(copy, service, *, size=2):
    """Follow a service as a worker does: over a channel, piece by piece."""
    pieces = pickle.loads(pickle.dumps(list(service.changes(size))))  # noqa: S301 - made here
    assert [piece.is_last for piece in pieces] == [*[False] * (len(pieces) - 1), True]
    copy.take_change(service.name, Change.of(pieces))


def test_a_copy_follows_what_changed(endpoint):
    copy = ServiceDirectory()
    directory = ServiceDirectory(
        changed=lambda service, instance: (
            follow(copy, service)
            if instance is None
            else copy.take_marks(service.name, instance.endpoint, service.marks(instance))
        )
    )
    ours, theirs = directory.service("orders"), copy.service("orders")
    directory.publish("static", {"orders": [endpoint(port) for port in range(1, 8)]})
    assert ports(theirs.instances) == ports(ours.instances)
    kept = theirs.instances[1]
    directory.mark(ours.instances[0], is_healthy=False, reason="")
    directory.publish("static", {"orders": [endpoint(1), endpoint(2, weight=4), endpoint(9)]})
    assert {(each.endpoint.port, each.weight, each.is_healthy) for each in theirs.instances} == {
        (1, 1, False),
        (2, 4, True),
        (9, 1, True),
    }
    assert kept in theirs.instances
    directory.withdraw("static")
    assert theirs.instances == ()
    assert copy.services() == ["orders"]


def test_only_what_changed_is_told(endpoint):
    directory = ServiceDirectory(changed=lambda service, instance: None)
    directory.publish("static", {"orders": [endpoint(port) for port in range(1, 100)]})
    directory.publish("static", {"orders": [endpoint(port) for port in range(2, 101)]})
    change = next(directory.service("orders").changes(5000))
    assert [packed[2] for packed in change.put] == [100]
    assert [port for _, _, port in change.gone] == [1]


# Large services.


def many(count: int, **options: Any) -> list[Any]:
    return [Endpoint(address=f"10.0.{number >> 8}.{number & 255}", port=80, **options) for number in range(count)]


@pytest.fixture
async def longest_stall():
    """Return how long the event loop was held up at most while something ran, in CPU time: of a busy machine little."""

    async def measure(work):
        task = asyncio.ensure_future(work)
        longest_s, before_s = 0.0, time.thread_time()
        while not task.done():
            await asyncio.sleep(0)
            now_s = time.thread_time()
            longest_s, before_s = max(longest_s, now_s - before_s), now_s
        await task
        return longest_s

    return measure


@pytest.mark.anyio
@pytest.mark.parametrize("before", [{}, {"weight": 1}, {"weight": 2}])
async def test_a_refresh_of_ten_thousand_instances_does_not_stall(longest_stall, before):
    """The bound is 20 ms; here it is wide, because of the garbage collector and of machines that are slow."""
    directory = ServiceDirectory()
    service = directory.service("orders")
    if before:
        service.publish("static", many(10_000, **before))
    endpoints = many(10_000)

    async def refresh():
        directory.publish("static", {"orders": endpoints})
        await directory.settled()

    gc.collect()
    gc.disable()
    try:
        assert await longest_stall(refresh()) < 0.06
    finally:
        gc.enable()
    assert len(service.available) == 10_000
    assert {instance.weight for instance in service.instances} == {1}


@pytest.mark.anyio
async def test_the_old_instances_serve_until_the_new_ones_are_there(endpoint):
    directory = ServiceDirectory()
    directory.publish("static", {"orders": [endpoint(1)]})
    service = directory.service("orders")
    directory.publish("static", {"orders": many(5000)})
    assert ports(service.available) == [1]
    # What comes after it is not overtaken, and not lost.
    directory.publish("docker", {"orders": [endpoint(7)]})
    directory.mark(service.instances[0], is_healthy=False, reason="gone already")
    assert service.available == ()
    await directory.settled()
    assert len(service.available) == 5001


@pytest.mark.anyio
async def test_a_flood_of_snapshots_is_not_worked_through(endpoint, monkeypatch):
    """Only the first, which has begun, and the last."""
    monkeypatch.setattr(slices, "SLICE_S", 0.0)  # a fast machine would be done with the first
    told = []
    directory = ServiceDirectory(changed=lambda service, instance: told.append(len(service.instances)))
    for count in range(2000, 2050):
        directory.publish("static", {"orders": many(count)})
        if count == 2000:
            await asyncio.sleep(0)
    await directory.settled()
    assert told == [2000, 2049]


@pytest.mark.anyio
async def test_what_a_refresh_gives_others_to_do_is_done_before_it_has_settled(endpoint):
    told = []

    def tell(service, instance):
        for step in range(3):
            yield
            told.append((step, len(service.instances)))

    directory = ServiceDirectory(tell)
    directory.publish("static", {"orders": many(2000)})
    directory.publish("docker", {"orders": [endpoint(7)]})
    assert told == []
    await directory.settled()
    assert told == [(0, 2000), (1, 2000), (2, 2000), (0, 2001), (1, 2001), (2, 2001)]


@pytest.mark.anyio
async def test_what_is_wrong_with_a_large_snapshot_stops_nothing_else(endpoint, caplog):
    directory = ServiceDirectory()
    rubbish: list[Any] = [*many(2000), "an address"]
    directory.publish("broken", {"orders": rubbish})
    directory.publish("static", {"users": [endpoint(1)]})
    await directory.settled()
    assert "what broken published could not be taken over" in caplog.text
    assert ports(directory.instances("users")) == [1]


@pytest.mark.anyio
async def test_a_worker_is_told_of_marks_after_the_instance(endpoint):
    copy, directory = ServiceDirectory(), ServiceDirectory()
    endpoints = many(3000)
    directory.publish("static", {"orders": endpoints})
    await directory.settled()
    marked = directory.instances("orders")[2999]
    directory.mark(marked, is_healthy=False, reason="")
    copy.take_change("orders", next(directory.service("orders").changes(5000)))
    copy.take_marks("orders", marked.endpoint, directory.marks(marked))
    await copy.settled()
    assert len(copy.service("orders").available) == 2999


snapshots = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]),
        st.dictionaries(
            st.sampled_from(["orders", "users"]),
            st.lists(st.integers(1, 4).map(lambda port: Endpoint(address="h", port=port)), max_size=4),
        ),
    ),
    max_size=12,
)


@given(snapshots)
def test_a_service_is_always_the_union_of_the_last_snapshots(published):
    directory, last = ServiceDirectory(), {}
    for provider, snapshot in published:
        directory.publish(provider, snapshot)
        last[provider] = snapshot
        for service in ("orders", "users"):
            wanted = {each.port for snapshot in last.values() for each in snapshot.get(service, ())}
            assert set(ports(directory.instances(service))) == wanted
