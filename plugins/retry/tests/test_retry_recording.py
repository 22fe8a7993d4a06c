"""Bodies that stream and can be sent again."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway import Body
from gateway_retry.recording import Recording


class Source:
    """A client that sends."""

    def __init__(self, length=None):
        self.body = Body(self, length)
        self.calls: list[str] = []

    def pause_body(self):
        self.calls.append("pause")

    def resume_body(self):
        self.calls.append("resume")

    def abort_body(self):
        self.calls.append("abort")


class Sink:
    """A service that takes."""

    def __init__(self):
        self.data = b""
        self.ended: Any = None

    def body_data(self, chunk):
        self.data += chunk

    def body_end(self, trailers):
        self.ended = tuple(trailers)

    def body_error(self, error):
        self.ended = error


@given(st.lists(st.binary(min_size=1, max_size=20)), st.integers(0, 200), st.data())
def test_every_try_gets_the_whole_body(chunks, cap, data):
    source = Source()
    recording = Recording(source.body, cap)
    copy, sink = recording.copy(), Sink()
    copy.attach(sink)
    sent = b""
    for chunk in chunks:
        source.body.feed(chunk)
        sent += chunk
        assert recording.can_replay == (len(sent) <= cap)
        assert sink.data == sent
        if recording.can_replay and data.draw(st.booleans()):
            copy.abort()
            assert not source.body.is_over
            copy, sink = recording.copy(), Sink()
            copy.attach(sink)
            assert sink.data == sent
    source.body.end([(b"t", b"1")])
    assert sink.ended == ((b"t", b"1"),)
    if recording.can_replay:
        again = Sink()
        recording.copy().attach(again)
        assert (again.data, again.ended) == (sent, ((b"t", b"1"),))


def test_the_client_is_not_read_before_somebody_takes_its_body():
    """So that it is not told to continue (100) for nothing."""
    source = Source()
    recording = Recording(source.body, 100)
    copy = recording.copy()
    assert not source.body.is_consumed
    copy.attach(Sink())
    assert source.body.is_consumed


def test_between_two_tries_the_client_waits():
    source = Source()
    recording = Recording(source.body, 100)
    copy = recording.copy()
    copy.attach(Sink())
    source.body.feed(b"a")
    source.calls.clear()
    copy.abort()
    assert source.calls == ["pause"]
    source.calls.clear()
    recording.copy().attach(Sink())
    assert source.calls[-1] == "resume"


def test_what_no_try_will_read_is_given_up():
    source = Source()
    recording = Recording(source.body, 2)
    copy = recording.copy()
    copy.attach(Sink())
    source.body.feed(b"abc")
    copy.abort()
    assert source.calls[-1] == "abort"
    other = Source()
    recording = Recording(other.body, 100)
    copy = recording.copy()
    copy.attach(Sink())
    copy.abort()
    recording.release()
    assert other.calls[-1] == "abort"


def test_a_client_that_leaves_between_tries_breaks_the_next_one():
    source, sink = Source(), Sink()
    recording = Recording(source.body, 100)
    copy = recording.copy()
    copy.attach(Sink())
    copy.abort()
    source.body.fail(ConnectionResetError("gone"))
    recording.copy().attach(sink)
    assert isinstance(sink.ended, ConnectionResetError)
