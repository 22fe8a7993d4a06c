"""Outlier detection over all workers, in the control plane.

A worker sees its share of the attempts only: of an instance on which every one fails, four workers with a threshold of
five let nineteen fail, and each has a quarter of the requests that a comparison needs. So the control plane asks all of
them twice a second who fails, and once an interval how much was asked of everybody, and decides on the sums.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from gateway_healthcheck.passive import TICK_S, OutlierDetector

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway import BuildContext, Instance
    from gateway.interfaces import Directory
    from gateway_healthcheck.passive import Attempts

__all__ = ["SummedDetector"]


class SummedDetector(OutlierDetector):
    """Implements ``gateway.interfaces.HealthChecker``: what one detector for all attempts would do, twice a second.

    What a worker finds out alone it does not wait for. Failures count as being in a row if no worker has seen a
    success since: each reports those since its own last one.
    """

    def _begin(self, context: BuildContext) -> None:
        self._context = context
        self._whole_due_s = self._clock()

    async def monitor(self, directory: Directory) -> None:
        """Sum up until cancelled."""
        while True:
            await asyncio.sleep(TICK_S)
            await self.look()

    async def look(self) -> None:
        """Ask the workers, and decide."""
        is_whole = self._clock() >= self._whole_due_s
        if is_whole:
            # Twice in each interval: what is compared at its end is no older than half of it.
            intervals_s = [each.interval for each in self._config.passive_configs()]
            self._whole_due_s = self._clock() + min(intervals_s, default=10.0) / 2
        reports = await self._context.collect("attempts", is_whole)
        if len(reports) > 1:
            self.take([cast("Sequence[Attempts]", report) for report in reports])
        self.tick()

    def take(self, reports: Sequence[Sequence[Attempts]]) -> None:
        """Add up what the workers saw."""
        services = {row[0][0] for report in reports for row in report}
        found = {
            (name, each.endpoint.scheme, each.endpoint.address, each.endpoint.port): each
            for name in services
            for each in self._directory.instances(name)
        }
        in_a_row: dict[Instance, tuple[int, int]] = {}
        for report in reports:
            for place, requests, failures, latency_s, errors, gateway_errors in report:
                instance = found.get(place)
                if instance is None:
                    continue
                record = self._record(instance)
                record.requests += requests
                record.failures += failures
                record.latency_s += latency_s
                before = in_a_row.get(instance, (0, 0))
                in_a_row[instance] = before[0] + errors, before[1] + gateway_errors
        for instance, (errors, gateway_errors) in in_a_row.items():
            self._judge(instance, errors, gateway_errors)

    def _judge(self, instance: Instance, errors: int, gateway_errors: int) -> None:
        record = self._record(instance)
        config = record.config
        if config is None:
            return
        if config.consecutive_5xx and errors >= config.consecutive_5xx:
            self._eject(instance, record, "errors", f"{errors} errors in a row, in all workers")
        elif config.consecutive_gateway_errors and gateway_errors >= config.consecutive_gateway_errors:
            self._eject(instance, record, "gateway_errors", f"{gateway_errors} gateway errors in a row, in all workers")


if TYPE_CHECKING:
    from gateway.interfaces import HealthChecker

    _: type[HealthChecker] = SummedDetector
