from __future__ import annotations

import pytest

from gateway import ErrorType, GatewayError
from gateway.concurrency import ConnectionCounts


def test_nothing_is_limited_by_itself():
    counts = ConnectionCounts()
    for _ in range(100):
        counts.check("a")
        counts.add("a")
    assert counts.total == 100


def test_who_has_too_many_is_told_so_before_all_are():
    counts = ConnectionCounts()
    counts.add("a")
    with pytest.raises(GatewayError) as refused:
        counts.check("a", max_count=2, max_per_client=1)
    assert (refused.value.type, refused.value.headers) == (ErrorType.RATE_LIMIT, ((b"retry-after", b"1"),))
    counts.check("b", max_count=2, max_per_client=1)
    counts.add("b")
    with pytest.raises(GatewayError) as refused:
        counts.check("c", max_count=2, max_per_client=1)
    assert refused.value.type is ErrorType.UNAVAILABLE


def test_a_place_that_is_given_back_is_free_and_nothing_is_remembered():
    counts = ConnectionCounts()
    counts.add("a")
    counts.remove("a")
    counts.check("a", max_count=1, max_per_client=1)
    assert (counts.total, dict(counts._per_client)) == (0, {})
