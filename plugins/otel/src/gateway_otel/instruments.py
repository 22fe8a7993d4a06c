"""The metrics of the semantic conventions for HTTP that are stable, as an observer records them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway_otel.semantics import attempt_error, exchange_error, method_of, route_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway import Exchange
    from gateway.interfaces import AttemptRecord, Observer
    from gateway.metrics import HistogramSeries, Metrics

__all__ = ["SEMANTIC", "HttpMetrics"]

BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""The advice of the conventions for both."""
_SERVER, _CLIENT = "http_server_request_duration_seconds", "http_client_request_duration_seconds"
_LABELS = {
    "method": "http.request.method",
    "scheme": "url.scheme",
    "route": "http.route",
    "status": "http.response.status_code",
    "error_type": "error.type",
    "address": "server.address",
    "port": "server.port",
}
SEMANTIC: Mapping[str, tuple[str, str, Mapping[str, str]]] = {
    _SERVER: ("http.server.request.duration", "s", _LABELS),
    _CLIENT: ("http.client.request.duration", "s", _LABELS),
}
"""Name in the gateway → name, unit and names of labels in OpenTelemetry."""
MAX_KNOWN = 4096
"""Series that are found at once. Statuses are the services' own, and so are few."""


class HttpMetrics:
    """Observes.

    Args:
        metrics: Where it counts.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._server = metrics.histogram(
            _SERVER,
            "Duration of requests to the gateway.",
            ("method", "scheme", "route", "status", "error_type"),
            bounds=BUCKETS_S,
        )
        self._client = metrics.histogram(
            _CLIENT,
            "Duration of attempts at instances.",
            ("method", "address", "port", "status", "error_type"),
            bounds=BUCKETS_S,
        )
        self._known: dict[tuple[str, str, str, int], HistogramSeries] = {}

    def exchange_finished(self, exchange: Exchange) -> None:
        """Count a request; one that was upgraded lives for hours, and is none."""
        response = exchange.response
        status = response.status if response is not None else 0
        if status == 101:
            return
        request = exchange.request
        failure = exchange_error(exchange)
        if failure:
            labels = (method_of(request.method), request.scheme, route_of(exchange), str(status or ""), failure)
            series = self._server.labels(*labels)
        else:
            key = (request.method, request.origin.scheme, exchange.route.path, status)
            series = self._known.get(key) or self._find(key, exchange)
        series.observe(exchange.duration_s)

    def attempt_finished(self, exchange: Exchange, attempt: AttemptRecord) -> None:
        """Count an attempt."""
        endpoint, status = attempt.instance.endpoint, attempt.status
        self._client.labels(
            method_of(exchange.request.method),
            endpoint.address,
            str(endpoint.port),
            str(status or ""),
            attempt_error(attempt),
        ).observe(attempt.duration_s)

    def _find(self, key: tuple[str, str, str, int], exchange: Exchange) -> HistogramSeries:
        method, scheme, _, status = key
        series = self._server.labels(method_of(method), scheme, route_of(exchange), str(status), "")
        if method_of(method) is method and len(self._known) < MAX_KNOWN:
            self._known[key] = series
        return series


if TYPE_CHECKING:
    _: type[Observer] = HttpMetrics
