"""Spans, as they wait to be sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["CLIENT", "ERROR", "INTERNAL", "SERVER", "UNSET", "Attribute", "Span"]

INTERNAL, SERVER, CLIENT = 1, 2, 3
"""``SpanKind`` of trace.proto."""
UNSET, ERROR = 0, 2
"""``Status.StatusCode`` of trace.proto."""

Attribute = tuple[str, str | int | bool]


class Span:
    """A span that is over.

    Attributes:
        name: Its name.
        kind: ``SERVER``, ``CLIENT`` or ``INTERNAL``.
        trace_id: In hexadecimal.
        span_id: In hexadecimal.
        parent_id: In hexadecimal; empty if it is the first of its trace.
        trace_state: The ``tracestate`` field.
        start_ns: Nanoseconds since 1970.
        end_ns: Nanoseconds since 1970.
        attributes: What is known of it.
        status: ``UNSET`` or ``ERROR``.
        is_parent_remote: Whether the parent is somebody else's.
    """

    __slots__ = (
        "attributes",
        "end_ns",
        "is_parent_remote",
        "kind",
        "name",
        "parent_id",
        "span_id",
        "start_ns",
        "status",
        "trace_id",
        "trace_state",
    )

    def __init__(
        self,
        *,
        name: str,
        kind: int,
        trace_id: bytes,
        span_id: bytes,
        parent_id: bytes,
        start_ns: int,
        end_ns: int,
        attributes: Sequence[Attribute],
        status: int = UNSET,
        trace_state: str = "",
        is_parent_remote: bool = False,
    ) -> None:
        self.name = name
        self.kind = kind
        self.trace_id = trace_id
        self.span_id = span_id
        self.parent_id = parent_id
        self.start_ns = start_ns
        self.end_ns = end_ns
        self.attributes = attributes
        self.status = status
        self.trace_state = trace_state
        self.is_parent_remote = is_parent_remote
