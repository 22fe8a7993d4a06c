from __future__ import annotations

import asyncio
import os
import socket
from typing import Any

import pytest

from gateway import ErrorType, GatewayError
from gateway.errors import ConfigurationError, Problem
from gateway.runtime import channel as channels
from gateway.runtime.channel import Channel, ChannelClosed, Handed

pytestmark = pytest.mark.anyio


class Pair:
    """Two ends; ``there`` has the handlers."""

    def __init__(self, **handlers: Any) -> None:
        self.ends = socket.socketpair()
        self.closed: list[str] = []
        self.here = Channel(self.ends[0], {}, lambda: self.closed.append("here"))
        self.there = Channel(self.ends[1], handlers, lambda: self.closed.append("there"))

    def close(self) -> None:
        self.here.close()
        self.there.close()


@pytest.fixture
async def pair():
    pairs = []

    def make(**handlers: Any) -> Pair:
        pairs.append(Pair(**handlers))
        return pairs[-1]

    yield make
    for each in pairs:
        each.close()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_call_returns_what_the_handler_returns(pair):
    async def add(one: int, two: int) -> int:
        return one + two

    assert await pair(add=add).here.call("add", 1, 2) == 3


async def test_calls_go_both_ways_at_once(pair):
    async def ask(number: int) -> int:
        found: int = await ends.there.call("answer", number)
        return found + 1

    async def answer(number: int) -> int:
        return number * 2

    ends = pair(ask=ask)
    ends.here._handlers = {"answer": answer}
    assert await asyncio.gather(*(ends.here.call("ask", number) for number in range(20))) == [
        number * 2 + 1 for number in range(20)
    ]


@pytest.mark.parametrize(
    "error",
    [
        GatewayError(ErrorType.UNAVAILABLE, "no", detail="really"),
        ConfigurationError([Problem("is wrong", where="g.yaml:1:2")]),
        OSError(2, "missing"),
    ],
    ids=["gateway", "configuration", "system"],
)
async def test_what_the_handler_raises_is_raised_here(pair, error):
    async def fail() -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        await pair(fail=fail).here.call("fail")
    assert str(raised.value) == str(error)


async def test_an_error_that_cannot_travel_says_the_same(pair):
    class Local(Exception):
        def __init__(self, one: str, two: str) -> None:
            super().__init__(f"{one} {two}")

    async def fail() -> None:
        raise Local("one", "two")

    with pytest.raises(RuntimeError, match="Local: one two"):
        await pair(fail=fail).here.call("fail")


async def test_a_result_that_cannot_travel_is_an_error_and_not_a_silence(pair):
    async def odd() -> Any:
        return lambda: None

    with pytest.raises(Exception, match=r"lambda|pickle"):
        await asyncio.wait_for(pair(odd=odd).here.call("odd"), 30)


async def test_a_call_of_nothing_is_an_error(pair):
    with pytest.raises(KeyError):
        await pair().here.call("nothing")


async def test_arguments_that_cannot_travel_are_an_error_at_once(pair):
    ends = pair()
    with pytest.raises(Exception, match=r"lambda|pickle"):
        await ends.here.call("any", lambda: None)
    assert ends.here._calls == {}


async def test_telling_waits_for_nothing(pair, until):
    told: list[int] = []

    async def note(number: int) -> None:
        told.append(number)

    ends = pair(note=note)
    for number in range(100):
        ends.here.tell("note", number)
    await until(lambda: len(told) == 100)
    assert told == list(range(100))


async def test_what_is_told_after_a_call_is_done_after_its_beginning(pair):
    """What the control plane tells of a service must not be overwritten by what it said before."""
    order: list[str] = []

    async def slow(name: str) -> None:
        order.append(name)
        await asyncio.sleep(0)
        order.append(f"{name} ended")

    async def quick(name: str) -> None:
        order.append(name)

    ends = pair(slow=slow, quick=quick)
    first = asyncio.ensure_future(ends.here.call("slow", "first"))
    await asyncio.sleep(0)
    ends.here.tell("quick", "second")
    await first
    await settle()
    assert order.index("first") < order.index("second")


async def test_what_fails_when_told_is_logged(pair, caplog, until):
    async def fail() -> None:
        raise OSError("gone")

    pair(fail=fail).here.tell("fail")
    await until(lambda: caplog.records)
    assert caplog.records[0].getMessage() == "fail failed"


async def test_a_socket_travels(pair):
    with socket.create_server(("127.0.0.1", 0)) as listening:

        async def hand() -> Handed:
            return Handed(listening)

        ends = pair(hand=hand)
        numbers = [await ends.here.call("hand") for _ in range(3)]
        for number in numbers:
            with socket.socket(fileno=number) as received:
                assert received.getsockname() == listening.getsockname()
                assert received.fileno() != listening.fileno()
                assert not os.get_inheritable(received.fileno())


async def test_large_messages_arrive_whole(pair):
    async def echo(data: bytes) -> bytes:
        return data

    data = os.urandom(5_000_000)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        async def hand() -> Handed:
            return Handed(listening)

        ends = pair(echo=echo, hand=hand)
        large, handed, again = await asyncio.gather(
            ends.here.call("echo", data), ends.here.call("hand"), ends.here.call("echo", data)
        )
        os.close(handed)
    assert large == again == data


async def test_a_call_that_is_not_answered_in_time(pair):
    async def never() -> None:
        await asyncio.Event().wait()

    ends = pair(never=never)
    with pytest.raises(TimeoutError):
        await ends.here.call("never", timeout_s=0.01)
    assert ends.here._calls == {}


async def test_an_answer_that_comes_too_late_is_dropped(pair):
    with socket.create_server(("127.0.0.1", 0)) as listening:

        async def hand() -> Handed:
            await asyncio.sleep(0.02)
            return Handed(listening)

        ends = pair(hand=hand)
        with pytest.raises(TimeoutError):
            await ends.here.call("hand", timeout_s=0.001)
        await asyncio.sleep(0.05)
    assert not ends.closed


# The end.


async def test_when_the_other_end_goes_calls_fail_and_that_is_told(pair):
    async def never() -> None:
        await asyncio.Event().wait()

    ends = pair(never=never)
    calling = asyncio.ensure_future(ends.here.call("never"))
    await settle()
    ends.there.close()
    with pytest.raises(ChannelClosed):
        await calling
    assert ends.closed == ["there", "here"]
    with pytest.raises(ChannelClosed):
        await ends.here.call("never")
    ends.here.tell("never")
    ends.here.close()
    assert ends.closed == ["there", "here"]


async def test_an_answer_to_somebody_who_went_is_dropped(pair, caplog):
    release = asyncio.Event()

    async def late() -> int:
        await release.wait()
        return 1

    ends = pair(late=late)
    calling = asyncio.ensure_future(ends.here.call("late"))
    await settle()
    ends.here.close()
    with pytest.raises(ChannelClosed):
        await calling
    await settle()
    release.set()
    await settle()
    assert caplog.records == []


async def test_an_end_that_takes_nothing_is_given_up(pair, monkeypatch, caplog):
    """A process that stands still must not fill the memory of the one that tells it things."""
    monkeypatch.setattr(channels, "MAX_OUTGOING_BYTES", 3_000_000)
    ends = pair()
    asyncio.get_running_loop().remove_reader(ends.ends[1])
    for _ in range(5):
        ends.here.tell("note", b"x" * 1_000_000)
    assert ends.closed == ["here"]
    assert "takes nothing any more" in caplog.text


async def test_what_cannot_be_understood_ends_the_channel(pair, caplog, until):
    ends = pair()
    ends.ends[0].send(b"\x00\x00\x00\x04junk")
    await until(lambda: ends.closed)
    assert "cannot be understood" in caplog.text


async def test_writing_to_an_end_that_is_gone_ends_the_channel(pair):
    ends = pair()
    asyncio.get_running_loop().remove_reader(ends.ends[0])
    ends.there.close()
    for _ in range(3):
        ends.here.tell("note", b"x" * 1000)
    assert ends.closed == ["there", "here"]


async def test_sockets_that_arrive_and_are_not_taken_are_closed(pair):
    ends = pair()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        socket.send_fds(ends.ends[1], [b"\x00\x00"], [listening.fileno()])
        await asyncio.sleep(0.01)
        (descriptor,) = ends.here._descriptors
        ends.here.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
