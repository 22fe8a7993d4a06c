from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from gateway import Duration, Size
from gateway.units import Milliseconds, parse_duration, parse_size, parse_statuses


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (30, 30.0),
        (0, 0.0),
        (1.5, 1.5),
        ("30", 30.0),
        (" 2.5 ", 2.5),
        ("30s", 30.0),
        ("5m", 300.0),
        ("1m30s", 90.0),
        ("1m 30s", 90.0),
        ("250ms", 0.25),
        ("1.5h", 5400.0),
        ("2d", 172800.0),
    ],
)
def test_durations(value, seconds):
    assert parse_duration(value) == seconds
    assert TypeAdapter(Duration).validate_python(value) == seconds


@pytest.mark.parametrize(
    "value",
    [-1, "-1", True, None, [], "", "s", "1x", "1m30", "1 2s", "nan", "inf", float("nan"), float("inf"), "9e999d"],
)
def test_what_is_no_duration_is_a_value_error(value):
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(value)


def test_a_duration_must_be_finite():
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration("9" * 400 + "d")


def test_a_bare_number_counts_in_the_unit_of_the_key():
    assert TypeAdapter(Milliseconds).validate_python(100) == 0.1
    assert TypeAdapter(Milliseconds).validate_python("100") == 0.1
    assert TypeAdapter(Milliseconds).validate_python("2s") == 2.0


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (0, 0),
        (1048576, 1048576),
        ("10", 10),
        ("8KB", 8192),
        ("8 kb", 8192),
        ("1MB", 1024**2),
        ("1MiB", 1024**2),
        ("1.5GB", 1536 * 1024**2),
        ("3B", 3),
    ],
)
def test_sizes(value, count):
    assert parse_size(value) == count
    assert TypeAdapter(Size).validate_python(value) == count


@pytest.mark.parametrize("value", [-1, True, None, 1.5, "", "KB", "1 TB", "-1MB", "9" * 400 + "GB"])
def test_what_is_no_size_is_a_value_error(value):
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(value)


@given(st.text() | st.integers() | st.floats() | st.none() | st.binary())
def test_nothing_but_a_value_error_ever_comes_out(value):
    for kind in (Duration, Milliseconds, Size):
        try:
            found = TypeAdapter(kind).validate_python(value)
        except ValidationError:
            continue
        assert 0 <= found < float("inf")


def test_editors_are_told_what_may_be_written():
    schema = TypeAdapter(Duration).json_schema()
    assert [each["type"] for each in schema["anyOf"]] == ["number", "string"]
    assert "bytes" in TypeAdapter(Size).json_schema()["description"]


# Statuses.


@pytest.mark.parametrize(
    ("values", "statuses"),
    [([500], {500}), (["5xx"], set(range(500, 600))), ("502-504", {502, 503, 504}), (429, {429}), ([], set())],
)
def test_statuses(values, statuses):
    assert parse_statuses(values) == statuses


@given(st.lists(st.text() | st.integers() | st.none()))
def test_whatever_is_written_for_statuses_is_read_or_refused(values):
    with contextlib.suppress(ValueError):
        assert all(100 <= status <= 599 for status in parse_statuses(values))
