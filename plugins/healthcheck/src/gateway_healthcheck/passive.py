"""The observer: sees what becomes of attempts, and ejects the instances on which they fail; in every worker.

Outlier detection as Envoy has it. What a worker ejects is ejected everywhere, until the time it gave is over or the
worker is gone; what another worker or an active check says of the instance counts beside it.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from gateway import ErrorType, GatewayError
from gateway_healthcheck.config import share_percent
from gateway_healthcheck.outliers import low_success_rates, slow_ones

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway import BuildContext, Exchange, Instance
    from gateway.interfaces import AttemptRecord
    from gateway_healthcheck.config import HealthConfig, PassiveConfig

__all__ = ["NobodyWatches", "OutlierDetector", "watches"]

TICK_S = 0.5
"""How late an ejection may end."""
EJECTED = "ejected: "
"""How the reasons of ejections begin: other workers recognise them by that."""
SERVER_ERROR = 500
GATEWAY_STATUSES = frozenset({502, 503, 504})
GATEWAY_ERRORS = frozenset({ErrorType.BAD_GATEWAY, ErrorType.UPSTREAM_TIMEOUT, ErrorType.UNAVAILABLE})


class _Record:
    """What is known of an instance.

    Attributes:
        requests: Attempts in this interval.
        failures: Those of them that failed.
        latency_s: The sum of their durations.
        errors: Failures in a row.
        gateway_errors: Of these, failures to get an answer of the service itself, in a row.
        ejections: How often it was ejected; goes down again with every interval in which it was not.
        ejected_until_s: Until when; ``None`` if it is not.
        works_since_s: When an ejection ended; ``None`` if its slow start is over.
    """

    __slots__ = (
        "config",
        "ejected_until_s",
        "ejections",
        "errors",
        "failures",
        "gateway_errors",
        "latency_s",
        "requests",
        "works_since_s",
    )

    def __init__(self, config: PassiveConfig | None) -> None:
        self.config = config
        self.requests = 0
        self.failures = 0
        self.latency_s = 0.0
        self.errors = 0
        self.gateway_errors = 0
        self.ejections = 0
        self.ejected_until_s: float | None = None
        self.works_since_s: float | None = None


def watches(config: HealthConfig) -> bool:
    """Say whether any service is watched."""
    return config.passive is not None or any(service.passive for service in config.services.values())


class NobodyWatches:
    """The observer where no service is watched."""

    def exchange_finished(self, exchange: Exchange) -> None:
        """Take no note."""

    def attempt_finished(self, exchange: Exchange, attempt: AttemptRecord) -> None:
        """Take no note."""


class OutlierDetector:
    """Implements ``gateway.interfaces.Observer``.

    Args:
        config: What makes an outlier.
        context: Of the observer.
        clock: Monotonic seconds; tests pass a manual one.
    """

    def __init__(
        self, config: HealthConfig, context: BuildContext, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._config = config
        self._directory = context.directory
        self._clock = clock
        # By instance, not by its name: one that went and came back begins anew.
        self._records: dict[Instance, _Record] = {}
        self._interval_ends_s: dict[str, float] = {}
        self._ejections = context.metrics.counter(
            "gateway_health_ejections_total", "Instances that were left alone for a time, by why.", ("service", "cause")
        )
        self._spared = context.metrics.counter(
            "gateway_health_ejections_spared_total",
            "Instances that should have been ejected, but too many were out already.",
            ("service",),
        )
        self._ejected = context.metrics.gauge(
            "gateway_health_ejected_instances", "Instances that workers leave alone.", ("service",)
        )
        context.background.start("outlier detection", self._work)

    # gateway.interfaces.Observer

    def exchange_finished(self, exchange: Exchange) -> None:
        """Take no note: attempts say it all."""

    def attempt_finished(self, exchange: Exchange, attempt: AttemptRecord) -> None:
        """Count an attempt."""
        record = self._records.get(attempt.instance)
        if record is None:
            record = self._records[attempt.instance] = _Record(self._config.passive_for(attempt.instance.service))
        config = record.config
        if config is None:
            return
        status = attempt.status
        if status is not None and status < SERVER_ERROR:
            record.requests += 1
            record.latency_s += attempt.duration_s
            record.errors = record.gateway_errors = 0
            return
        if status is None and not _is_the_instances(attempt.error):
            return
        record.requests += 1
        record.failures += 1
        record.latency_s += attempt.duration_s
        record.errors += 1
        record.gateway_errors = record.gateway_errors + 1 if status is None or status in GATEWAY_STATUSES else 0
        if record.errors == config.consecutive_5xx:
            self._eject(attempt.instance, record, "errors", f"{record.errors} errors in a row")
        elif record.gateway_errors == config.consecutive_gateway_errors:
            self._eject(attempt.instance, record, "gateway_errors", f"{record.gateway_errors} gateway errors in a row")

    # Ejecting.

    def _eject(self, instance: Instance, record: _Record, cause: str, reason: str) -> None:
        config = record.config
        assert config is not None  # noqa: S101 - what is not watched is not ejected
        record.errors = record.gateway_errors = 0
        if record.ejected_until_s is not None:
            return
        if not self._may_eject(instance.service, config):
            self._spared.labels(instance.service).add()
            return
        record.ejections += 1
        time_s = min(config.ejection_time * record.ejections, config.max_ejection_time)
        record.ejected_until_s = self._clock() + time_s
        record.works_since_s = None
        self._directory.mark(instance, is_healthy=False, reason=f"{EJECTED}{reason}; for {time_s:g} s")
        self._ejections.labels(instance.service, cause).add()
        self._ejected.labels(instance.service).add()

    def _may_eject(self, service: str, config: PassiveConfig) -> bool:
        """Say whether one more may be taken out; O(n), but only when one should be."""
        instances = self._directory.instances(service)
        available = sum(instance.is_healthy for instance in instances) - 1
        if available < 1 or available * 100 < self._config.panic_threshold_for(service) * len(instances):
            return False
        ejected = sum(self._is_ejected(instance) for instance in instances if not instance.is_healthy)
        return ejected == 0 or (ejected + 1) * 100 <= config.max_ejection_percent * len(instances)

    def _is_ejected(self, instance: Instance) -> bool:
        """Say whether any worker has ejected it."""
        return any(mark.reason.startswith(EJECTED) for mark in self._directory.marks(instance).values())

    def _readmit(self, instance: Instance, record: _Record, reason: str) -> None:
        record.ejected_until_s = None
        record.works_since_s = self._clock()
        self._ejected.labels(instance.service).add(-1)
        self._ramp(instance, record, reason)

    def _ramp(self, instance: Instance, record: _Record, reason: str) -> None:
        """Grant it what its slow start says."""
        assert record.works_since_s is not None  # noqa: S101 - the caller asked
        slow_start = self._config.slow_start_for(instance.service)
        share = share_percent(slow_start, self._clock() - record.works_since_s)
        if share == 100:
            record.works_since_s = None
        self._directory.mark(instance, is_healthy=True, reason=reason, share_percent=share)

    # What time brings.

    async def _work(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self.tick()

    def tick(self) -> None:
        """End ejections whose time is over, and compare instances at the end of an interval."""
        now_s = self._clock()
        for instance, record in self._records.items():
            if record.ejected_until_s is not None and record.ejected_until_s <= now_s:
                self._readmit(instance, record, "its time is over")
            elif record.works_since_s is not None:
                self._ramp(instance, record, "slow start")
        self._calm_panic()
        known: dict[str, list[Instance]] = {}
        for instance in self._records:
            known.setdefault(instance.service, []).append(instance)
        for service, instances in known.items():
            config = self._config.passive_for(service)
            ends_s = self._interval_ends_s.setdefault(service, now_s + (config.interval if config else 60.0))
            if now_s >= ends_s:
                del self._interval_ends_s[service]
                self._end_interval(service, instances, config)

    def _calm_panic(self) -> None:
        """Take back ejections where, whatever the cause, too few instances are left."""
        ejected = [(each, record) for each, record in self._records.items() if record.ejected_until_s is not None]
        for instance, record in ejected:
            instances = self._directory.instances(instance.service)
            available = sum(each.is_healthy for each in instances)
            threshold = self._config.panic_threshold_for(instance.service) * len(instances)
            if not available or available * 100 < threshold:
                self._readmit(instance, record, "too few instances work to leave any out")

    def _end_interval(self, service: str, instances: Iterable[Instance], config: PassiveConfig | None) -> None:
        present = set(self._directory.instances(service))
        for instance in [each for each in instances if each not in present]:
            if self._records.pop(instance).ejected_until_s is not None:
                self._ejected.labels(service).add(-1)
        records = {each: self._records[each] for each in instances if each in self._records}
        if config is not None:
            self._compare(records, config)
        for record in records.values():
            if record.ejected_until_s is None and record.ejections:
                record.ejections -= 1
            record.requests = record.failures = 0
            record.latency_s = 0.0

    def _compare(self, records: dict[Instance, _Record], config: PassiveConfig) -> None:
        compared = {each: record for each, record in records.items() if record.requests >= config.minimum_requests}
        if len(compared) < config.minimum_instances:
            return
        if config.success_rate_deviations:
            rates = {each: 1 - record.failures / record.requests for each, record in compared.items()}
            for each in low_success_rates(rates, config.success_rate_deviations):
                self._eject(each, records[each], "success_rate", f"only {rates[each]:.1%} of the attempts succeed")
        if config.latency_factor:
            latencies = {each: record.latency_s / record.requests for each, record in compared.items()}
            for each in slow_ones(latencies, config.latency_factor):
                self._eject(each, records[each], "latency", f"answers take {latencies[each] * 1000:.0f} ms")


def _is_the_instances(error: BaseException | None) -> bool:
    """Say whether it is the instance's fault: not that of a client who left, or of a plugin."""
    if isinstance(error, GatewayError):
        return error.type in GATEWAY_ERRORS
    return isinstance(error, OSError)
