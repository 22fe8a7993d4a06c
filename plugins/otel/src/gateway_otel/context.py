"""The W3C trace context (Trace Context Level 1, sections 3.2 and 3.3) of a request."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BAGGAGE", "RANDOM_BITS", "SAMPLED", "TRACEPARENT", "TRACESTATE", "Ids", "Sampler", "parse_traceparent"]

TRACEPARENT = b"traceparent"
TRACESTATE = b"tracestate"
BAGGAGE = b"baggage"
SAMPLED = 0x01

_PARTS = 4
_NO_TRACE = b"0" * 32
_NO_SPAN = b"0" * 16
RANDOM_BITS = (1 << 56) - 1


def parse_traceparent(value: bytes) -> tuple[bytes, bytes, int] | None:
    """Return trace id, parent id, both in hexadecimal, and flags; ``None`` if it is not valid.

    Versions above 00 are read as far as 00 goes (section 3.2.4).
    """
    # Not by a regular expression, which takes twice as long; this stands before every request.
    parts = value.split(b"-", 4)
    if len(parts) == _PARTS:
        version, trace_id, parent_id, flags = parts
    elif len(parts) > _PARTS and parts[0] != b"00":
        version, trace_id, parent_id, flags, _ = parts
    else:
        return None
    if len(version) != 2 or len(trace_id) != 32 or len(parent_id) != 16 or len(flags) != 2:
        return None
    if (version + trace_id + parent_id + flags).translate(None, b"0123456789abcdef"):
        return None
    if version == b"ff" or trace_id == _NO_TRACE or parent_id == _NO_SPAN:
        return None
    return trace_id, parent_id, int(flags, 16)


class Ids:
    """Makes ids, in hexadecimal. They must differ; they are no secret."""

    def __init__(self) -> None:
        # Of its own, which nobody else seeds.
        self.draw: Callable[[int], int] = Random().getrandbits  # noqa: S311 - no secret
        self._before, self._behind = b"00-%016x" % self.draw(64), b"-%016x-00" % (self.draw(64) or 1)

    def span_id(self) -> bytes:
        """Return the id of a new span."""
        return b"%016x" % (self.draw(64) or 1)

    def trace_id(self, low: int) -> bytes:
        """Return the id of a new trace that ends in these 64 bits."""
        return b"%016x%016x" % (self.draw(64) or 1, low)

    def unrecorded(self, low: int) -> bytes:
        """Return the ``traceparent`` of a new trace that nobody records, which ends in these 64 bits.

        The rest of it is that of all of this process, the span too, which nobody will look for: this stands before
        nearly every request.
        """
        return b"%b%016x%b" % (self._before, low, self._behind)


class Sampler:
    """Decides whether a request is recorded.

    Args:
        kind: ``parent``, ``ratio``, ``always_on`` or ``always_off``.
        rate: The share, from 0 to 1.

    Attributes:
        bound: A new trace is recorded if the last 56 bits of its id are below it: Trace Context Level 2 promises that
            they are random.
    """

    def __init__(self, kind: str, rate: float) -> None:
        rate = {"always_on": 1.0, "always_off": 0.0}.get(kind, rate)
        self._asks_parent = kind == "parent"
        self.bound = round(rate * (RANDOM_BITS + 1))

    def is_sampled(self, trace_id: bytes, parent_flags: int) -> bool:
        """Decide about a trace that the client began.

        Args:
            trace_id: In hexadecimal; the same one is decided alike everywhere.
            parent_flags: Those of the client.
        """
        if self._asks_parent:
            return bool(parent_flags & SAMPLED)
        return int(trace_id, 16) & RANDOM_BITS < self.bound
