"""Writes into log records about a request which trace it belongs to."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway_otel.tracing import Trace

__all__ = ["TraceFilter"]


class TraceFilter(logging.Filter):
    """Adds ``trace_id`` and ``span_id`` to records that have the ``request_id`` of a request that is recorded.

    Args:
        traces: Traces by request id.
    """

    def __init__(self, traces: Mapping[str, Trace]) -> None:
        super().__init__()
        self._traces = traces

    def install(self) -> None:
        """See every record that is written."""
        for handler in logging.getLogger().handlers:
            handler.addFilter(self)

    def remove(self) -> None:
        """See none any more."""
        for handler in logging.getLogger().handlers:
            handler.removeFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        """Add what is known; the record passes."""
        trace = self._traces.get(getattr(record, "request_id", ""))
        if trace is not None:
            record.trace_id = trace.trace_id.decode()
            record.span_id = trace.span_id.decode()
        return True
