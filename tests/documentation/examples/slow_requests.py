"""An observer: logs what took long."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pydantic import Field

from gateway import Config, Duration, ObserverRegistration, hookimpl

if TYPE_CHECKING:
    from gateway import BuildContext, Exchange


class SlowRequestsConfig(Config):
    threshold: Duration = Field(1.0, description="Seconds from which on a request counts as slow.")


class SlowRequests:
    def __init__(self, config: SlowRequestsConfig, context: BuildContext) -> None:
        self._threshold_s = config.threshold
        self._logger = context.logger

    def exchange_finished(self, exchange: Exchange) -> None:
        duration_s = time.monotonic() - exchange.started_s
        if duration_s >= self._threshold_s:
            request = exchange.request
            self._logger.warning("slow: %s %s", request.method, request.path, extra={"request_id": request.id})


@hookimpl
def gateway_register_observers() -> list[ObserverRegistration]:
    return [
        ObserverRegistration(
            name="slow_requests", summary="Logs slow requests", config=SlowRequestsConfig, build=SlowRequests
        )
    ]
