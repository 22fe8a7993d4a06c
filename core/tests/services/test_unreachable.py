"""Whom no connection comes about to."""

from __future__ import annotations

from typing import Any, cast

import pytest

from gateway import Endpoint, Exchange, Instance, Request
from gateway.services.unreachable import LEFT_ALONE_S, MOST, Unreachable


class FirstOfThem:
    """A balancer that takes the first that is not excluded."""

    def select(self, instances, exchange):
        return next((each for each in instances if each not in exchange.excluded), instances[0])


FIRST = FirstOfThem()


def instance(number: int) -> Instance:
    return Instance("orders", Endpoint(address=f"10.0.0.{number}", port=80))


def exchange() -> Exchange:
    return Exchange(Request("GET", "/"), cast("Any", None))


@pytest.fixture
def unreachable():
    """Nobody comes through to the first of two, since time 0."""
    found = Unreachable()
    pair = instance(1), instance(2)
    found.note(pair[0], 3.0, 3.0, 0.0, 30.0)
    return found, pair


def test_others_are_asked_until_its_time_is_over(unreachable):
    found, (gone, other) = unreachable
    assert found.select(FIRST, (gone, other), exchange(), LEFT_ALONE_S - 0.1) is other
    assert found.select(FIRST, (gone, other), exchange(), LEFT_ALONE_S) is gone


def test_afterwards_one_exchange_finds_out_for_all(unreachable):
    found, pair = unreachable
    chosen = [found.select(FIRST, pair, exchange(), LEFT_ALONE_S + 0.1 * number) for number in range(5)]
    assert chosen == [pair[0], *[pair[1]] * 4]


def test_whom_nobody_chose_for_as_long_again_is_forgotten(unreachable):
    found, (gone, other) = unreachable
    assert found.select(FIRST, (other,), exchange(), 2 * LEFT_ALONE_S) is other
    assert gone not in found


def test_where_there_are_no_others_it_is_asked_all_the_same(unreachable):
    found, (gone, _) = unreachable
    assert found.select(FIRST, (gone,), exchange(), 1.0) is gone


def test_of_all_that_were_left_alone_one_that_was_not_tried_yet_is_asked(unreachable):
    found, (gone, other) = unreachable
    found.note(other, 3.0, 3.0, 0.0, 30.0)
    asking = exchange()
    asking.excluded = (gone,)
    assert found.select(FIRST, (gone, other), asking, 1.0) is other
    assert asking.excluded == (gone,)


@pytest.mark.parametrize(
    ("connect_s", "duration_s", "timeout_s", "is_noted"),
    [
        (3.0, 3.0, 30.0, True),
        (0.9, 0.9, 30.0, False),  # it costs little to find out again
        (0.9, 0.9, 1.0, True),  # nearly all that the route allows
        (3.0, 3.0, None, True),
        (3.0, 3.2, 30.0, False),  # it waited for something else besides
    ],
)
def test_only_a_long_wait_for_a_connection_counts(connect_s, duration_s, timeout_s, is_noted):
    found, one = Unreachable(), instance(1)
    found.note(one, connect_s, duration_s, 0.0, timeout_s)
    assert (one in found) is is_noted


def test_no_more_than_a_few_are_known_and_the_oldest_is_forgotten():
    found, many = Unreachable(), [instance(number) for number in range(MOST + 1)]
    for each in many[:MOST]:
        found.note(each, 3.0, 3.0, 0.0, 30.0)
    found.note(many[0], 3.0, 3.0, 1.0, 30.0)
    assert list(found) == many[:MOST]
    found.note(many[MOST], 3.0, 3.0, 1.0, 30.0)
    assert list(found) == many[1:]
