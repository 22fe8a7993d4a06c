from __future__ import annotations

import os
import resource
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from gateway_ratelimit.algorithms.token_bucket import TokenBucket
from gateway_ratelimit.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator


pytestmark = pytest.mark.anyio
SIZE = 64 * 1024


@pytest.fixture
async def table(surroundings: Any) -> Any:
    table = await Table.open(surroundings, "memory", SIZE, 1)
    yield table
    await table.aclose()


def put(table: Table, key: str, fresh_at: int, now: int = 0) -> None:
    place = table.place(key)
    with table.lock(place.number):
        table.store(place, (fresh_at,), now, is_known=table.load(place) is not None)


def find(table: Table, key: str) -> int | None:
    state = table.load(table.place(key))
    return state[0] if state is not None else None


def keys_of_one_set(table: Table, count: int) -> Iterator[str]:
    number = table.place("0").number
    found = (str(each) for each in range(10**6) if table.place(str(each)).number == number)
    return (next(found) for _ in range(count))


async def test_a_key_is_found_again_and_changed_in_place(table: Table) -> None:
    assert find(table, "a") is None
    put(table, "a", 5)
    put(table, "b", 6)
    put(table, "a", 7)
    assert (find(table, "a"), find(table, "b")) == (7, 6)


async def test_all_workers_see_the_same(table: Table, surroundings: Any) -> None:
    other = await Table.open(surroundings.worker(), "memory", SIZE, 1)
    put(table, "a", 5)
    assert find(other, "a") == 5
    await other.aclose()


async def test_a_key_that_made_room_for_another_is_not_taken_for_it(table: Table) -> None:
    first, *others, last = keys_of_one_set(table, 9)
    take_one = TokenBucket(rate=1, burst=10, window=1000).take
    table.update(table.place(first), take_one, 0, 1)
    for key in [*others, last]:
        put(table, key, 10**6)
    # Its slot holds somebody else's state by now.
    assert find(table, first) is None
    _, _, remaining, _, _ = table.update(table.place(first), take_one, 0, 1)
    assert remaining == 9


async def test_nobody_can_tell_which_keys_share_a_set(table: Table, surroundings: Any) -> None:
    other = await Table.open(surroundings, "another", SIZE, 1)
    assert table.place("a").tag != other.place("a").tag
    await other.aclose()


async def test_a_slot_that_says_nothing_any_more_is_used_again(table: Table, surroundings: Any) -> None:
    first, *others, last = keys_of_one_set(table, 9)
    put(table, first, 5)
    for key in others:
        put(table, key, 50)
    put(table, last, 99, now=5)
    assert find(table, first) is None
    assert find(table, last) == 99
    assert surroundings.metric("gateway_ratelimit_evictions_total") == 0


async def test_who_used_up_the_most_stays_limited_when_strangers_fill_the_table(
    table: Table, surroundings: Any
) -> None:
    abuser, *strangers = keys_of_one_set(table, 200)
    put(table, abuser, 1_000_000)
    for number, stranger in enumerate(strangers):
        put(table, stranger, 100 + number)
    assert find(table, abuser) == 1_000_000
    assert surroundings.metric("gateway_ratelimit_evictions_total") == 200 - 8


@pytest.mark.slow
async def test_far_more_keys_than_it_holds_take_no_more_memory_than_the_table(surroundings: Any) -> None:
    size = 1024**2
    table = await Table.open(surroundings, "many", size, 1)
    for number in range(5000):
        put(table, str(number), 10**18)
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(250_000):
        table.store(table.place(str(number)), (10**18,), 0, is_known=False)
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    assert grown_kib < size / 1024 + 4096
    assert table.capacity == pytest.approx(size / 24, rel=0.01)
    await table.aclose()


WORKER = """
import mmap, os, sys
from types import SimpleNamespace
from gateway.metrics import Series
from gateway.runtime.shared_memory import SharedMemory
from gateway_ratelimit.table import Table
size = int(sys.argv[2])
table = Table(SharedMemory(int(sys.argv[1]), size), size, 1, Series())
place = table.place("one")
for _ in range(5000):
    with table.lock(place.number):
        state = table.load(place)
        table.store(place, ((state[0] if state else 0) + 1,), 0, is_known=state is not None)
"""


async def test_no_decision_is_lost_between_processes(table: Table) -> None:
    descriptor = os.dup(table._memory._descriptor)  # type: ignore[attr-defined]  # of the core's own class
    workers = [
        subprocess.Popen(  # noqa: ASYNC220 - two at a time, for a second
            [sys.executable, "-c", WORKER, str(descriptor), str(SIZE)], pass_fds=[descriptor]
        )
        for _ in range(2)
    ]
    assert [worker.wait(60) for worker in workers] == [0, 0]
    os.close(descriptor)
    assert find(table, "one") == 10_000
