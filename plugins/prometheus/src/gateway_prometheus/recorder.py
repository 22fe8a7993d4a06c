"""Counts requests and attempts, in every process that serves.

Names and labels are those of the original gateway, with the route's pattern as ``path``. Everything a stranger can
choose is bounded: patterns and services are the configuration's, methods and statuses those that are known.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING

from gateway import GatewayError

if TYPE_CHECKING:
    from gateway import BuildContext, Exchange, Instance
    from gateway.interfaces import AttemptRecord, Observer
    from gateway.metrics import Family, HistogramSeries, Metrics, Series
    from gateway_prometheus.config import MetricsConfig

__all__ = ["PROCESS_KEY", "Recorder"]

PROCESS_KEY = "process"
"""What processes that serve expose: their id."""

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"))
"""RFC 9110 section 9, and PATCH of RFC 5789."""
OTHER = "other"
UNMATCHED = "unmatched"
"""The ``path`` of requests that match no rule: no pattern begins without a slash."""
CLIENT_CLOSED = 499
"""The client went away before there was a response; nginx's number for it."""
SWITCHING_PROTOCOLS = 101
SIZE_BUCKETS_BYTES = tuple(100.0 * 10**power for power in range(7))
"""100 bytes to 100 MB, as the original gateway has them."""
FORGET_AFTER_S = 300.0
"""How long series of an instance stay when it is gone: five minutes, as long as Prometheus itself looks back."""


class _Counted:
    """What a request of one method, path and status is counted in."""

    __slots__ = ("active", "duration", "request_size", "requests", "response_size")

    def __init__(
        self,
        *,
        active: Series,
        requests: Series,
        duration: HistogramSeries,
        request_size: HistogramSeries,
        response_size: HistogramSeries,
    ) -> None:
        self.active = active
        self.requests = requests
        self.duration = duration
        self.request_size = request_size
        self.response_size = response_size


class Recorder:
    """Observes.

    Args:
        config: The block.
        context: The gateway.
    """

    def __init__(self, config: MetricsConfig, context: BuildContext) -> None:
        self._config = config
        self._directory = context.directory
        self._clock = time.monotonic
        try:
            self._make_families(config, context.metrics)
        except ValueError as error:
            msg = f"buckets and labels of metrics stay as they are until the gateway is restarted ({error})"
            raise ValueError(msg) from None
        # Found again by what they are for; what is not known, such as a method of a stranger's, is not kept.
        self._exchanges: dict[tuple[str, str, int], _Counted] = {}
        self._active: dict[tuple[str, str], Series] = {}
        self._attempts: dict[tuple[Instance, str, int | None], tuple[Series, HistogramSeries]] = {}
        self._instances: set[Instance] = set()  # those that were asked, until they have been gone for long enough
        self._gone_since_s: dict[Instance, float] = {}
        context.expose(PROCESS_KEY, os.getpid)
        context.background.start("forgetting instances that are gone", self._forget_now_and_then)

    def _make_families(self, config: MetricsConfig, metrics: Metrics) -> None:
        path = ("path",) if config.include_path_label else ()
        method = ("method",) if config.include_method_label else ()
        status = ("status",) if config.include_status_label else ()
        self._requests = metrics.counter(
            "gateway_http_requests_total", "Requests that were answered.", method + path + status
        )
        self._duration = metrics.histogram(
            "gateway_http_request_duration_seconds",
            "Time from the head of a request to the last byte of its response; connections that were upgraded are not "
            "in it.",
            method + path + status,
            bounds=config.buckets,
        )
        self._request_size = metrics.histogram(
            "gateway_http_request_size_bytes", "Bodies of requests.", method + path, bounds=SIZE_BUCKETS_BYTES
        )
        self._response_size = metrics.histogram(
            "gateway_http_response_size_bytes", "Bodies of responses.", method + path, bounds=SIZE_BUCKETS_BYTES
        )
        self._requests_active = metrics.gauge(
            "gateway_http_requests_active", "Requests that are being answered.", method + path
        )
        self._backend_requests = metrics.counter(
            "gateway_backend_requests_total",
            "Attempts at instances; several of a request if they were repeated.",
            ("service", "instance", *method, *status),
        )
        self._backend_duration = metrics.histogram(
            "gateway_backend_request_duration_seconds",
            "Time from the beginning of an attempt to the head of its response, or its failure.",
            ("service", "instance", *method),
            bounds=config.buckets,
        )
        self._backend_errors = metrics.counter(
            "gateway_backend_errors_total",
            "Attempts that were not answered.",
            ("service", "instance", "error_type"),
        )

    # gateway.interfaces.Observer

    def exchange_started(self, exchange: Exchange) -> None:
        """Count it as under way."""
        key = (exchange.route.path, exchange.request.method)
        series = self._active.get(key)
        if series is None:
            series = self._find_active(key)
        series.value += 1.0

    def exchange_finished(self, exchange: Exchange) -> None:
        """Count it as answered."""
        request = exchange.request
        response = exchange.response
        status = response.status if response is not None else CLIENT_CLOSED
        key = (exchange.route.path, request.method, status)
        found = self._exchanges.get(key)
        if found is None:
            found = self._find_exchange(*key)
        found.active.value -= 1.0
        found.requests.value += 1.0
        if status != SWITCHING_PROTOCOLS:
            found.duration.observe(exchange.duration_s)
        body = request.body
        if body == b"":
            found.request_size.counts[0] += 1  # as most are; the same as observing a 0
        else:
            found.request_size.observe(len(body) if type(body) is bytes else body.received_bytes)  # type: ignore[union-attr]  # mypy takes subclasses of bytes into account
        found.response_size.observe(exchange.sent_bytes)

    def attempt_finished(self, exchange: Exchange, attempt: AttemptRecord) -> None:
        """Count it, as answered or not."""
        instance = attempt.instance
        key = (instance, exchange.request.method, attempt.status)
        found = self._attempts.get(key)
        if found is None:
            found = self._find_attempt(*key)
        requests, duration = found
        requests.value += 1.0
        duration.observe(attempt.duration_s)
        if attempt.error is not None:
            self._backend_errors.labels(instance.service, instance.id, _error_type(attempt.error)).add()

    # Finding series.

    def _find_exchange(self, path: str, method: str, status: int) -> _Counted:
        of_request = (*self._method(method), *self._path(path))
        of_answer = (*of_request, *self._status(status))
        found = _Counted(
            active=self._requests_active.labels(*of_request),
            requests=self._requests.labels(*of_answer),
            duration=self._duration.labels(*of_answer),
            request_size=self._request_size.labels(*of_request),
            response_size=self._response_size.labels(*of_request),
        )
        if method in METHODS and _is_status(status):
            self._exchanges[path, method, status] = found
        return found

    def _find_active(self, key: tuple[str, str]) -> Series:
        path, method = key
        series = self._requests_active.labels(*self._method(method), *self._path(path))
        if method in METHODS:
            self._active[key] = series
        return series

    def _find_attempt(self, instance: Instance, method: str, status: int | None) -> tuple[Series, HistogramSeries]:
        self._instances.add(instance)
        labels = (instance.service, instance.id, *self._method(method))
        found = (
            self._backend_requests.labels(*labels, *self._status(status)),
            self._backend_duration.labels(*labels),
        )
        if method in METHODS and (status is None or _is_status(status)):
            self._attempts[instance, method, status] = found
        return found

    def _method(self, method: str) -> tuple[str, ...]:
        if not self._config.include_method_label:
            return ()
        return (method if method in METHODS else OTHER,)

    def _path(self, path: str) -> tuple[str, ...]:
        if not self._config.include_path_label:
            return ()
        return (path if path.startswith("/") else UNMATCHED,)

    def _status(self, status: int | None) -> tuple[str, ...]:
        if not self._config.include_status_label:
            return ()
        if status is None:
            return ("error",)
        if not _is_status(status):
            return (OTHER,)
        return (f"{status // 100}xx" if self._config.status_classes else str(status),)

    # Instances that are gone.

    async def _forget_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(FORGET_AFTER_S / 5)
            self.forget_gone(self._clock())

    def forget_gone(self, now_s: float) -> None:
        """Drop the series of instances that have been gone for five minutes: pods come and go under new names.

        Args:
            now_s: Monotonic time.
        """
        known = {instance for service in self._directory.services() for instance in self._directory.instances(service)}
        names = {(instance.service, instance.id) for instance in known}
        gone = self._instances - known
        forgotten = {each for each in gone if now_s - self._gone_since_s.setdefault(each, now_s) >= FORGET_AFTER_S}
        self._instances -= forgotten
        for key in [key for key in self._attempts if key[0] in forgotten]:
            del self._attempts[key]
        for instance in forgotten:
            del self._gone_since_s[instance]
            # Another one may have its name by now.
            if (instance.service, instance.id) not in names:
                self._remove(instance)
        for instance in known & self._gone_since_s.keys():
            del self._gone_since_s[instance]

    def _remove(self, instance: Instance) -> None:
        families: tuple[Family[Series] | Family[HistogramSeries], ...] = (
            self._backend_requests,
            self._backend_duration,
            self._backend_errors,
        )
        for family in families:
            for labels in [*family.snapshot().series]:
                if labels[:2] == (instance.service, instance.id):
                    family.remove(*labels)


def _is_status(status: int) -> bool:
    return 100 <= status <= 599


def _error_type(error: BaseException) -> str:
    if isinstance(error, GatewayError):
        return error.type.code
    return "cancelled" if isinstance(error, asyncio.CancelledError) else "internal"


if TYPE_CHECKING:
    _: type[Observer] = Recorder
