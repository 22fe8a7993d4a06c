"""All circuits of a worker, what they measure, and what the admin endpoints see of them."""

from __future__ import annotations

import time
import weakref
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakValueDictionary

from gateway import ErrorType, GatewayError
from gateway_circuitbreaker.circuit import Circuit, Outcome, State

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterator

    from gateway import Instance
    from gateway.interfaces import Directory
    from gateway.metrics import Metrics
    from gateway_circuitbreaker.config import CircuitSettings

__all__ = ["CircuitTable", "NamedCircuit", "ServiceCircuits"]

OUTCOMES = (Outcome.SUCCESS.value, Outcome.FAILURE.value, "rejected")


class NamedCircuit(Circuit):
    """A circuit with a name and counters.

    Attributes:
        scope: ``route``, ``service`` or ``instance``.
        name: The route's id, the service's name, or ``service/instance``.
        successes: Counts them.
        failures: Counts them.
        rejections: Counts them.
    """

    __slots__ = ("failures", "name", "rejections", "scope", "successes")

    def __init__(
        self,
        scope: str,
        name: str,
        settings: CircuitSettings,
        changed: Callable[[Circuit], None],
        table: CircuitTable,
    ) -> None:
        super().__init__(settings, changed, clock=table.clock)
        self.scope = scope
        self.name = name
        self.successes, self.failures, self.rejections = (
            table.requests.labels(scope, name, outcome) for outcome in OUTCOMES
        )

    def count(self, outcome: Outcome) -> None:
        """Count a request in the metrics."""
        if outcome is Outcome.SUCCESS:
            self.successes.value += 1
        elif outcome is Outcome.FAILURE:
            self.failures.value += 1

    def refusal(self, detail: str | None = None, *, retry_after_s: int | None = None) -> GatewayError:
        """Return what a refused request is answered, and count it.

        Args:
            detail: The text for the log; ``None`` names the circuit.
            retry_after_s: When to come again; ``None`` is as the circuit says.
        """
        self.rejections.value += 1
        return GatewayError(
            ErrorType.UNAVAILABLE,
            "the service is temporarily unavailable",
            detail=detail or f"the circuit of {self.scope} {self.name} is {self.state.name.lower()}",
            headers=((b"retry-after", b"%d" % (retry_after_s or self.retry_after_s())),),
            plugin="circuitbreaker",
        )

    def report(self) -> dict[str, Any]:
        """Return what an operator wants to know of it."""
        requests, failures = self.totals()
        return {
            "scope": self.scope,
            "name": self.name,
            "state": self.state.name.lower().replace("_", "-"),
            "forSeconds": round(self.age_s(), 3),
            "requests": requests,
            "failures": failures,
            "failuresInARow": self.failures_in_a_row,
            "probes": self.probes,
            "retryAfterSeconds": None if self.is_closed else self.retry_after_s(),
        }


class ServiceCircuits:
    """The circuits of a service's instances.

    Attributes:
        by_instance: Those that were asked. An instance that is gone takes its circuit along.
        is_troubled: Whether one of them may be open or half-open: if not, nobody needs to look at them.
    """

    __slots__ = ("__weakref__", "by_instance", "is_troubled")

    def __init__(self) -> None:
        self.by_instance: WeakKeyDictionary[Instance, NamedCircuit] = WeakKeyDictionary()
        self.is_troubled = False


class CircuitTable:
    """Finds circuits by name, and keeps them as long as a route uses them: so over reloads, and never for good.

    Args:
        metrics: Where they count.
        logger: Where their changes are told.
        directory: Where the instances are.
        clock: Monotonic seconds; tests pass a manual one.

    Attributes:
        clock: As given.
        requests: The counter of requests by outcome.
    """

    def __init__(
        self,
        metrics: Metrics,
        logger: logging.Logger,
        directory: Directory,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.clock = clock
        self.requests = metrics.counter(
            "gateway_circuitbreaker_requests_total",
            "Requests that circuits counted as success or failure, or rejected.",
            ("scope", "name", "outcome"),
        )
        self._states = metrics.gauge(
            "gateway_circuitbreaker_state",
            "The state of a circuit: 0 closed, 1 open, 2 half-open; of several workers the greatest.",
            ("scope", "name"),
            combine="max",
        )
        self._transitions = metrics.counter(
            "gateway_circuitbreaker_transitions_total",
            "How often circuits changed to a state.",
            ("scope", "name", "state"),
        )
        self._logger = logger
        self._directory = directory
        self._shared: WeakValueDictionary[tuple[str, str], NamedCircuit] = WeakValueDictionary()
        self._services: WeakValueDictionary[str, ServiceCircuits] = WeakValueDictionary()
        self._named: Counter[tuple[str, str]] = Counter()  # an instance may come back under its name elsewhere

    def circuit(self, scope: str, name: str, settings: CircuitSettings) -> NamedCircuit:
        """Return the circuit of a route or service; the caller holds it for as long as it is needed."""
        circuit = self._shared.get((scope, name))
        if circuit is None:
            circuit = self._shared[scope, name] = self._new(scope, name, settings, self._changed)
        else:
            circuit.fit(settings)
        return circuit

    def service(self, name: str, settings: CircuitSettings) -> ServiceCircuits:
        """Return the circuits of a service's instances; the caller holds them for as long as they are needed."""
        circuits = self._services.get(name)
        if circuits is None:
            circuits = self._services[name] = ServiceCircuits()
        for circuit in circuits.by_instance.values():
            circuit.fit(settings)
        return circuits

    def of_instance(self, circuits: ServiceCircuits, instance: Instance, settings: CircuitSettings) -> NamedCircuit:
        """Return the circuit of an instance."""
        circuit = circuits.by_instance.get(instance)
        if circuit is None:
            # Not the circuits themselves, which hold this one: such a cycle would wait for the garbage collector.
            changed = partial(self._instance_changed, weakref.ref(circuits))
            name = f"{instance.service}/{instance.id}"
            circuit = circuits.by_instance[instance] = self._new("instance", name, settings, changed)
        return circuit

    def report(self) -> list[dict[str, Any]]:
        """Return what an operator wants to know of all circuits."""
        return [circuit.report() for circuit in self._circuits()]

    def reset(self, scope: str | None, name: str) -> list[dict[str, Any]]:
        """Close a circuit; returns what was to be said of it before.

        Args:
            scope: Of which scope; ``None`` closes all that are called so.
            name: What it is called.
        """
        found = [each for each in self._circuits() if each.name == name and scope in (None, each.scope)]
        before = [circuit.report() for circuit in found]
        for circuit in found:
            if not circuit.is_closed:
                self._logger.warning("the circuit of %s %s is reset", circuit.scope, circuit.name)
            circuit.reset()
        return before

    def _circuits(self) -> Iterator[NamedCircuit]:
        yield from list(self._shared.values())
        for name, service in list(self._services.items()):
            # Somebody may still hold an instance that is gone, such as a pool of connections.
            known = set(self._directory.instances(name))
            yield from [circuit for instance, circuit in service.by_instance.items() if instance in known]

    def _new(
        self, scope: str, name: str, settings: CircuitSettings, changed: Callable[[Circuit], None]
    ) -> NamedCircuit:
        circuit = NamedCircuit(scope, name, settings, changed, self)
        self._states.labels(scope, name).set(State.CLOSED)
        # What is gone is measured no more, or the series of instances that come and go would pile up.
        self._named[scope, name] += 1
        weakref.finalize(circuit, self._forget, scope, name).atexit = False
        return circuit

    def _forget(self, scope: str, name: str) -> None:
        self._named[scope, name] -= 1
        if self._named[scope, name]:
            return
        del self._named[scope, name]
        self._states.remove(scope, name)
        for outcome in OUTCOMES:
            self.requests.remove(scope, name, outcome)
        for state in State:
            self._transitions.remove(scope, name, state.name.lower())

    def _instance_changed(self, service: weakref.ref[ServiceCircuits], circuit: Circuit) -> None:
        circuits = service()
        if circuits is not None and not circuit.is_closed:
            circuits.is_troubled = True
        self._changed(circuit)

    def _changed(self, circuit: Circuit) -> None:
        assert isinstance(circuit, NamedCircuit)  # noqa: S101 - all of this table are
        self._states.labels(circuit.scope, circuit.name).set(circuit.state)
        self._transitions.labels(circuit.scope, circuit.name, circuit.state.name.lower()).add()
        log = self._logger.warning if circuit.state is State.OPEN else self._logger.info
        log(
            "the circuit of %s %s is %s",
            circuit.scope,
            circuit.name,
            circuit.state.name.lower().replace("_", "-"),
            extra={"scope": circuit.scope, "circuit": circuit.name},
        )
