"""A body that goes to the client and into the store."""

from __future__ import annotations

import pytest

from gateway import Body
from gateway_cache.filling import Filling, FillingBudget

pytestmark = pytest.mark.anyio


class Source:
    """A producer that notes what it is told."""

    def __init__(self):
        self.told = []
        self.body = Body(self)

    def pause_body(self):
        self.told.append("pause")

    def resume_body(self):
        self.told.append("resume")

    def abort_body(self):
        self.told.append("abort")


def filling(source, max_bytes=100, budget=None, *, is_wanted=True):
    done: list = []
    made = Filling(source.body, max_bytes, budget or FillingBudget(10**6), done.append, lambda: is_wanted)
    made.start()
    return made, done


async def test_the_client_gets_what_is_stored():
    source = Source()
    fill, done = filling(source)
    source.body.feed(b"con")
    source.body.feed(b"tent")
    source.body.end([(b"x-t", b"1")])
    assert done == [b"content"]
    assert await fill.copy.read(100) == b"content"
    assert fill.copy.trailers == [(b"x-t", b"1")]


async def test_a_client_that_leaves_does_not_end_what_is_read_for_the_store():
    source = Source()
    fill, done = filling(source)
    source.body.feed(b"con")
    fill.copy.abort()
    assert source.told == []
    source.body.feed(b"tent")
    source.body.end()
    assert done == [b"content"]


async def test_a_client_that_leaves_ends_what_nobody_else_wants():
    source = Source()
    fill, done = filling(source, is_wanted=False)
    source.body.feed(b"con")
    fill.copy.abort()
    assert (done, source.told) == ([None], ["abort"])


async def test_a_slow_client_does_not_delay_it():
    source = Source()
    fill, done = filling(source)
    fill.copy.pause()
    source.body.feed(b"content")
    source.body.end()
    assert source.told == []
    assert done == [b"content"]


async def test_what_is_too_large_streams_at_the_pace_of_the_client():
    source = Source()
    fill, done = filling(source, max_bytes=10)
    fill.copy.pause()
    source.body.feed(b"x" * 11)
    assert done == [None]
    assert source.told == ["pause"]
    fill.copy.resume()
    assert source.told == ["pause", "resume"]
    source.body.feed(b"y")
    source.body.end()
    assert await fill.copy.read(100) == b"x" * 11 + b"y"
    assert done == [None]


async def test_what_is_too_large_ends_with_its_client():
    source = Source()
    fill, done = filling(source, max_bytes=10)
    fill.copy.abort()
    source.body.feed(b"x" * 11)
    assert (done, source.told) == ([None], ["abort"])

    source = Source()
    fill, done = filling(source, max_bytes=10)
    source.body.feed(b"x" * 11)
    fill.copy.abort()
    assert (done, source.told) == ([None], ["abort"])


async def test_what_breaks_off_is_not_stored_and_breaks_off_for_the_client():
    source = Source()
    fill, done = filling(source)
    source.body.feed(b"con")
    source.body.fail(ConnectionError("reset"))
    assert done == [None]
    with pytest.raises(ConnectionError):
        await fill.copy.read(100)


async def test_all_together_keep_no_more_than_their_budget():
    budget = FillingBudget(15)
    one, two = Source(), Source()
    _, done_one = filling(one, budget=budget)
    _, done_two = filling(two, budget=budget)
    one.body.feed(b"x" * 10)
    two.body.feed(b"y" * 10)
    assert (done_one, done_two) == ([], [None])
    one.body.end()
    assert done_one == [b"x" * 10]
    assert budget.kept_bytes == 0
