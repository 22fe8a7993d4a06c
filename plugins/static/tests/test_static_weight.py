from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_static.weight import MAX_WEIGHT, parse_weight, whole_weights


@pytest.mark.parametrize(
    ("written", "meant"),
    [(3, 3.0), (0, 0.0), (2.5, 2.5), ("5", 5.0), (" 0.5 ", 0.5), (MAX_WEIGHT, 1e6), (0.001, 0.001)],
)
def test_weights_are_numbers_or_text_with_a_number(written, meant):
    assert parse_weight(written) == meant


@pytest.mark.parametrize("written", [True, None, "heavy", "", [1], {}])
def test_what_is_no_number_is_refused(written):
    with pytest.raises(ValueError, match="is not a weight; write a number"):
        parse_weight(written)


@pytest.mark.parametrize("written", [-1, MAX_WEIGHT + 1, "nan", float("inf"), 0.0001])
def test_what_is_out_of_bounds_is_refused(written):
    with pytest.raises(ValueError, match="it must be 0"):
        parse_weight(written)


def test_an_integer_too_large_for_a_float_is_refused():
    with pytest.raises(ValueError, match="is not a weight"):
        parse_weight(10**400)


@pytest.mark.parametrize(
    ("weights", "whole"),
    [
        ([5, 1, 1], [5, 1, 1]),
        ([100, 200], [100, 200]),
        ([0.5, 1.5], [5, 15]),
        ([0.25, 1, 0], [25, 100, 0]),
        ([0.001, 1], [1, 1000]),
        ([0.1, 0.2, 0.7], [1, 2, 7]),
        ([1 / 3, 1], [333, 1000]),
        ([0.0011111, 0], [1, 0]),
    ],
)
def test_fractions_become_whole_numbers_in_the_same_proportions(weights, whole):
    assert whole_weights(weights) == whole


@given(st.lists(st.integers(0, MAX_WEIGHT * 1000).map(lambda milli: milli / 1000), min_size=1, max_size=20))
def test_three_decimals_keep_their_proportions_exactly(weights: list[float]):
    whole = whole_weights(weights)
    milli = [round(weight * 1000) for weight in weights]
    assert all(one * second == other * first for one, first in zip(whole, milli, strict=True)
               for other, second in zip(whole, milli, strict=True))  # fmt: skip
