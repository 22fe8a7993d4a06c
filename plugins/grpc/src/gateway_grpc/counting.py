"""What is counted of calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway import BuildContext
    from gateway.metrics import Series
    from gateway_grpc.status import GrpcStatus

__all__ = ["CallCounter"]


class CallCounter:
    """Counts the calls of clients of gRPC and gRPC-Web by their statuses.

    Args:
        context: The gateway.
    """

    __slots__ = ("_family", "_series")

    def __init__(self, context: BuildContext) -> None:
        self._family = context.metrics.counter(
            "gateway_grpc_calls_total",
            "Calls of clients of gRPC and gRPC-Web, by the status they ended with.",
            ("route", "code"),
        )
        self._series: dict[tuple[str, int], Series] = {}  # there are few routes, and few statuses

    def count(self, route_id: str, code: GrpcStatus) -> None:
        """Count a call that is over."""
        series = self._series.get((route_id, int(code)))
        if series is None:
            series = self._series[route_id, int(code)] = self._family.labels(route_id, code.name)
        series.value += 1
