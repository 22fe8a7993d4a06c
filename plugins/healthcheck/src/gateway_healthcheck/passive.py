"""The observer: sees what becomes of attempts, and ejects the instances on which they fail; in every worker.

Outlier detection as Envoy has it. What a worker ejects is ejected everywhere, until the time it gave is over or the
worker is gone; what another worker or an active check says of the instance counts beside it. What no worker sees enough
of alone, the control plane sees in the sum of what they report: see ``summed``.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Self

from gateway import ErrorType, GatewayError
from gateway_healthcheck.config import share_percent
from gateway_healthcheck.outliers import low_success_rates, slow_ones

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from gateway import BuildContext, Exchange, Instance
    from gateway.interfaces import AttemptRecord, Directory
    from gateway.metrics import Family, Series
    from gateway_healthcheck.config import HealthConfig, PassiveConfig

__all__ = ["TICK_S", "Attempts", "NobodyWatches", "OutlierDetector", "watches"]

Attempts = tuple[tuple[str, str, str, int], int, int, float, int, int]
"""What a worker reports of an instance: service, scheme, address and port; new requests, failures and the sum of their
durations; and how many errors and gateway errors it has seen in a row."""

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
        requests: Attempts.
        failures: Those of them that failed.
        latency_s: The sum of their durations.
        earlier: These three at the beginning of the interval.
        reported: These three when they were last reported.
        errors: Failures in a row.
        gateway_errors: Of these, failures to get an answer of the service itself, in a row.
        ejections: How often it was ejected; goes down again with every interval in which it was not.
        ejected_until_s: Until when; ``None`` if it is not.
        works_since_s: When an ejection ended; ``None`` if its slow start is over.
    """

    __slots__ = (
        "config",
        "earlier",
        "ejected_until_s",
        "ejections",
        "errors",
        "failures",
        "gateway_errors",
        "latency_s",
        "reported",
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
        self.earlier = self.reported = (0, 0, 0.0)

    @property
    def is_unfinished(self) -> bool:
        """Whether something is said of the instance that has to be taken back."""
        return self.ejected_until_s is not None or self.works_since_s is not None

    def since(self, earlier: tuple[int, int, float]) -> tuple[int, int, float]:
        """Return the requests, the failures and the sum of their durations since then."""
        requests, failures, latency_s = earlier
        return self.requests - requests, self.failures - failures, self.latency_s - latency_s


def _left(context: BuildContext) -> dict[Instance, _Record]:
    """Return what detectors that are gone have left to be taken back; at most one record for an instance."""
    return context.keep("left", dict)


def _ejected(context: BuildContext) -> Family[Series]:
    return context.metrics.gauge(
        "gateway_health_ejected_instances", "Instances that workers leave alone.", ("service",)
    )


def watches(config: HealthConfig) -> bool:
    """Say whether any service is watched."""
    return config.passive is not None or any(service.passive for service in config.services.values())


class NobodyWatches:
    """The observer where no service is watched: it ends what is left of ejections.

    Args:
        context: Of the observer.
    """

    # Without attempt_finished, so that nobody makes records of attempts.

    def __init__(self, context: BuildContext) -> None:
        self._directory = context.directory
        self._left = _left(context)
        self._ejected = _ejected(context)
        context.background.start("end of ejections", self._work)

    def exchange_finished(self, exchange: Exchange) -> None:
        """Take no note."""

    async def monitor(self, directory: Directory) -> None:
        """Do nothing, in the control plane."""
        await asyncio.Event().wait()

    async def _work(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self.tick()

    def tick(self) -> None:
        """Take back what a detector said that is gone."""
        while self._left:
            instance, record = self._left.popitem()
            self._directory.mark(instance, is_healthy=True, reason="nobody watches any more")
            if record.ejected_until_s is not None:
                self._ejected.labels(instance.service).add(-1)


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
        self._left = _left(context)
        self._ejections = context.metrics.counter(
            "gateway_health_ejections_total", "Instances that were left alone for a time, by why.", ("service", "cause")
        )
        self._spared = context.metrics.counter(
            "gateway_health_ejections_spared_total",
            "Instances that should have been ejected, but too many were out already.",
            ("service",),
        )
        self._ejected = _ejected(context)
        self._begin(context)

    async def __aenter__(self) -> Self:
        """Begin; see ``tick`` for what another one has left."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave to the detector of the next configuration whom it has to readmit: nobody else will."""
        self._left.update({each: record for each, record in self._records.items() if record.is_unfinished})

    def _begin(self, context: BuildContext) -> None:
        context.expose("attempts", self.report)
        context.background.start("outlier detection", self._work)

    # gateway.interfaces.Observer

    def exchange_finished(self, exchange: Exchange) -> None:
        """Take no note: attempts say it all."""

    def attempt_finished(self, exchange: Exchange, attempt: AttemptRecord) -> None:
        """Count an attempt."""
        record = self._records.get(attempt.instance) or self._record(attempt.instance)
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
        elif record.gateway_errors and record.gateway_errors == config.consecutive_gateway_errors:
            self._eject(attempt.instance, record, "gateway_errors", f"{record.gateway_errors} gateway errors in a row")

    def _record(self, instance: Instance) -> _Record:
        record = self._records.get(instance)
        if record is None:
            record = self._records[instance] = _Record(self._config.passive_for(instance.service))
        return record

    # Ejecting.

    def _eject(self, instance: Instance, record: _Record, cause: str, reason: str) -> None:
        config = record.config
        assert config is not None  # noqa: S101 - what is not watched is not ejected
        record.errors = record.gateway_errors = 0
        if record.ejected_until_s is not None or self._is_ejected(instance):
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
        self._take_over(now_s)
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

    def _take_over(self, now_s: float) -> None:
        """Go on with what the detector of the former configuration has begun."""
        while self._left:
            instance, begun = self._left.popitem()
            record = self._record(instance)
            if record.is_unfinished:
                # What is said of it now counts; the other one's ejection is over.
                if begun.ejected_until_s is not None:
                    self._ejected.labels(instance.service).add(-1)
                continue
            record.ejections, record.works_since_s = begun.ejections, begun.works_since_s
            record.ejected_until_s = begun.ejected_until_s
            if record.config is None and record.ejected_until_s is not None:
                record.ejected_until_s = now_s

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
            record.earlier = (record.requests, record.failures, record.latency_s)

    def _compare(self, records: dict[Instance, _Record], config: PassiveConfig) -> None:
        counts = {each: record.since(record.earlier) for each, record in records.items()}
        compared = {each: count for each, count in counts.items() if count[0] >= config.minimum_requests}
        if len(compared) < config.minimum_instances:
            return
        if config.success_rate_deviations:
            rates = {each: 1 - failures / requests for each, (requests, failures, _) in compared.items()}
            for each in low_success_rates(rates, config.success_rate_deviations):
                self._eject(each, records[each], "success_rate", f"only {rates[each]:.1%} of the attempts succeed")
        if config.latency_factor:
            latencies = {each: latency_s / requests for each, (requests, _, latency_s) in compared.items()}
            for each in slow_ones(latencies, config.latency_factor):
                self._eject(each, records[each], "latency", f"answers take {latencies[each] * 1000:.0f} ms")

    # What the control plane is told.

    def report(self, is_whole: object) -> list[Attempts]:
        """Return what this worker saw of instances: those that fail, or all that were asked since the last report.

        Args:
            is_whole: Whether counts are wanted too, of all.
        """
        rows: list[Attempts] = []
        for instance, record in self._records.items():
            if record.errors and not instance.is_healthy:
                # Somebody has ejected it: what comes after that counts anew.
                record.errors = record.gateway_errors = 0
            new = (0, 0, 0.0)
            if is_whole and record.requests != record.reported[0]:
                new = record.since(record.reported)
                record.reported = (record.requests, record.failures, record.latency_s)
            if record.errors or new[0]:
                endpoint = instance.endpoint
                place = (instance.service, endpoint.scheme, endpoint.address, endpoint.port)
                rows.append((place, *new, record.errors, record.gateway_errors))
        return rows


def _is_the_instances(error: BaseException | None) -> bool:
    """Say whether it is the instance's fault: not that of a client who left, or of a plugin."""
    if isinstance(error, GatewayError):
        return error.type in GATEWAY_ERRORS
    return isinstance(error, OSError)
