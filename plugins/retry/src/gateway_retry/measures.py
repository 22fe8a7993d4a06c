"""What retries are counted by."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.metrics import Metrics, Series

__all__ = ["Measures"]


class Measures:
    """The counters of a service.

    Args:
        metrics: Where they are.
        service: The service.

    Attributes:
        recovered: Counts requests that a retry mended.
    """

    def __init__(self, metrics: Metrics, service: str) -> None:
        self._service = service
        self._attempts = metrics.counter(
            "gateway_retry_attempts_total",
            "Tries after the first, by what the one before came to.",
            ("service", "reason"),
        )
        self._given_up = metrics.counter(
            "gateway_retry_given_up_total",
            "Requests that were not tried again, by what was against it.",
            ("service", "reason"),
        )
        self.recovered: Series = metrics.counter(
            "gateway_retry_recovered_total", "Requests that were answered well by another try.", ("service",)
        ).labels(service)

    def attempt(self, reason: str) -> None:
        """Count a try after the first.

        Args:
            reason: ``status``, or one of the failures that can be configured.
        """
        self._attempts.labels(self._service, reason).add()

    def given_up(self, reason: str) -> None:
        """Count a request that failed and was not tried again.

        Args:
            reason: ``attempts``, ``body``, ``budget``, ``retry_after`` or ``timeout``.
        """
        self._given_up.labels(self._service, reason).add()
