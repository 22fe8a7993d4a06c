"""A circuit breaker for each instance, and one for the service when all of its instances are open."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from pydantic import Field

from gateway import BuildContext, Config, Duration, ErrorType, GatewayError, Instance, PolicyRegistration, Stage

if TYPE_CHECKING:
    from gateway import Exchange, Handler, Response, Route
    from gateway.interfaces import Policy


class BreakerConfig(Config):
    failures: int = Field(5, description="How many failures in a row open the circuit.", ge=1)
    cool_down: Duration = Field(10.0, description="Seconds until one request may try again.")


class Circuit:
    def __init__(self) -> None:
        self.failures = 0
        self.open_until_s = 0.0


class Breaker:
    waits = False

    def __init__(self, config: BreakerConfig, context: BuildContext) -> None:
        self._config = config
        self._directory = context.directory
        # Survives a reload that changes the block. Weak: an instance that is gone takes its circuit along.
        self._circuits: WeakKeyDictionary[Instance, Circuit] = context.keep("circuits", WeakKeyDictionary)

    def wrap(self, call_next: Handler, route: Route) -> Handler:
        async def handler(exchange: Exchange) -> Response:
            instances = self._directory.instances(route.service)
            opened = tuple(instance for instance in instances if self._is_open(instance))
            if opened:
                if len(opened) == len(instances):
                    raise GatewayError(ErrorType.UNAVAILABLE, "the service is resting", plugin="breaker")
                exchange.excluded += opened
            try:
                response = await call_next(exchange)
            except GatewayError:
                self._count(exchange.instance, is_failure=True)
                raise
            self._count(exchange.instance, is_failure=response.status >= 500)
            return response

        return handler

    def _is_open(self, instance: Instance) -> bool:
        circuit = self._circuits.get(instance)
        if circuit is None or circuit.failures < self._config.failures:
            return False
        now_s = time.monotonic()
        if circuit.open_until_s > now_s:
            return True
        circuit.open_until_s = now_s + self._config.cool_down  # this request tries, the others go on waiting
        return False

    def _count(self, instance: Instance | None, *, is_failure: bool) -> None:
        if instance is not None:
            circuit = self._circuits.setdefault(instance, Circuit())
            circuit.failures = circuit.failures + 1 if is_failure else 0
            if is_failure:
                circuit.open_until_s = time.monotonic() + self._config.cool_down


def build(config: BreakerConfig, context: BuildContext) -> Breaker:
    return Breaker(config, context)


breaker = PolicyRegistration(name="breaker", config=BreakerConfig, build=build, stage=Stage.ATTEMPT)

if TYPE_CHECKING:
    _policy: type[Policy] = Breaker
