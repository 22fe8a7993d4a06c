"""The fields that tell clients about limits: ``X-RateLimit-*``, ``RateLimit`` and ``RateLimit-Policy``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.interfaces import Decision
    from gateway.pipeline.limiting import AppliedLimiter

__all__ = ["Field", "Teller", "fields_of_all"]

MAX_RESET_S = 365 * 24 * 3600
"""What takes longer is told as a year."""

Field: TypeAlias = "tuple[bytes, bytes]"

_QUOTA_NAMES = (b"x-ratelimit-limit", b"x-ratelimit-remaining", b"x-ratelimit-reset")
_ITEM_NAMES = (b"ratelimit-policy", b"ratelimit")


class Teller:
    """Makes the fields that tell clients about a limit. What no answer changes is made once.

    ``RateLimit-Policy`` and ``RateLimit`` are lists of limits, each under its name: draft-ietf-httpapi-ratelimit-
    headers-11, sections 3 and 4.

    Args:
        applied: The limiter.

    Attributes:
        names: Of the fields in ``lines``.
        has_quota: Whether it is told in ``X-RateLimit-*``.
        has_items: Whether it is told in ``RateLimit`` and ``RateLimit-Policy``.
        policy: Its item of ``RateLimit-Policy``; empty until a decision said what it is.
    """

    __slots__ = (
        "_begin",
        "_is_told_once",
        "_limit",
        "_lines",
        "_name",
        "_quota",
        "_window_s",
        "has_items",
        "has_quota",
        "names",
        "policy",
    )

    def __init__(self, applied: AppliedLimiter) -> None:
        self.has_quota = applied.fields in ("both", "x-ratelimit")
        self.has_items = applied.fields in ("both", "ratelimit")
        self.names = frozenset((_QUOTA_NAMES if self.has_quota else ()) + (_ITEM_NAMES if self.has_items else ()))
        self.policy = b""
        self._name = applied.label
        self._begin = f'"{applied.label}";r='.encode()
        self._is_told_once = self.has_quota is not self.has_items
        self._lines = b""
        self._limit = -1
        self._window_s: float | None = None

    def lines(self, decision: Decision) -> bytes:
        """Return the fields that go with a decision, if it is the only one, as lines of an HTTP/1.1 head."""
        if decision.limit != self._limit or decision.window_s != self._window_s:
            self.take_note(decision)
        remaining, reset_s = decision.remaining, decision.reset_s
        if remaining < 0:
            remaining = 0
        reset = math.ceil(reset_s) if 0.0 < reset_s < MAX_RESET_S else _whole_seconds(reset_s)
        return self._lines % ((remaining, reset) if self._is_told_once else (remaining, reset, remaining, reset))

    def refusal(self, decision: Decision, tellers: Sequence[Teller]) -> list[Field]:
        """Return the fields of a refusal: which limit refused, until when, and the policies of all of them.

        Args:
            decision: The refusal.
            tellers: Of the limits whose policies are told.
        """
        fields = self.quota(decision) if self.has_quota else []
        if self.has_items:
            left, _ = self._numbers(decision)
            # Section 6: Retry-After is not to be earlier than the end of the time in which there is no more.
            limit = b"%b%b;t=%b" % (self._begin, left, _seconds(decision.retry_after_s))
            fields += [_policies(tellers), (b"ratelimit", limit)]
        return fields

    def quota(self, decision: Decision) -> list[Field]:
        """Return ``X-RateLimit-*``."""
        left, reset = self._numbers(decision)
        return [self._quota, (b"x-ratelimit-remaining", left), (b"x-ratelimit-reset", reset)]

    def item(self, decision: Decision) -> bytes:
        """Return its item of ``RateLimit``."""
        left, reset = self._numbers(decision)
        return b"%b%b;t=%b" % (self._begin, left, reset)

    def _numbers(self, decision: Decision) -> tuple[bytes, bytes]:
        """Return what is left, and the seconds until the quota is whole."""
        if decision.limit != self._limit or decision.window_s != self._window_s:
            self.take_note(decision)
        remaining = decision.remaining
        return (b"%d" % remaining if remaining > 0 else b"0"), _seconds(decision.reset_s)

    def take_note(self, decision: Decision) -> None:
        """Remember what a decision says of the limit itself."""
        window = f";w={math.ceil(decision.window_s)}" if decision.window_s else ""
        self._limit, self._window_s = decision.limit, decision.window_s
        self._quota = (b"x-ratelimit-limit", b"%d" % decision.limit)
        self.policy = f'"{self._name}";q={decision.limit}{window}'.encode()
        quota = b"x-ratelimit-limit: %d\r\nx-ratelimit-remaining: %%d\r\nx-ratelimit-reset: %%d\r\n" % decision.limit
        policy, begin = self.policy.replace(b"%", b"%%"), self._begin.replace(b"%", b"%%")
        items = b"ratelimit-policy: %b\r\nratelimit: %b%%d;t=%%d\r\n" % (policy, begin)
        self._lines = (quota if self.has_quota else b"") + (items if self.has_items else b"")


def fields_of_all(told: Sequence[tuple[Teller, Decision]], *, is_told: bool) -> list[Field]:
    """Return the fields that tell of several limits.

    Args:
        told: The limits, each with its decision.
        is_told: Whether the client is told of another limit in ``X-RateLimit-*`` already.
    """
    fields: list[Field] = []
    if not is_told:
        quotas = [each for each in told if each[0].has_quota]
        if quotas:
            teller, tightest = min(quotas, key=_remaining)
            fields += teller.quota(tightest)
    items = [teller.item(decision) for teller, decision in told if teller.has_items]
    if items:
        fields.append(_policies([teller for teller, _ in told]))
        fields.append((b"ratelimit", b", ".join(items)))
    return fields


def _remaining(told: tuple[Teller, Decision]) -> int:
    return told[1].remaining


def _policies(tellers: Iterable[Teller]) -> Field:
    return (b"ratelimit-policy", b", ".join([each.policy for each in tellers if each.has_items and each.policy]))


def _seconds(seconds: float) -> bytes:
    return b"%d" % _whole_seconds(seconds)


def _whole_seconds(seconds: float) -> int:
    """Return seconds rounded up, within what clients can use."""
    # What is no number passes no comparison.
    if 0.0 < seconds < MAX_RESET_S:
        return math.ceil(seconds)
    return MAX_RESET_S if seconds >= MAX_RESET_S else 0
