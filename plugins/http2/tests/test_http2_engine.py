"""The engine alone: both ends of a connection, without any transport."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway_http2.engine import Connection, ConnectionFault, ErrorCode, HeaderBlock, Limits, Stream

ASK = ((b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"))
OK = ((b":status", b"200"),)


class Told(Stream):
    """A stream that remembers what it was told."""

    __slots__ = ("blocked", "body", "ended", "heads", "resets")

    def __init__(self) -> None:
        super().__init__()
        self.heads: list[list[tuple[bytes, bytes]]] = []
        self.body = b""
        self.ended = False
        self.resets: list[tuple[int, bool]] = []
        self.blocked: list[bool] = []

    def headers_received(self, block: HeaderBlock, is_end: bool) -> None:  # noqa: FBT001 - as the engine has it
        self.heads.append(block.fields)
        self.ended = is_end

    def data_received(self, data: bytes, is_end: bool) -> None:  # noqa: FBT001 - as the engine has it
        self.body += data
        self.ended = is_end

    def reset_received(self, code: ErrorCode | int, *, is_ours: bool) -> None:
        self.resets.append((int(code), is_ours))

    def sending_blocked(self) -> None:
        self.blocked.append(True)

    def sending_open(self) -> None:
        self.blocked.append(False)


class End:
    """One end: an owner and its connection."""

    def __init__(self, *, is_server: bool, **limits: Any) -> None:
        self.opened: list[Told] = []
        self.faults: list[ConnectionFault] = []
        self.goaways: list[int] = []
        self.pings: list[bytes] = []
        self.connection = Connection(self, is_server=is_server, limits=Limits(**limits), clock=lambda: 0.0)

    def open_stream(self) -> Told:
        self.opened.append(Told())
        return self.opened[-1]

    def output_ready(self) -> None:
        pass

    def settings_received(self) -> None:
        pass

    def ping_acknowledged(self, data: bytes) -> None:
        self.pings.append(data)

    def goaway_received(self, code: int) -> None:
        self.goaways.append(code)

    def failed(self, fault: ConnectionFault) -> None:
        self.faults.append(fault)

    def ask(self, *, end: bool = True) -> Told:
        stream = Told()
        self.connection.open(stream)
        self.connection.send_headers(stream, self.connection.encoder.encode(ASK), is_end=end)
        return stream


class Pair:
    """Two ends, and the wire between them."""

    def __init__(self, *, client: dict[str, int] | None = None, server: dict[str, int] | None = None) -> None:
        self.client = End(is_server=False, **(client or {}))
        self.server = End(is_server=True, **(server or {}))
        self.run()

    def run(self) -> None:
        """Pass everything on until nobody has anything to say."""
        while True:
            to_server, to_client = self.client.connection.take_output(), self.server.connection.take_output()
            if not to_server and not to_client:
                return
            self.server.connection.receive(to_server)
            self.client.connection.receive(to_client)

    def ask(self, *, end: bool = True) -> tuple[Told, Told]:
        mine = self.client.ask(end=end)
        self.run()
        return mine, self.server.opened[-1]


def test_a_request_and_its_response() -> None:
    pair = Pair()
    asked, answering = pair.ask()
    assert answering.heads == [list(ASK)]
    assert answering.ended
    server = pair.server.connection
    server.send_headers(answering, server.encoder.encode(OK))
    server.send_data(answering, b"content")
    server.send_trailers(answering, [(b"x-sum", b"1")])
    pair.run()
    assert (asked.heads, asked.body, asked.ended) == ([list(OK), [(b"x-sum", b"1")]], b"content", True)
    assert not pair.client.connection.streams
    assert not server.streams


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.integers(0, 40_000), min_size=1, max_size=6),
    st.integers(1024, 70_000),
    st.integers(65535, 200_000),
    st.integers(16384, 40_000),
)
def test_content_keeps_its_order_and_its_windows(sizes: list[int], stream: int, connection: int, frame: int) -> None:
    limits = {"stream_window": stream, "connection_window": connection, "max_frame_size": frame}
    pair = Pair(server=limits)
    streams = [pair.ask(end=False) for _ in range(3)]
    for size in sizes:
        for number, (mine, theirs) in enumerate(streams):
            pair.client.connection.send_data(mine, bytes((65 + number,)) * size)
            pair.run()
            # What arrived is bounded by the windows, and taken only now.
            assert theirs.unacknowledged <= stream
            pair.server.connection.acknowledge(theirs, theirs.unacknowledged)
            pair.run()
    for mine, _ in streams:
        pair.client.connection.send_data(mine, b"", is_end=True)
    for _ in range(2000):
        if all(theirs.ended for _, theirs in streams):
            break
        for _, theirs in streams:
            pair.server.connection.acknowledge(theirs, theirs.unacknowledged)
        pair.run()
    assert [theirs.body for _, theirs in streams] == [bytes((65 + number,)) * sum(sizes) for number in range(3)]
    assert not pair.client.faults + pair.server.faults


def test_who_sends_more_than_the_window_is_asked_to_wait() -> None:
    pair = Pair(server={"stream_window": 1024})
    mine, theirs = pair.ask(end=False)
    pair.client.connection.send_data(mine, b"x" * 3000)
    pair.run()
    assert (len(theirs.body), mine.blocked) == (1024, [True])
    for _ in range(4):
        pair.server.connection.acknowledge(theirs, theirs.unacknowledged)
        pair.run()
    assert (len(theirs.body), mine.blocked) == (3000, [True, False])


def test_nothing_is_sent_while_the_transport_takes_nothing() -> None:
    pair = Pair()
    mine, theirs = pair.ask(end=False)
    pair.client.connection.is_held = True
    pair.client.connection.send_data(mine, b"content", is_end=True)
    pair.run()
    assert (theirs.body, mine.blocked) == (b"", [True])
    pair.client.connection.is_held = False
    pair.client.connection.send_waiting()
    pair.run()
    assert (theirs.body, theirs.ended) == (b"content", True)


def test_trailers_wait_for_content() -> None:
    pair = Pair(server={"stream_window": 1024})
    mine, theirs = pair.ask(end=False)
    pair.client.connection.send_data(mine, b"x" * 2000)
    pair.client.connection.send_trailers(mine, [(b"t", b"1")])
    pair.run()
    assert len(theirs.heads) == 1
    pair.server.connection.acknowledge(theirs, 1024)
    pair.run()
    assert theirs.heads[1:] == [[(b"t", b"1")]]


def test_what_a_reset_stream_held_of_the_window_is_given_back() -> None:
    pair = Pair(server={"connection_window": 65535})
    for _ in range(20):
        mine, _ = pair.ask(end=False)
        pair.client.connection.send_data(mine, b"x" * 16384)
        pair.run()
        pair.client.connection.reset(mine.id, ErrorCode.CANCEL)
        pair.run()
    assert pair.server.opened[-1].body == b"x" * 16384
    assert not pair.server.faults


def test_content_on_its_way_to_a_stream_that_was_reset_is_dropped() -> None:
    pair = Pair()
    mine, theirs = pair.ask(end=False)
    pair.server.connection.reset(theirs.id, ErrorCode.NO_ERROR)
    pair.client.connection.send_data(mine, b"late")
    pair.client.connection.send_trailers(mine, [(b"t", b"1")])
    pair.run()
    assert mine.resets == [(0, False)]
    assert not pair.server.faults
    assert theirs.body == b""


def test_a_goaway_refuses_what_was_not_looked_at() -> None:
    pair = Pair()
    first, _ = pair.ask()
    pair.server.connection.leave()
    second = pair.client.ask()
    pair.run()
    assert second.resets == [(ErrorCode.REFUSED_STREAM, False)]
    assert not first.resets
    assert pair.client.connection.is_peer_leaving


def test_a_stream_too_many_is_refused() -> None:
    pair = Pair(server={"max_concurrent_streams": 1})
    pair.ask()
    refused = pair.client.ask()
    pair.run()
    assert refused.resets == [(ErrorCode.REFUSED_STREAM, False)]


def test_long_header_blocks_are_cut_into_frames() -> None:
    pair = Pair(server={"max_header_bytes": 100_000})
    stream = Told()
    client = pair.client.connection
    client.open(stream)
    fields = (*ASK, (b"x-long", b"v" * 40_000))
    client.send_headers(stream, client.encoder.encode(fields), is_end=True)
    pair.run()
    assert pair.server.opened[0].heads == [list(fields)]


def test_pings_come_back() -> None:
    pair = Pair()
    pair.client.connection.ping(b"12345678")
    pair.run()
    assert pair.client.pings == [b"12345678"]


@pytest.mark.parametrize("is_server", [True, False])
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_whatever_comes_the_engine_stands(*, is_server: bool, data: st.DataObject) -> None:
    """Frames of all kinds with changed bytes: an end, or nothing, but no exception and nothing that grows."""
    end = End(is_server=is_server)
    other = End(is_server=not is_server)
    beginning = other.connection.take_output()
    if not is_server:
        for _ in range(3):
            end.ask(end=False)
    end.connection.receive(beginning)
    frame = st.tuples(
        st.integers(0, 11),
        st.integers(0, 255),
        st.sampled_from([0, 1, 1, 3, 3, 5, 2, 2**31 - 1]),
        st.one_of(
            st.binary(max_size=40),
            st.sampled_from([b"\x82\x86\x84", b"\x88", b"\0\0\0\x05", bytes(8), b"\0\0\0\0\x7f"]),
        ),
    )
    frames = b"".join(
        len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream_id.to_bytes(4, "big") + payload
        for kind, flags, stream_id, payload in data.draw(st.lists(frame, max_size=15))
    )
    wire = bytearray(frames)
    for position in data.draw(st.lists(st.integers(0, 10**6), max_size=3)):
        if wire:
            wire[position % len(wire)] ^= 1 << (position % 8)
    for cut in range(0, len(wire), size := data.draw(st.integers(1, 64))):
        end.connection.receive(bytes(wire[cut : cut + size]))
    end.connection.take_output()
    assert len(end.faults) <= 1
    assert len(end.connection.streams) <= 128
    assert len(end.connection._received) <= 16384 + 9
