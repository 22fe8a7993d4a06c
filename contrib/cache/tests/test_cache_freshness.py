"""The arithmetic of RFC 9111 section 4.2."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import Headers
from gateway_cache.directives import MAX_DELTA_S, parse_directives, parse_http_date, seconds_of
from gateway_cache.freshness import explicit_lifetime_s, guessed_lifetime_s, initial_age_s

NOW = 1_700_000_000.0
seconds = st.floats(0, 1e9, allow_nan=False)
whole = st.integers(0, 10**9)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("max-age=60", {"max-age": "60"}),
        ("Max-Age=60, NO-CACHE", {"max-age": "60", "no-cache": None}),
        ('private="set-cookie, x", max-age="5"', {"private": "set-cookie, x", "max-age": "5"}),
        ('ext="a\\"b", public', {"ext": 'a\\"b', "public": None}),
        ("max-age=1,max-age=2", {"max-age": "1"}),
        (",, ,public,", {"public": None}),
        ("", {}),
        ('"no-store"', {"no-store": None}),
    ],
)
def test_directives(text, found):
    assert parse_directives([text]) == found


@given(st.lists(st.text(), max_size=5))
def test_whatever_stands_there_is_read(values):
    directives = parse_directives(values)
    for name in directives:
        assert name == name.lower()
        assert 0 <= (seconds_of(directives, name) or 0.0) <= MAX_DELTA_S


@pytest.mark.parametrize(
    ("value", "expected"),
    [("0", 0), ("60", 60), ("9" * 40, MAX_DELTA_S), ("-1", 0), ("1.5", 0), ("", 0), (None, 0), ("x", 0), ("\u0661", 0)],
)
def test_what_is_no_number_of_seconds_is_none(value, expected):
    assert seconds_of({"max-age": value}, "max-age") == expected
    assert seconds_of({}, "max-age") is None


@pytest.mark.parametrize(
    "text", ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
)
def test_the_three_formats_of_dates(text):
    """RFC 9110 section 5.6.7."""
    assert parse_http_date(text) == 784111777


@given(st.text())
def test_what_is_no_date_is_none(text):
    moment = parse_http_date(text)
    assert moment is None or isinstance(moment, float)


@given(whole, whole)
def test_a_shared_cache_goes_by_s_maxage_first(shared, private):
    headers = Headers.of([("expires", formatdate(NOW + 5, usegmt=True))])
    directives = parse_directives([f"max-age={private}, s-maxage={shared}"])
    assert explicit_lifetime_s(directives, headers, NOW) == shared
    assert explicit_lifetime_s(parse_directives([f"max-age={private}"]), headers, NOW) == private
    assert explicit_lifetime_s({}, headers, NOW) == 5


@pytest.mark.parametrize("expires", ["0", "-1", "never", ""])
def test_an_expiry_that_is_no_date_is_over(expires):
    assert explicit_lifetime_s({}, Headers.of([("expires", expires)]), NOW) == 0


@given(seconds, st.floats(0, 1), seconds)
def test_what_is_guessed_is_a_share_of_the_time_since_the_last_change(since_s, fraction, max_s):
    headers = Headers.of([("last-modified", formatdate(NOW - since_s, usegmt=True))])
    guessed = guessed_lifetime_s(200, headers, NOW, default_s=0.0, fraction=fraction, max_s=max_s)
    assert 0 <= guessed <= max_s
    assert guessed <= fraction * (since_s + 1)
    assert guessed_lifetime_s(500, headers, NOW, default_s=9.0, fraction=fraction, max_s=max_s) == 0
    assert guessed_lifetime_s(200, headers, NOW, default_s=9.0, fraction=fraction, max_s=max_s) == 9


@given(whole, whole, seconds)
def test_the_age_is_never_less_than_anybody_says(said, apparent, delay_s):
    """RFC 9111 section 4.2.3."""
    headers = Headers.of([("age", str(said))])
    age = initial_age_s(headers, NOW - apparent, asked_utc=NOW - delay_s, answered_utc=NOW)
    assert age >= apparent
    assert age >= min(said, MAX_DELTA_S) + delay_s - 0.001
    assert age == pytest.approx(max(apparent, said + delay_s))


def test_a_service_whose_clock_is_ahead_makes_nothing_younger_than_new():
    assert initial_age_s(Headers(), NOW + 100, asked_utc=NOW, answered_utc=NOW) == 0


def test_a_clock_that_jumps_back_while_it_is_asked_makes_nothing_younger():
    assert initial_age_s(Headers.of([("age", "7")]), NOW, asked_utc=NOW + 50, answered_utc=NOW) == 7
