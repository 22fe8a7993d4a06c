"""A circuit for each instance of a service.

The balancer chooses the instance further in, so an open circuit cannot refuse its instance there: it is excluded before
the choice, as a retry does it, and balancers avoid what is excluded. Only when the circuits of all instances are open
is the request refused. A probe works the other way round: everything but the instance to be tried is excluded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import GatewayError
from gateway_circuitbreaker.circuit import Outcome
from gateway_circuitbreaker.outcome import outcome_of_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway import Exchange, Handler, Instance, Response
    from gateway.interfaces import Directory
    from gateway_circuitbreaker.circuit import Probe
    from gateway_circuitbreaker.config import CircuitSettings
    from gateway_circuitbreaker.table import CircuitTable, NamedCircuit

__all__ = ["InstanceBreaker"]


class InstanceBreaker:
    """The breaker of one route.

    Args:
        call_next: The next handler.
        service: The route's service.
        settings: When circuits open.
        table: Where they are.
        directory: Where the instances are.
    """

    def __init__(
        self, call_next: Handler, service: str, settings: CircuitSettings, table: CircuitTable, directory: Directory
    ) -> None:
        self._next = call_next
        self._service = service
        self._settings = settings
        self._table = table
        self._directory = directory
        self._circuits = table.service(service, settings)

    async def handle(self, exchange: Exchange) -> Response:
        """Answer an exchange."""
        if self._circuits.is_troubled:
            return await self._handle_with_care(exchange)
        return await self._ask(exchange)

    async def _ask(self, exchange: Exchange) -> Response:
        """Ask whichever instance the balancer chooses, and count what becomes of it."""
        excluded, attempts = exchange.excluded, exchange.attempts
        try:
            response = await self._next(exchange)
        except BaseException as error:
            self._count_unreached(exchange, excluded)
            if exchange.attempts != attempts:
                self._count(exchange, exchange.instance, outcome_of_error(error, exchange, self._settings))
            raise
        if exchange.excluded is not excluded:
            self._count_unreached(exchange, excluded)
        outcome = Outcome.FAILURE if response.status in self._settings.statuses else Outcome.SUCCESS
        self._count(exchange, exchange.instance, outcome)
        return response

    def _count_unreached(self, exchange: Exchange, excluded: Sequence[Instance]) -> None:
        """Count the instances that saw nothing of the request, so that the core asked another."""
        if "connect" in self._settings.errors:
            for instance in exchange.excluded[len(excluded) :]:
                self._count(exchange, instance, Outcome.FAILURE)

    def _count(self, exchange: Exchange, instance: Instance | None, outcome: Outcome) -> None:
        if instance is None or outcome is Outcome.NEITHER:
            return
        circuit = self._circuits.by_instance.get(instance)
        if circuit is None:
            circuit = self._table.of_instance(self._circuits, instance, self._settings)
        # What began before the circuit last closed says how the instance was.
        if circuit.is_closed and (not circuit.generation or exchange.started_s >= circuit.changed_s):
            circuit.count(outcome)
            circuit.record(outcome, circuit.generation, self._settings)

    # As long as a circuit is not closed.

    async def _handle_with_care(self, exchange: Exchange) -> Response:
        available = self._available()
        troubled = {instance: circuit for instance in available if (circuit := self._troubled(instance)) is not None}
        if not troubled:
            # Those that were are closed again, or gone.
            self._circuits.is_troubled = any(not each.is_closed for each in self._circuits.by_instance.values())
            return await self._ask(exchange)
        for instance, circuit in troubled.items():
            probe = circuit.admit(self._settings) if instance not in exchange.excluded else None
            if probe is not None:
                try:
                    return await self._probe(exchange, instance, circuit, probe, available)
                except GatewayError as error:
                    if not error.is_unsent or len(troubled) == len(available):
                        raise
                # It saw nothing of the request, so another may be asked, as the core does it.
                break
        if len(troubled) == len(available):
            raise min(troubled.values(), key=_retry_after_s).refusal(f"all circuits of {self._service} are open")
        return await self._ask_but(exchange, _avoided(exchange.excluded, tuple(troubled), available))

    async def _probe(
        self, exchange: Exchange, instance: Instance, circuit: NamedCircuit, probe: Probe, available: Sequence[Instance]
    ) -> Response:
        """Ask ``instance`` whether it works again."""
        attempts, outcome = exchange.attempts, Outcome.NEITHER
        try:
            response = await self._ask_but(exchange, tuple(each for each in available if each is not instance))
            outcome = Outcome.FAILURE if response.status in self._settings.statuses else Outcome.SUCCESS
        except BaseException as error:
            if exchange.attempts != attempts:
                outcome = outcome_of_error(error, exchange, self._settings)
            raise
        finally:
            if exchange.instance is not instance:
                outcome = Outcome.NEITHER  # a balancer that does as it likes
            circuit.count(outcome)
            circuit.settle(probe, outcome, self._settings)
        return response

    async def _ask_but(self, exchange: Exchange, avoided: tuple[Instance, ...]) -> Response:
        """Ask any instance but some; whoever comes next sees what was excluded before, and what failed now."""
        before, exchange.excluded = exchange.excluded, avoided
        try:
            return await self._ask(exchange)
        finally:
            exchange.excluded = (*before, *exchange.excluded[len(avoided) :])

    def _available(self) -> Sequence[Instance]:
        """Return the instances that a balancer chooses from: healthy, and with a weight if any has one."""
        healthy = [instance for instance in self._directory.instances(self._service) if instance.is_healthy]
        return [instance for instance in healthy if instance.weight > 0] or healthy

    def _troubled(self, instance: Instance) -> NamedCircuit | None:
        circuit = self._circuits.by_instance.get(instance)
        return None if circuit is None or circuit.is_closed else circuit


def _avoided(
    before: tuple[Instance, ...], troubled: tuple[Instance, ...], available: Sequence[Instance]
) -> tuple[Instance, ...]:
    """Return what to exclude: what a retry wants to avoid, too, unless nothing would be left then."""
    avoided = tuple({*before, *troubled})
    return troubled if all(instance in avoided for instance in available) else avoided


def _retry_after_s(circuit: NamedCircuit) -> int:
    return circuit.retry_after_s()
