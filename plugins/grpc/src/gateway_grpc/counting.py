"""What is counted of calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway_grpc.status import GrpcStatus

if TYPE_CHECKING:
    from gateway import BuildContext
    from gateway.metrics import Series

__all__ = ["CallCounter"]

STATUSES = len(GrpcStatus)
"""They are numbered from 0 (``google/rpc/code.proto``)."""


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
        self._series: dict[str, list[Series | None]] = {}  # by route, of which there are few; then by status

    def count(self, route_id: str, code: GrpcStatus) -> None:
        """Count a call that is over."""
        of_route = self._series.get(route_id)
        if of_route is None:
            of_route = self._series[route_id] = [None] * STATUSES
        series = of_route[code]
        if series is None:
            series = of_route[code] = self._family.labels(route_id, code.name)
        series.value += 1
