"""What was allowed lately, by itself."""

from __future__ import annotations

import pytest

from gateway import Request
from gateway_forward_auth.client import AuthAnswer
from gateway_forward_auth.config import CacheConfig
from gateway_forward_auth.decisions import Decisions


def decisions(clock, **settings):
    return Decisions(CacheConfig.model_validate({"ttl": 60, **settings}), clock)


def allowing(*pairs):
    return AuthAnswer(200, pairs)


def test_a_decision_is_forgotten_when_its_time_is_over(clock):
    kept = decisions(clock)
    kept.remember(b"k", allowing())
    clock.advance(59.9)
    assert kept.find(b"k") is not None
    clock.advance(0.1)
    assert kept.find(b"k") is None
    assert len(kept) == 0


@pytest.mark.parametrize(
    ("said", "lasts_s"),
    [(b"max-age=10", 10), (b"private, max-age=0", 0), (b"max-age=3600", 60), (b"no-cache", 0), (b"s-maxage=5", 60)],
)
def test_the_answer_may_shorten_it(clock, said, lasts_s):
    kept = decisions(clock)
    kept.remember(b"k", allowing((b"cache-control", said)))
    assert (kept.find(b"k") is not None) == (lasts_s > 0)
    clock.advance(lasts_s)
    assert kept.find(b"k") is None


def test_the_least_recently_used_goes_first(clock):
    kept = decisions(clock, maxEntries=2)
    kept.remember(b"a", allowing())
    kept.remember(b"b", allowing())
    kept.find(b"a")
    kept.remember(b"c", allowing())
    assert [kept.find(key) is not None for key in (b"a", b"b", b"c")] == [True, False, True]


def test_an_answer_with_large_fields_is_not_remembered(clock):
    kept = decisions(clock)
    kept.remember(b"k", allowing((b"x-groups", b"g" * 9000)))
    assert kept.find(b"k") is None


def test_keys_tell_apart_what_reads_the_same_when_joined(clock):
    kept = decisions(clock)
    request = Request("GET", "/")
    assert kept.key(request, [(b"a", b"bc")]) != kept.key(request, [(b"ab", b"c")])
    assert kept.key(Request("GET", "/", query="a"), []) != kept.key(Request("GET", "/a"), [])
