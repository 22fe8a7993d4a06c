"""Where events end, however the stream is cut."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_sse.boundary import Boundaries


@given(
    texts=st.lists(st.text(alphabet="ab: ", max_size=5), max_size=5),
    ending=st.sampled_from(["\n", "\r\n", "\r"]),
    cuts=st.lists(st.integers(0, 60), max_size=6),
)
def test_events_are_counted_however_they_are_cut(texts, ending, cuts):
    whole = "".join(f"data: {text}{ending}id: 1{ending}{ending}" for text in texts).encode()
    bounds = sorted({0, *(min(cut, len(whole)) for cut in cuts), len(whole)})
    boundaries = Boundaries()
    for begin, end in itertools.pairwise(bounds):
        boundaries.pass_by(whole[begin:end])
    assert boundaries.events == len(texts)
    assert boundaries.is_between_events


@pytest.mark.parametrize(
    ("pieces", "events", "between_events"),
    [
        ([b"data: 1\n\n"], 1, True),
        ([b"data: 1\n\n", b"data: 2\n\n"], 2, True),
        ([b"data: 1\nid: 1\n\n"], 1, True),
        ([b"\ndata: 1\n\n"], 1, True),
        ([b"\tdata: 1\n\n"], 1, True),
        ([b"data: 1\n\ndata: 2\n\n"], 2, True),
        ([b"data: 1\n\ndata: 2\n"], 1, False),
        ([b"data: 1\r\n\n"], 1, True),
        ([b"data: 1\r\rdata: 2\n\n"], 2, True),
        ([b"data: ", b"1\n\n"], 1, True),
        ([b"data: 1\n", b"\n"], 1, True),
        ([b"data: 1\r", b"\n\n"], 1, True),
        ([b"\n\n"], 0, True),
        ([b"data: 1\n\n", b"\n\n"], 1, True),
        ([b""], 0, True),
    ],
)
def test_events_in_pieces(pieces, events, between_events):
    boundaries = Boundaries()
    for piece in pieces:
        boundaries.pass_by(piece)
    assert (boundaries.events, boundaries.is_between_events) == (events, between_events)


@pytest.mark.parametrize(
    ("sent", "between_events", "between_lines"),
    [
        (b"", True, True),
        (b"data: a", False, False),
        (b"data: a\n", False, True),
        (b"data: a\r", False, False),
        (b"data: a\r\n", False, True),
        (b"data: a\n\n", True, True),
        (b"data: a\r\n\r\n", True, True),
        (b"data: a\r\r", True, True),
        (b"data: a\n\nd", False, False),
    ],
)
def test_where_something_may_be_put_in(sent, between_events, between_lines):
    boundaries = Boundaries()
    boundaries.pass_by(sent)
    assert (boundaries.is_between_events, boundaries.is_between_lines) == (between_events, between_lines)


def test_where_the_event_under_way_ends():
    boundaries = Boundaries()
    assert boundaries.first_end(b"data") == 0
    boundaries.pass_by(b"data: a\n")
    assert boundaries.first_end(b"\ndata: b") == 1
    assert boundaries.first_end(b"data: b\n") is None
    assert boundaries.first_end(b"data: b\n\ndata") == 9
