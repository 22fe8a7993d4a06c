"""The health checker: asks instances and dependencies, in the control plane."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from heapq import heappop, heappush
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from gateway_healthcheck.config import dependency_probe, share_percent
from gateway_healthcheck.probe import Failed, Place, build_probe
from gateway_healthcheck.tls import CheckTls
from gateway_healthcheck.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gateway import BuildContext, Instance
    from gateway.interfaces import Directory
    from gateway_healthcheck.config import ActiveConfig, HealthConfig, SlowStartConfig
    from gateway_healthcheck.probe import Probe

__all__ = ["ActiveChecker"]

LOOK_S = 0.5
"""How soon an instance that is new is noticed; the directory tells nobody."""
FIRST_CHECK_S = 0.5
"""Within this time a new instance is checked first: at once, but not all of them in the same moment."""
MAX_ERROR_LENGTH = 200
"""What a broken instance says of itself may be long."""


class _Check:
    """Something that is checked again and again."""

    def __init__(self, label: str, config: ActiveConfig, probe: Probe, place: Place) -> None:
        self.label = label
        self.config = config
        self.probe = probe
        self.place = place
        self.is_over = False
        self.verdict = Verdict(
            config.healthy_threshold, config.unhealthy_threshold, begins_healthy=config.initial_state == "healthy"
        )


class _InstanceCheck(_Check):
    def __init__(self, instance: Instance, config: ActiveConfig, probe: Probe) -> None:
        endpoint = instance.endpoint
        place = Place(endpoint.scheme, endpoint.address, config.port or endpoint.port, instance.service)
        super().__init__(instance.id, config, probe, place)
        self.instance = instance
        self.works_since_s: float | None = None


class _Found:
    """What was found out, over reloads.

    Attributes:
        is_healthy: Of instances that were checked, what was said last.
        speaker: The checker of the newest configuration. One that is about to go says nothing any more.
    """

    def __init__(self) -> None:
        self.is_healthy: WeakKeyDictionary[Instance, bool] = WeakKeyDictionary()
        self.speaker: ActiveChecker | None = None


class _CheckedService:
    """A service whose instances are checked."""

    def __init__(self, config: ActiveConfig, probe: Probe, slow_start: SlowStartConfig, panic_percent: float) -> None:
        self.config = config
        self.probe = probe
        self.slow_start = slow_start
        self.panic_percent = panic_percent
        self.instances: Sequence[Instance] = ()
        self.checks: dict[Instance, _InstanceCheck] = {}
        self.was_panicking = False

    @property
    def is_panicking(self) -> bool:
        """Whether so few work that nobody should believe it."""
        working = sum(check.verdict.is_healthy for check in self.checks.values())
        return working * 100 < self.panic_percent * len(self.checks)


class ActiveChecker:
    """Implements ``gateway.interfaces.HealthChecker``.

    One loop knows when which check is due, and runs at most ``maxConcurrency`` of them at once. A check that fails in
    any way, its own mistakes included, is a failed check.

    Args:
        config: What to check.
        context: Of the health checker.
        clock: Monotonic seconds; tests pass a manual one.
        chance: Numbers in [0, 1).
    """

    def __init__(
        self,
        config: HealthConfig,
        context: BuildContext,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._config = config
        self._clock = clock
        self._chance = chance
        self._logger = context.logger
        self._tls = CheckTls(context)
        self._found = context.keep("found", _Found)
        self._services: dict[str, _CheckedService] = {}
        self._unchecked: set[str] = set()
        self._due: list[tuple[float, int, _Check]] = []
        self._number = 0
        self._sooner = asyncio.Event()
        self._ramping: dict[_InstanceCheck, _CheckedService] = {}
        self._default_probe = self._probe(config.active) if config.active is not None else None
        self._dependencies = [self._dependency(name) for name in config.checks]
        for name in config.services:
            # Built now, so that a file that cannot be read is found before anything serves.
            self._service(name)
        context.expose("active", self.report)
        metrics = context.metrics
        self._durations = metrics.histogram(
            "gateway_health_check_duration_seconds", "How long active health checks took.", ("service",)
        )
        self._outcomes = metrics.counter(
            "gateway_health_checks_total", "Active health checks, by what they said.", ("service", "result")
        )
        self._states = metrics.gauge(
            "gateway_health_check_status", "Whether active checks say that it works: 1 or 0.", ("service", "instance")
        )

    def is_current(self) -> bool:
        """Tell whether the files of certificates are still those that were loaded; asked at a reload."""
        return self._tls.is_current()

    # gateway.interfaces.HealthChecker

    async def monitor(self, directory: Directory) -> None:
        """Check until cancelled."""
        self._found.speaker = self
        self._forget_unchecked(directory)
        self._due.clear()
        for check in (*self._dependencies, *self._all_checks()):
            self._put(check, self._chance() * FIRST_CHECK_S)
        slots = asyncio.Semaphore(self._config.max_concurrency)
        look_s = self._clock()
        async with asyncio.TaskGroup() as running:
            while True:
                if self._clock() >= look_s:
                    look_s = self._clock() + LOOK_S
                    self._look(directory)
                    self._ramp(directory)
                while self._due and self._due[0][0] <= self._clock():
                    check = heappop(self._due)[2]
                    if not check.is_over:
                        await slots.acquire()
                        running.create_task(self._run(check, directory, slots))
                await self._wait_until(min(self._due[0][0], look_s) if self._due else look_s)

    async def _wait_until(self, until_s: float) -> None:
        """Wait, but no longer than until a check is due sooner."""
        self._sooner.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(until_s - self._clock(), 0.0)):
                await self._sooner.wait()

    # What is checked.

    def _look(self, directory: Directory) -> None:
        """Notice what came and went."""
        names = directory.services()
        for name in names:
            service = self._service(name)
            if service is not None and service.instances is not (instances := directory.instances(name)):
                self._adopt(service, instances, directory)
        for name in self._services.keys() - set(names):
            self._adopt(self._services.pop(name), (), directory)

    def _forget_unchecked(self, directory: Directory) -> None:
        """Take back what an earlier configuration found out about services that this one does not check."""
        unchecked = [name for name in directory.services() if self._service(name) is None]
        for instance in (each for name in unchecked for each in directory.instances(name)):
            self._found.is_healthy.pop(instance, None)
            if not instance.is_healthy or instance.share_percent < 100:
                directory.mark(instance, is_healthy=True, reason="not checked any more")

    def _adopt(self, service: _CheckedService, instances: Sequence[Instance], directory: Directory) -> None:
        service.instances = instances
        gone = service.checks.keys() - set(instances)
        for instance in gone:
            check = service.checks.pop(instance)
            check.is_over = True
            self._ramping.pop(check, None)
            self._states.remove(instance.service, check.label)
        for instance in instances:
            if instance not in service.checks:
                check = service.checks[instance] = _InstanceCheck(instance, service.config, service.probe)
                # As an earlier configuration found out, if there was one: a reload changes nothing.
                check.verdict.is_healthy = self._found.is_healthy.get(instance, check.verdict.is_healthy)
                self._put(check, self._chance() * FIRST_CHECK_S)
        self._tell(service, directory)

    def _service(self, name: str) -> _CheckedService | None:
        if name in self._services:
            return self._services[name]
        if name in self._unchecked:
            return None
        config = self._config.active_for(name)
        if config is None:
            if name in self._config.services:
                self._unchecked.add(name)
            return None
        is_default = config is self._config.active and self._default_probe is not None
        probe = self._default_probe if is_default and self._default_probe is not None else self._probe(config)
        service = self._services[name] = _CheckedService(
            config, probe, self._config.slow_start_for(name), self._config.panic_threshold_for(name)
        )
        return service

    def _dependency(self, name: str) -> _Check:
        probe, scheme, address, port = dependency_probe(name, self._config.checks[name])
        return _Check(name, probe, self._probe(probe), Place(scheme, address, port))

    def _probe(self, config: ActiveConfig) -> Probe:
        return build_probe(config, self._config.commands, self._tls)

    def _all_checks(self) -> Iterator[_Check]:
        for service in self._services.values():
            yield from service.checks.values()

    # Checking.

    def _put(self, check: _Check, in_s: float) -> None:
        self._number += 1
        entry = (self._clock() + in_s, self._number, check)
        heappush(self._due, entry)
        if self._due[0] is entry:
            self._sooner.set()

    async def _run(self, check: _Check, directory: Directory, slots: asyncio.Semaphore) -> None:
        started_s = self._clock()
        error: str | None = None
        try:
            async with asyncio.timeout(check.config.timeout):
                await check.probe(check.place)
        except TimeoutError:
            error = f"no answer within {check.config.timeout:g} s"
        except Failed as failure:
            error = str(failure)[:MAX_ERROR_LENGTH]
        except OSError as failure:
            error = f"{type(failure).__name__}: {failure}"[:MAX_ERROR_LENGTH]
        except Exception as failure:
            # A probe that meets what nobody thought of; the others go on.
            self._logger.exception("the check of %s failed in an unknown way", check.label)
            error = f"{type(failure).__name__}: {failure}"[:MAX_ERROR_LENGTH]
        finally:
            slots.release()
        if not check.is_over and not self._is_followed:
            self._take(check, error, self._clock() - started_s, directory)

    def _take(self, check: _Check, error: str | None, duration_s: float, directory: Directory) -> None:
        was_new = check.verdict.is_awaited
        has_changed = check.verdict.take(error, duration_s, time.time())
        self._put(check, self._pause_s(check))
        service = check.instance.service if isinstance(check, _InstanceCheck) else "gateway"
        self._durations.labels(service).observe(duration_s)
        self._outcomes.labels(service, "success" if error is None else "failure").add()
        self._states.labels(service, check.label).set(check.verdict.is_healthy)
        if not has_changed:
            return
        if not isinstance(check, _InstanceCheck):
            self._logger.warning(
                "%s, which the gateway needs, %s", check.label, "works again" if error is None else f"fails: {error}"
            )
            return
        self._found.is_healthy[check.instance] = check.verdict.is_healthy
        checked = self._services[service]
        if error is None and not was_new and checked.slow_start.window:
            check.works_since_s = self._clock()
            self._ramping[check] = checked
        elif error is not None:
            check.works_since_s = None
            self._ramping.pop(check, None)
        if checked.is_panicking == checked.was_panicking:
            # One of perhaps thousands, of which nothing else is to be said.
            self._mark(check, checked, directory, is_panicking=checked.was_panicking)
        else:
            self._tell(checked, directory)

    def _pause_s(self, check: _Check) -> float:
        config = check.config
        is_healthy = check.verdict.is_healthy
        interval_s = config.interval if is_healthy else config.unhealthy_interval or config.interval
        return interval_s * (1 + config.jitter * (2 * self._chance() - 1))

    # Telling.

    @property
    def _is_followed(self) -> bool:
        """Whether the checker of a newer configuration has begun."""
        return self._found.speaker not in (None, self)

    def _tell(self, service: _CheckedService, directory: Directory) -> None:
        """Say what was found; what was said already costs next to nothing."""
        is_panicking = service.was_panicking = service.is_panicking
        for check in service.checks.values():
            self._mark(check, service, directory, is_panicking=is_panicking)

    def _mark(
        self, check: _InstanceCheck, service: _CheckedService, directory: Directory, *, is_panicking: bool
    ) -> None:
        verdict = check.verdict
        if self._is_followed:
            return
        if is_panicking:
            directory.mark(check.instance, is_healthy=True, reason="too few instances work to leave any out")
        elif not verdict.is_healthy:
            directory.mark(check.instance, is_healthy=False, reason=verdict.error or "not checked yet")
        else:
            share = self._share_percent(check, service)
            reason = "the checks succeed" if share == 100 else "slow start"
            directory.mark(check.instance, is_healthy=True, reason=reason, share_percent=share)

    def _share_percent(self, check: _InstanceCheck, service: _CheckedService) -> int:
        if check.works_since_s is None:
            return 100
        return share_percent(service.slow_start, self._clock() - check.works_since_s)

    def _ramp(self, directory: Directory) -> None:
        panicking = {service: service.is_panicking for service in self._ramping.values()}
        for check, service in list(self._ramping.items()):
            self._mark(check, service, directory, is_panicking=panicking[service])
            if self._share_percent(check, service) == 100:
                check.works_since_s = None
                del self._ramping[check]

    def report(self) -> dict[str, object]:
        """Return what was found, for the endpoints."""
        return {
            "dependencies": [_described(check) for check in self._dependencies],
            "services": {
                name: {"panic": service.is_panicking, "instances": [_described(c) for c in service.checks.values()]}
                for name, service in self._services.items()
                if service.checks
            },
        }


def _described(check: _Check) -> dict[str, object]:
    verdict = check.verdict
    return {
        "id": check.label,
        "address": check.place.authority if check.place.address else None,
        "status": "healthy" if verdict.is_healthy else "unhealthy",
        "lastCheck": verdict.checked_utc,
        "durationMs": None if verdict.duration_s is None else round(verdict.duration_s * 1000, 3),
        "consecutiveSuccesses": verdict.successes,
        "consecutiveFailures": verdict.failures,
        "error": verdict.error or None,
    }
