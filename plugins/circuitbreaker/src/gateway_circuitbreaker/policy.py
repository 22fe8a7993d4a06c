"""The policy ``circuitbreaker``: one circuit for a route or a service. That of instances is in ``by_instance``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway_circuitbreaker.by_instance import InstanceBreaker
from gateway_circuitbreaker.circuit import Outcome
from gateway_circuitbreaker.outcome import outcome_of_error
from gateway_circuitbreaker.table import CircuitTable

if TYPE_CHECKING:
    from gateway import BuildContext, Exchange, Handler, Response, Route
    from gateway_circuitbreaker.config import CircuitBreakerConfig, CircuitSettings
    from gateway_circuitbreaker.table import NamedCircuit

__all__ = ["CircuitBreaker"]


class CircuitBreaker:
    """Refuses requests to what fails, for a while.

    Args:
        config: The block ``circuitBreaker``.
        context: The gateway.
    """

    waits = False

    def __init__(self, config: CircuitBreakerConfig, context: BuildContext) -> None:
        self._config = config
        self._context = context
        self._table = context.keep("circuits", lambda: CircuitTable(context.metrics, context.logger, context.directory))

    def wrap(self, call_next: Handler, route: Route) -> Handler:
        """Return the handler with its circuit, or ``call_next`` on a route that no service answers."""
        config, table = self._config, self._table
        if not route.service:
            return call_next
        # Here and not once: whichever component serves last must be the one that is asked, and all know all circuits.
        self._context.expose("report", table.report)
        self._context.expose("reset", table.reset)
        settings = config.settings_for(route.id, route.service)
        if config.scope == "instance":
            return InstanceBreaker(call_next, route.service, settings, table, self._context.directory).handle
        name = route.id if config.scope == "route" else route.service
        return _guarded(call_next, table.circuit(config.scope, name, settings), settings)


def _guarded(call_next: Handler, circuit: NamedCircuit, settings: CircuitSettings) -> Handler:
    statuses = settings.statuses

    async def guarded(exchange: Exchange) -> Response:
        if not circuit.is_closed:
            return await probe(exchange)
        generation, attempts = circuit.generation, exchange.attempts
        try:
            response = await call_next(exchange)
        except BaseException as error:
            if exchange.attempts != attempts:  # else nobody was asked
                outcome = outcome_of_error(error, exchange, settings)
                circuit.count(outcome)
                circuit.record(outcome, generation, settings)
            raise
        if response.status in statuses:
            circuit.failures.value += 1
            circuit.record(Outcome.FAILURE, generation, settings)
        else:
            circuit.successes.value += 1
            circuit.record(Outcome.SUCCESS, generation, settings)
        return response

    async def probe(exchange: Exchange) -> Response:
        admitted = circuit.admit(settings)
        if admitted is None:
            raise circuit.refusal()
        attempts = exchange.attempts
        outcome = Outcome.NEITHER
        try:
            response = await call_next(exchange)
            outcome = Outcome.FAILURE if response.status in statuses else Outcome.SUCCESS
        except BaseException as error:
            if exchange.attempts != attempts:
                outcome = outcome_of_error(error, exchange, settings)
            raise
        finally:
            circuit.count(outcome)
            circuit.settle(admitted, outcome, settings)
        return response

    return guarded


if TYPE_CHECKING:
    from gateway.interfaces import Policy

    _: type[Policy] = CircuitBreaker
