"""The state machine, with a clock that stands still."""

from __future__ import annotations

import gc
import logging
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway import Endpoint, Instance
from gateway.metrics import Metrics
from gateway.testing import ManualClock
from gateway_circuitbreaker.circuit import Circuit, Outcome, State
from gateway_circuitbreaker.config import CircuitSettings
from gateway_circuitbreaker.table import CircuitTable

SUCCESS, FAILURE, NEITHER = Outcome.SUCCESS, Outcome.FAILURE, Outcome.NEITHER


@pytest.fixture
def make(clock):
    def make(**values):
        settings = CircuitSettings(**values)
        return Circuit(settings, lambda circuit: None, clock=clock), settings

    return make


def record(circuit, settings, *outcomes):
    for outcome in outcomes:
        circuit.record(outcome, circuit.generation, settings)


def test_a_success_ends_a_row_of_failures(make):
    circuit, settings = make(max_failures=3, failure_threshold=0)
    record(circuit, settings, FAILURE, FAILURE, SUCCESS, FAILURE, NEITHER, FAILURE)
    assert circuit.is_closed
    record(circuit, settings, FAILURE)
    assert circuit.state is State.OPEN


def test_the_first_failure_opens_nothing_by_its_share(make):
    """As it does in the gateway whose keys these are: one of one is more than half."""
    circuit, settings = make(max_failures=0, failure_threshold=0.5, min_requests=4)
    record(circuit, settings, FAILURE, FAILURE, FAILURE)
    assert circuit.is_closed
    record(circuit, settings, FAILURE)
    assert not circuit.is_closed


def test_failures_out_of_the_window_do_not_count(make, clock):
    circuit, settings = make(max_failures=0, failure_threshold=0.5, min_requests=4, interval=10)
    record(circuit, settings, FAILURE, FAILURE, FAILURE)
    clock.advance(10)
    record(circuit, settings, FAILURE, SUCCESS)
    assert circuit.totals() == (2, 1)
    assert circuit.is_closed


def test_a_window_that_was_over_long_ago_is_forgotten_at_once(make, clock):
    circuit, settings = make(max_failures=0, failure_threshold=0.5, min_requests=4, interval=10)
    record(circuit, settings, FAILURE)
    clock.advance(1e12)
    assert circuit.totals() == (0, 0)


def test_an_open_circuit_lets_nothing_through_until_its_time_is_over(make, clock):
    circuit, settings = make(max_failures=1, timeout=10)
    record(circuit, settings, FAILURE)
    assert circuit.admit(settings) is None
    clock.advance(9.5)
    assert circuit.admit(settings) is None
    assert circuit.retry_after_s() == 1
    clock.advance(0.5)
    assert circuit.admit(settings) is not None
    assert circuit.state is State.HALF_OPEN


def test_what_began_before_a_change_of_state_is_not_counted(make, clock):
    """Requests that hang during an outage end when the service works again."""
    circuit, settings = make(max_failures=1, timeout=1)
    before = circuit.generation
    record(circuit, settings, FAILURE)
    clock.advance(1)
    circuit.settle(circuit.admit(settings), SUCCESS, settings)
    assert circuit.is_closed
    circuit.record(FAILURE, before, settings)
    assert circuit.is_closed


def half_open(make, clock, **settings):
    circuit, settings = make(max_failures=1, timeout=10, **settings)
    record(circuit, settings, FAILURE)
    clock.advance(10)
    return circuit, settings


def test_only_so_many_probes_are_under_way(make, clock):
    circuit, settings = half_open(make, clock, max_requests=2)
    first, second = circuit.admit(settings), circuit.admit(settings)
    assert circuit.admit(settings) is None
    circuit.settle(first, SUCCESS, settings)
    assert circuit.admit(settings) is not None
    circuit.settle(second, SUCCESS, settings)
    assert circuit.is_closed


def test_a_probe_that_fails_opens_the_circuit_again(make, clock):
    circuit, settings = half_open(make, clock, max_requests=3)
    probes = [circuit.admit(settings) for _ in range(3)]
    circuit.settle(probes[0], FAILURE, settings)
    assert (circuit.state, circuit.retry_after_s()) == (State.OPEN, 10)
    circuit.settle(probes[1], SUCCESS, settings)  # too late to matter
    circuit.settle(probes[0], FAILURE, settings)
    assert (circuit.state, circuit.probes) == (State.OPEN, 0)


def test_a_probe_that_says_nothing_frees_its_place(make, clock):
    circuit, settings = half_open(make, clock)
    for _ in range(100):
        probe = circuit.admit(settings)
        assert probe is not None
        circuit.settle(probe, NEITHER, settings)
    assert circuit.state is State.HALF_OPEN


def test_a_probe_that_never_ends_counts_as_failed(make, clock):
    circuit, settings = half_open(make, clock, probe_timeout=3)
    probe = circuit.admit(settings)
    clock.advance(2.9)
    assert circuit.admit(settings) is None
    assert circuit.state.name == "HALF_OPEN"
    clock.advance(0.1)
    assert circuit.admit(settings) is None
    assert circuit.state.name == "OPEN"
    clock.advance(10)
    assert circuit.admit(settings) is not None
    circuit.settle(probe, SUCCESS, settings)
    assert circuit.state.name == "HALF_OPEN"


def test_a_probe_that_succeeds_too_late_has_failed(make, clock):
    circuit, settings = half_open(make, clock, probe_timeout=3)
    probe = circuit.admit(settings)
    clock.advance(3)
    circuit.settle(probe, SUCCESS, settings)
    assert circuit.state is State.OPEN


def test_another_window_begins_anew_and_leaves_the_state(make):
    circuit, settings = make(max_failures=2)
    record(circuit, settings, FAILURE)
    circuit.fit(CircuitSettings(interval=5))
    assert circuit.totals() == (0, 0)
    record(circuit, settings, FAILURE)
    circuit.fit(CircuitSettings(interval=6))
    assert circuit.state is State.OPEN


@given(
    st.lists(st.tuples(st.floats(0, 8), st.booleans()), max_size=200),
    st.integers(1, 12),
    st.floats(0.5, 20),
)
def test_the_window_counts_what_a_list_would(events, buckets, interval_s):
    """All of the last interval less a bucket, nothing older than the interval."""
    clock = ManualClock()
    settings = CircuitSettings(interval=interval_s, buckets=buckets, failure_threshold=0, max_failures=10_000)
    circuit = Circuit(settings, lambda circuit: None, clock=clock)
    seen = []
    for after_s, is_failure in events:
        clock.advance(after_s)
        seen.append((clock(), is_failure))
        record(circuit, settings, FAILURE if is_failure else SUCCESS)
        requests, failures = circuit.totals()
        surely = [failed for at_s, failed in seen if at_s > clock() - interval_s * (1 - 1 / buckets) + 1e-6]
        perhaps = [failed for at_s, failed in seen if at_s >= clock() - interval_s - 1e-6]
        assert len(surely) <= requests <= len(perhaps)
        assert sum(surely) <= failures <= sum(perhaps)


class Life(RuleBasedStateMachine):
    """Whatever happens, in whatever order, a circuit does not stick and does not let too much through."""

    def __init__(self):
        super().__init__()
        self.clock = ManualClock()
        self.settings = CircuitSettings(max_failures=2, timeout=5, max_requests=2, success_threshold=3, probe_timeout=4)
        self.circuit = Circuit(self.settings, lambda circuit: None, clock=self.clock)
        self.probes = []

    @rule(seconds=st.floats(0, 12))
    def wait(self, seconds):
        self.clock.advance(seconds)

    @rule(outcome=st.sampled_from(Outcome))
    def ask(self, outcome):
        if self.circuit.is_closed:
            record(self.circuit, self.settings, outcome)
        elif (probe := self.circuit.admit(self.settings)) is not None:
            self.probes.append(probe)

    @rule(outcome=st.sampled_from(Outcome), which=st.integers(0, 9))
    def settle(self, outcome, which):
        if self.probes:
            self.circuit.settle(self.probes.pop(which % len(self.probes)), outcome, self.settings)

    @rule()
    def reset(self):
        self.circuit.reset()
        assert self.circuit.is_closed

    @invariant()
    def few_probes(self):
        assert self.circuit.probes <= self.settings.max_requests
        assert self.circuit.is_closed == (self.circuit.state is State.CLOSED)
        assert self.circuit.probes == 0 or self.circuit.state is State.HALF_OPEN
        assert 1 <= self.circuit.retry_after_s() <= 5

    def teardown(self):
        """It closes by itself, if the service works."""
        for _ in range(8):
            if self.circuit.is_closed:
                return
            probe = self.circuit.admit(self.settings)
            if probe is None:
                self.clock.advance(5)
            else:
                self.circuit.settle(probe, SUCCESS, self.settings)
        assert self.circuit.is_closed


TestLife = Life.TestCase


# The table.


@pytest.fixture
def metrics():
    return Metrics()


class Known:
    """A directory that knows what a test says."""

    def __init__(self):
        self.known = []

    def instances(self, service):
        return self.known


@pytest.fixture
def directory():
    return Known()


@pytest.fixture
def table(metrics, clock, directory):
    return CircuitTable(metrics, logging.getLogger("gateway.plugins.test"), directory, clock=clock)


def orders(port):
    return Instance("orders", Endpoint(address="10.0.0.1", port=port))


def series(metrics):
    return sum(len(family.series) for family in metrics.snapshot())


def test_a_circuit_lives_as_long_as_somebody_holds_it(table, metrics):
    settings = CircuitSettings()
    circuit = table.circuit("service", "orders", settings)
    assert table.circuit("service", "orders", settings) is circuit
    assert table.circuit("route", "orders", settings) is not circuit
    assert series(metrics) > 0
    del circuit
    assert table.report() == []
    assert series(metrics) == 0


def test_ten_thousand_instances_that_come_and_go_leave_nothing(table, metrics):
    settings = CircuitSettings(max_failures=1)
    circuits = table.service("orders", settings)
    for number in range(10_000):
        table.of_instance(circuits, orders(1 + number), settings).record(FAILURE, 0, settings)
        assert circuits.is_troubled
    assert len(circuits.by_instance) == 0
    assert series(metrics) == 0


def test_an_instance_that_comes_back_elsewhere_keeps_its_series(table, metrics, directory):
    settings = CircuitSettings()
    circuits = table.service("orders", settings)
    old = Instance("orders", Endpoint(address="10.0.0.1", port=1, id="one"))
    new = Instance("orders", Endpoint(address="10.0.0.2", port=1, id="one"))
    table.of_instance(circuits, old, settings)
    table.of_instance(circuits, new, settings)
    del old
    directory.known = [new]
    assert len(circuits.by_instance) == 1
    assert series(metrics) > 0
    assert [each["name"] for each in table.report()] == ["orders/one"]
    directory.known = []
    assert table.report() == []


def test_nothing_is_left_to_the_garbage_collector(table):
    gc.collect()
    gc.disable()
    try:
        circuits = table.service("orders", CircuitSettings())
        instance = Instance("orders", Endpoint(address="10.0.0.1", port=1))
        known = weakref.ref(table.of_instance(circuits, instance, CircuitSettings()))
        del circuits
        assert known() is None
    finally:
        gc.enable()


def test_a_reset_closes_what_is_called_so(table):
    settings = CircuitSettings(max_failures=1)
    route, service = table.circuit("route", "a", settings), table.circuit("service", "a", settings)
    for circuit in (route, service):
        circuit.record(FAILURE, 0, settings)
    assert [each["state"] for each in table.reset("route", "a")] == ["open"]
    assert (route.is_closed, service.is_closed) == (True, False)
    assert len(table.reset(None, "a")) == 2
    assert service.is_closed
    assert table.reset(None, "b") == []
