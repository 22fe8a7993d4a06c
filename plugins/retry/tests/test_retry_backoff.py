"""How long to wait before a try."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

from hypothesis import given
from hypothesis import strategies as st

from gateway_retry.backoff import backoff_s, retry_after_s
from gateway_retry.config import RetryConfig


def test_pauses_grow_up_to_the_longest():
    config = RetryConfig(initial_delay=100, max_delay=1000, multiplier=3, jitter=0)
    assert [round(backoff_s(tries, config), 3) for tries in range(1, 6)] == [0.1, 0.3, 0.9, 1.0, 1.0]


@given(st.integers(1, 20), st.floats(0, 1), st.floats(0, 1))
def test_jitter_only_shortens(tries, jitter, chance):
    config = RetryConfig(jitter=jitter)
    longest = backoff_s(tries, RetryConfig(jitter=0))
    assert longest * (1 - jitter) - 1e-9 <= backoff_s(tries, config, chance=lambda: chance) <= longest <= 30.0


def test_full_jitter_is_the_default():
    assert RetryConfig().jitter == RetryConfig(jitter=True).jitter == 1.0
    assert backoff_s(5, RetryConfig(), chance=lambda: 1.0) == 0.0
    assert RetryConfig(jitter=False).jitter == 0.0


def test_retry_after_in_seconds_and_as_a_date():
    """RFC 9110 section 10.2.3."""
    now = datetime(2030, 1, 1, tzinfo=UTC)
    later = format_datetime(datetime(2030, 1, 1, 0, 0, 30, tzinfo=UTC), usegmt=True)
    assert retry_after_s(" 120 ", now.timestamp()) == 120.0
    assert retry_after_s(later, now.timestamp()) == 30.0
    assert retry_after_s(later, now.timestamp() + 60) == 0.0
    assert retry_after_s("9" * 5000, 0.0) == float("inf")
    for nonsense in (None, "", "soon", "-1", "1.5", "٣", "Mon, 32 Jan 2030 99:00:00 GMT"):
        assert retry_after_s(nonsense, 0.0) is None


@given(st.text())
def test_whatever_a_service_sends_as_retry_after_is_read_or_ignored(value):
    seconds = retry_after_s(value, 0.0)
    assert seconds is None or seconds >= 0
