from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import Body, ErrorType, GatewayError
from gateway.body import HIGH_WATER_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

pytestmark = pytest.mark.anyio


class Source:
    """A producer that notes what it is told, and feeds when it is resumed."""

    def __init__(self, on_resume: Callable[[], None] | None = None) -> None:
        self.told: list[str] = []
        self.is_paused = False
        self._on_resume = on_resume

    def pause_body(self) -> None:
        self.told.append("pause")
        self.is_paused = True

    def resume_body(self) -> None:
        self.told.append("resume")
        self.is_paused = False
        if self._on_resume is not None:
            self._on_resume()

    def abort_body(self) -> None:
        self.told.append("abort")


class Sink:
    """A sink that notes what it is given."""

    def __init__(self, on_data: Callable[[], None] | None = None) -> None:
        self.taken: list[object] = []
        self._on_data = on_data

    @property
    def data(self) -> bytes:
        return b"".join(each for each in self.taken if isinstance(each, bytes))

    def body_data(self, chunk: bytes) -> None:
        self.taken.append(chunk)
        if self._on_data is not None:
            self._on_data()

    def body_end(self, trailers: Sequence[tuple[bytes, bytes]]) -> None:
        self.taken.append(("end", tuple(trailers)))

    def body_error(self, error: Exception) -> None:
        self.taken.append(("error", error))


END = ("end", ())


async def settle() -> None:
    """Let everything that is ready run."""
    for _ in range(10):
        await asyncio.sleep(0)


def test_silence_is_the_sources_to_limit():
    class Patient(Source):
        def set_idle_timeout(self, timeout_s: float | None) -> None:
            self.told.append(f"{timeout_s}")

    source = Patient()
    body = Body(source)
    body.set_idle_timeout(None)
    body.set_idle_timeout(5)
    Body(Source()).set_idle_timeout(5)  # one without a limit has nothing to set
    body.end()
    body.set_idle_timeout(7)  # too late
    assert source.told == ["None", "5"]


def test_what_arrives_before_the_sink_is_kept_for_it():
    body = Body(Source(), length=4)
    body.feed(b"ab")
    body.feed(b"cd")
    body.end([(b"x", b"y")])
    sink = Sink()
    body.attach(sink)
    assert sink.taken == [b"ab", b"cd", ("end", ((b"x", b"y"),))]
    assert (body.received_bytes, body.is_complete, body.is_over, body.trailers) == (4, True, True, [(b"x", b"y")])


def test_what_arrives_afterwards_goes_straight_through():
    body, sink = Body(Source()), Sink()
    body.attach(sink)
    assert sink.taken == []
    body.feed(b"ab")
    assert sink.taken == [b"ab"]
    body.end()
    assert sink.taken == [b"ab", END]


def test_a_body_that_broke_off_tells_its_sink_after_what_came_before():
    error = ConnectionResetError("gone")
    body, sink = Body(Source()), Sink()
    body.feed(b"ab")
    body.fail(error)
    body.attach(sink)
    assert sink.taken == [b"ab", ("error", error)]
    assert body.error is error
    assert not body.is_complete


def test_a_body_that_turns_out_larger_than_its_limit_breaks_off():
    source, sink = Source(), Sink()
    body = Body(source)
    body.limit(4)
    body.attach(sink)
    body.feed(b"abcd")
    body.feed(b"e")
    body.feed(b"f")
    assert sink.data == b"abcd"
    assert isinstance(body.error, GatewayError)
    assert body.error.type is ErrorType.PAYLOAD_TOO_LARGE
    assert sink.taken[-1] == ("error", body.error)
    assert source.told == ["abort"]


@pytest.mark.parametrize("is_declared", [True, False])
def test_a_body_that_is_known_to_be_too_large_is_refused_at_once(is_declared):
    body = Body(Source(), length=5 if is_declared else None)
    if not is_declared:
        body.feed(b"abcde")
    body.limit(5)
    with pytest.raises(GatewayError, match="larger than 4 bytes") as refusal:
        body.limit(4)
    assert refusal.value.type is ErrorType.PAYLOAD_TOO_LARGE


def test_a_limit_is_never_raised():
    body = Body(Source())
    body.limit(2)
    body.limit(4)
    body.feed(b"abc")
    assert body.error is not None


def test_a_body_breaks_off_in_front_of_its_sink():
    error = ConnectionResetError("gone")
    body, sink = Body(Source()), Sink()
    body.attach(sink)
    body.fail(error)
    assert sink.taken == [("error", error)]


def test_a_body_can_be_read_once():
    body = Body(Source())
    body.attach(Sink())
    with pytest.raises(RuntimeError, match="already consumed"):
        body.attach(Sink())


def test_an_aborted_body_cannot_be_read():
    body = Body(Source())
    body.abort()
    with pytest.raises(RuntimeError, match="already consumed"):
        body.attach(Sink())


@pytest.mark.parametrize("last", ["end", "fail", "abort"])
def test_a_body_that_is_over_lets_its_sink_go(last):
    """They know each other: whoever is left waits for the garbage collector otherwise."""
    body, sink = Body(Source()), Sink()
    body.attach(sink)
    gone = weakref.ref(sink)
    del sink
    {"end": body.end, "fail": lambda: body.fail(OSError("a")), "abort": body.abort}[last]()
    assert gone() is None


@pytest.mark.parametrize("last", ["end", "fail"])
def test_a_body_that_was_over_before_lets_its_sink_go_and_feeds_no_more(last):
    body, sink = Body(Source()), Sink()
    {"end": body.end, "fail": lambda: body.fail(OSError("a"))}[last]()
    body.attach(sink)
    body.feed(b"late")
    assert sink.data == b""
    gone = weakref.ref(sink)
    del sink
    assert gone() is None


@pytest.mark.parametrize("last", ["end", "fail", "abort"])
@pytest.mark.parametrize("is_attached", [True, False])
def test_whatever_follows_the_end_is_ignored(last, is_attached):
    source, sink = Source(), Sink()
    body = Body(source)
    closed: list[bool] = []
    body.on_close = lambda: closed.append(True)
    if is_attached:
        body.attach(sink)
    ways = {"end": body.end, "fail": lambda: body.fail(OSError("a")), "abort": body.abort}
    ways[last]()
    before, told, state = list(sink.taken), list(source.told), repr(body)
    body.feed(b"late")
    for way in ways.values():
        way()
    assert (sink.taken, source.told, repr(body)) == (before, told, state)
    assert closed == [True]
    assert body.received_bytes == 0


def test_on_close_is_called_before_the_sink_learns_of_the_end():
    order: list[str] = []
    body = Body(Source())
    body.on_close = lambda: order.append("closed")
    sink = Sink()
    sink.body_end = lambda trailers: order.append("end")  # type: ignore[method-assign]  # a note is enough
    body.attach(sink)
    body.end()
    assert order == ["closed", "end"]


# Back-pressure.


def test_without_a_sink_the_producer_is_paused_at_the_water_mark():
    source = Source()
    body = Body(source)
    body.feed(b"x" * (HIGH_WATER_BYTES - 1))
    assert source.told == []
    body.feed(b"x")
    body.feed(b"what was on its way")
    assert source.told == ["pause"]
    body.attach(Sink())
    assert source.told == ["pause", "resume"]


def test_a_sink_that_pauses_while_it_gets_what_was_kept_stays_paused():
    source = Source()
    body = Body(source)
    body.feed(b"a" * HIGH_WATER_BYTES)
    body.feed(b"b")
    sink = Sink(on_data=body.pause)
    body.attach(sink)
    assert source.is_paused
    assert sink.data == b"a" * HIGH_WATER_BYTES + b"b"
    body.resume()
    assert not source.is_paused


def test_a_producer_that_feeds_when_it_is_resumed_does_not_overtake():
    """A sink may resume while it is given what was kept; what then comes belongs behind that."""
    source = Source(on_resume=lambda: body.feed(b"3"))
    body = Body(source)
    body.feed(b"1")
    body.feed(b"2")
    sink = Sink(on_data=lambda: body.resume() if sink.taken == [b"1"] else None)
    body.attach(sink)
    assert sink.data == b"123"


def test_a_producer_that_ends_when_it_is_resumed_does_not_overtake():
    source = Source(on_resume=lambda: body.end())  # noqa: PLW0108 - there is no body yet
    body = Body(source)
    body.feed(b"1")
    body.feed(b"2")
    sink = Sink(on_data=lambda: body.resume() if sink.taken == [b"1"] else None)
    body.attach(sink)
    assert sink.taken == [b"1", b"2", END]


def test_a_sink_that_gives_up_while_it_gets_what_was_kept_gets_no_more():
    source = Source()
    body = Body(source)
    body.feed(b"1")
    body.feed(b"2")
    sink = Sink(on_data=body.abort)
    body.attach(sink)
    assert sink.taken == [b"1"]
    assert source.told == ["abort"]


def test_pausing_what_is_over_is_harmless():
    source = Source()
    body = Body(source)
    body.end()
    body.pause()
    body.resume()
    assert source.told == []


# Reading.


async def test_reading_collects_everything():
    body = Body(Source())
    body.feed(b"ab")
    task = asyncio.ensure_future(body.read(100))
    await settle()
    body.feed(b"cd")
    body.end()
    assert await task == b"abcd"


async def test_reading_stops_at_the_limit_and_gives_the_rest_up():
    source = Source()
    body = Body(source)
    body.feed(b"abc")
    with pytest.raises(GatewayError) as refused:
        await body.read(2)
    assert refused.value.type is ErrorType.PAYLOAD_TOO_LARGE
    assert source.told[-1] == "abort"


async def test_a_body_that_says_it_is_too_long_is_not_read_at_all():
    source = Source()
    with pytest.raises(GatewayError, match="larger than 9 bytes"):
        await Body(source, length=10).read(9)
    assert source.told == ["abort"]


async def test_a_body_of_exactly_the_limit_is_read():
    body = Body(Source(), length=3)
    body.feed(b"abc")
    body.end()
    assert await body.read(3) == b"abc"


async def test_what_broke_the_body_off_is_raised_where_it_is_read():
    body = Body(Source())
    body.feed(b"ab")
    body.fail(ConnectionResetError("gone"))
    got = []
    with pytest.raises(ConnectionResetError, match="gone"):  # noqa: PT012 - what came before the error counts
        async for chunk in body:
            got.append(chunk)  # noqa: PERF401 - as above
    assert got == [b"ab"]


async def test_leaving_the_loop_early_gives_the_rest_up():
    source = Source()
    body = Body(source)
    body.feed(b"ab")
    async for _ in body:
        break
    await settle()
    assert source.told[-1] == "abort"
    assert body.is_over


async def test_a_reader_that_is_cancelled_gives_the_rest_up():
    source = Source()
    body = Body(source)
    task = asyncio.ensure_future(body.read(100))
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert source.told[-1] == "abort"


async def test_a_reader_learns_that_somebody_else_gave_the_body_up():
    body = Body(Source())
    task = asyncio.ensure_future(body.read(100))
    await settle()
    body.abort()
    with pytest.raises(ConnectionAbortedError):
        await asyncio.wait_for(task, 30)


async def test_a_second_reader_is_refused_and_does_not_disturb_the_first():
    body = Body(Source())
    first = asyncio.ensure_future(body.read(100))
    await settle()
    with pytest.raises(RuntimeError, match="already consumed"):
        await body.read(100)
    body.feed(b"ab")
    body.end()
    assert await first == b"ab"


async def test_a_slow_reader_pauses_the_producer():
    source = Source()
    body = Body(source)
    reader = aiter(body)
    first = asyncio.ensure_future(anext(reader))
    await settle()
    body.feed(b"1")
    assert source.is_paused
    body.feed(b"2")
    assert await first == b"1"
    assert await anext(reader) == b"2"
    assert source.is_paused
    third = asyncio.ensure_future(anext(reader))
    await settle()
    assert source.told[-1] == "resume"
    body.end()
    with pytest.raises(StopAsyncIteration):
        await third


async def test_many_small_pieces_take_no_quadratic_time():
    body = Body(Source())
    for _ in range(200_000):
        body.feed(b"x")
    body.end()
    assert len(await body.read(1_000_000)) == 200_000


# From an iterable.


async def three(closed: list[str]) -> AsyncIterator[bytes]:
    try:
        yield b"1"
        yield b""
        yield b"2"
        yield b"3"
    finally:
        closed.append("closed")


async def endless(closed: list[str]) -> AsyncIterator[bytes]:
    try:
        while True:
            yield b"x" * 1024
    finally:
        closed.append("closed")


async def test_an_iterable_becomes_a_body():
    closed: list[str] = []
    body = Body.from_iterable(three(closed), length=3)
    assert body.length == 3
    sink = Sink()
    body.attach(sink)
    await settle()
    assert sink.taken == [b"1", b"2", b"3", END]
    assert closed == ["closed"]


@pytest.mark.parametrize(
    ("length", "taken", "message"),
    [
        (0, [], "gave more than the 0 bytes that were promised"),
        (2, [b"1", b"2"], "gave more than the 2 bytes that were promised"),
        (5, [b"1", b"2", b"3"], "gave 3 of the 5 bytes that were promised"),
    ],
)
async def test_an_iterable_that_is_not_as_long_as_promised_breaks_off_and_nothing_beyond_is_passed_on(
    length, taken, message
):
    closed: list[str] = []
    body = Body.from_iterable(three(closed), length=length)
    sink = Sink()
    body.attach(sink)
    await settle()
    *pieces, error = sink.taken
    assert pieces == taken
    assert message in str(error)
    assert isinstance(body.error, ValueError)
    assert not body.is_complete
    assert closed == ["closed"]


async def test_an_iterable_is_read_only_as_fast_as_its_sink_takes():
    closed: list[str] = []
    body = Body.from_iterable(endless(closed))
    sink = Sink(on_data=body.pause)
    body.attach(sink)
    await settle()
    assert len(sink.taken) == 1
    body.resume()
    await settle()
    assert len(sink.taken) == 2
    body.abort()
    await settle()
    assert closed == ["closed"]


async def test_an_iterable_that_raises_breaks_the_body_off():
    async def broken() -> AsyncIterator[bytes]:
        yield b"1"
        raise OSError("disk")

    body, sink = Body.from_iterable(broken()), Sink()
    body.attach(sink)
    await settle()
    assert sink.taken[0] == b"1"
    assert repr(sink.taken[1]) == "('error', OSError('disk'))"


async def test_an_iterable_is_closed_when_the_client_goes_away_while_it_waits():
    closed: list[str] = []

    async def stuck() -> AsyncIterator[bytes]:
        try:
            yield b"1"
            await asyncio.Event().wait()
        finally:
            closed.append("closed")

    body, sink = Body.from_iterable(stuck()), Sink()
    body.attach(sink)
    await settle()
    body.abort()
    await settle()
    assert (sink.taken, closed) == ([b"1"], ["closed"])


async def test_giving_up_a_body_that_nobody_read_releases_what_its_iterable_would_read():
    """A policy that maps a response's body holds that body in a generator, which does nothing before it is asked."""
    source = Source()
    upstream = Body(source)

    async def shouting() -> AsyncIterator[bytes]:
        async for chunk in upstream:
            yield chunk.upper()

    Body.from_iterable(shouting()).abort()
    await settle()
    assert upstream.is_over
    assert source.told[-1] == "abort"


async def test_giving_up_a_body_that_nobody_read_does_not_run_through_an_endless_iterable():
    closed: list[str] = []
    Body.from_iterable(endless(closed)).abort()
    await asyncio.wait_for(settle(), 30)
    assert closed == ["closed"]


async def test_an_iterable_that_never_waits_does_not_outlive_an_abort():
    closed: list[str] = []
    body = Body.from_iterable(endless(closed))
    sink = Sink(on_data=lambda: body.abort() if len(sink.taken) == 3 else None)
    body.attach(sink)
    await settle()
    assert (len(sink.taken), closed) == (3, ["closed"])


async def test_an_iterable_without_aclose_will_do():
    class Two:
        def __init__(self) -> None:
            self.left = [b"2", b"1"]

        def __aiter__(self) -> Two:
            return self

        async def __anext__(self) -> bytes:
            if not self.left:
                raise StopAsyncIteration
            return self.left.pop()

    assert await Body.from_iterable(Two()).read(10) == b"12"


async def test_an_iterable_that_fails_while_it_is_closed_is_logged(caplog):
    async def spiteful() -> AsyncIterator[bytes]:
        try:
            yield b"1"
            await asyncio.Event().wait()
        finally:
            raise OSError("spite")

    body = Body.from_iterable(spiteful())
    body.attach(Sink(on_data=lambda: None))
    await settle()
    body.abort()
    await settle()
    gc.collect()
    assert "spite" in caplog.text


async def test_a_pump_that_is_cancelled_from_outside_breaks_the_body_off():
    """As the event loop does when it ends: the client must not take what it has for the whole."""
    others = asyncio.all_tasks()
    body = Body.from_iterable(endless([]))
    sink = Sink(on_data=body.pause)
    body.attach(sink)
    (pump,) = asyncio.all_tasks() - others
    await settle()
    pump.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await pump
    assert repr(sink.taken[-1]).startswith("('error', ConnectionAbortedError")


async def test_nested_bodies_are_released_from_the_outside_in():
    source = Source()
    upstream = Body(source)

    async def copy(body: Body) -> AsyncIterator[bytes]:
        async for chunk in body:
            yield chunk

    outer = Body.from_iterable(copy(Body.from_iterable(copy(upstream))))
    sink = Sink()
    outer.attach(sink)
    await settle()
    upstream.feed(b"1")
    await settle()
    assert sink.taken == [b"1"]
    outer.abort()
    for _ in range(5):
        await settle()
    assert source.told[-1] == "abort"


# Whatever the chunking.

chunkings = st.lists(st.binary(max_size=40), max_size=30)


@given(chunkings, st.integers(0, 30), st.lists(st.booleans(), max_size=60))
def test_no_byte_is_lost_or_reordered_by_a_sink_that_comes_late_and_pauses(chunks, kept, pauses):
    waiting = list(chunks)
    choices = iter(pauses)

    def feed_one() -> None:
        if waiting:
            body.feed(waiting.pop(0))

    source = Source(on_resume=feed_one)
    body = Body(source)
    for _ in range(min(kept, len(waiting))):
        feed_one()

    def maybe_pause() -> None:
        choice = next(choices, None)
        if choice is not None:
            (body.pause if choice else body.resume)()

    sink = Sink(on_data=maybe_pause)
    body.attach(sink)
    while waiting:
        feed_one()
    body.end()
    assert sink.data == b"".join(chunks)
    assert sink.taken[-1] == END
    assert body.received_bytes == sum(map(len, chunks))


@given(chunkings, st.integers(0, 30))
def test_no_byte_is_lost_or_reordered_on_the_way_to_a_reader(chunks, kept):
    async def transfer() -> None:
        source = Source()
        body = Body(source)
        for chunk in chunks[:kept]:
            body.feed(chunk)
        task = asyncio.ensure_future(body.read(10_000))
        for chunk in chunks[kept:]:
            await asyncio.sleep(0)
            body.feed(chunk)
        body.end()
        assert await task == b"".join(chunks)

    asyncio.run(transfer())


@given(chunkings)
def test_no_byte_is_lost_or_reordered_on_the_way_from_an_iterable(chunks):
    async def pieces() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    async def transfer() -> None:
        assert await Body.from_iterable(pieces()).read(10_000) == b"".join(chunks)

    asyncio.run(transfer())


@given(st.lists(st.integers(1, 200_000), min_size=1, max_size=20))
def test_a_producer_that_obeys_never_fills_more_than_the_water_mark_and_a_piece(sizes):
    source = Source()
    body = Body(source)
    fed = 0
    for size in sizes:
        if source.is_paused:
            break
        body.feed(b"x" * size)
        fed += size
    assert fed < HIGH_WATER_BYTES + max(sizes)


async def test_an_iterable_that_fails_in_aclose_is_logged(caplog):
    class Spiteful:
        def __aiter__(self) -> Spiteful:
            return self

        async def __anext__(self) -> bytes:
            raise StopAsyncIteration

        async def aclose(self) -> None:
            raise OSError("spite")

    assert await Body.from_iterable(Spiteful()).read(1) == b""
    await settle()
    assert "spite" in caplog.text


async def test_what_was_read_is_sent_again_with_its_trailer_fields():
    body = Body(Source())
    body.feed(b"abc")
    body.end([(b"checksum", b"1")])
    again = body.replay(await body.read(10))
    sink = Sink()
    assert isinstance(again, Body)
    assert again.length == 3
    again.attach(sink)
    assert sink.taken == [b"abc", ("end", ((b"checksum", b"1"),))]


async def test_what_was_read_of_a_body_without_trailer_fields_is_sent_as_bytes():
    body = Body(Source())
    body.feed(b"abc")
    body.end()
    assert body.replay(await body.read(10)) == b"abc"
