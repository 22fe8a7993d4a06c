"""What the recorder keeps, and what it lets go."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from gateway import Endpoint, ErrorType, Exchange, GatewayError, Instance, Request, Response, Route
from gateway.interfaces import AttemptRecord
from gateway.metrics import Metrics
from gateway_prometheus.config import MetricsConfig
from gateway_prometheus.recorder import Recorder


class Directory:
    """Services by name."""

    def __init__(self) -> None:
        self.known: dict[str, list[Instance]] = {}

    def services(self) -> list[str]:
        return list(self.known)

    def instances(self, service: str) -> list[Instance]:
        return self.known[service]


@pytest.fixture
def directory() -> Directory:
    return Directory()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def recorder(directory: Directory, metrics: Metrics) -> Recorder:
    context: Any = SimpleNamespace(
        directory=directory,
        metrics=metrics,
        logger=logging.getLogger("test"),
        background=SimpleNamespace(start=lambda name, work: None),
        expose=lambda key, make: None,
    )
    return Recorder(MetricsConfig(), context)


def exchange(method: str = "GET", path: str = "/orders/*", status: int | None = 200) -> Exchange:
    responder: Any = None
    made = Exchange(Request(method, "/orders/1"), responder)
    made.route = Route(id="orders", path=path, service="orders")
    made.response = Response(status) if status is not None else None
    return made


def attempt(instance: Instance, status: int | None = 200, error: BaseException | None = None) -> AttemptRecord:
    return AttemptRecord(instance=instance, status=status, error=error, duration_s=0.01)


def instance(name: str = "one", port: int = 1) -> Instance:
    return Instance("orders", Endpoint(address="127.0.0.1", port=port, id=name))


def series_of(metrics: Metrics, name: str) -> list[tuple[str, ...]]:
    (family,) = (family for family in metrics.snapshot() if family.name == name)
    return list(family.series)


BACKEND = ("gateway_backend_requests_total", "gateway_backend_request_duration_seconds", "gateway_backend_errors_total")


def test_instances_that_are_gone_for_five_minutes_are_forgotten(
    recorder: Recorder, directory: Directory, metrics: Metrics
) -> None:
    stays, goes = instance("stays"), instance("goes", 2)
    directory.known["orders"] = [stays, goes]
    for each in (stays, goes):
        recorder.attempt_finished(exchange(), attempt(each))
        recorder.attempt_finished(exchange(), attempt(each, None, GatewayError(ErrorType.BAD_GATEWAY, "down")))
    recorder.forget_gone(0.0)
    directory.known["orders"] = [stays]
    recorder.forget_gone(100.0)
    recorder.forget_gone(399.0)
    assert {labels[1] for name in BACKEND for labels in series_of(metrics, name)} == {"stays", "goes"}
    recorder.forget_gone(400.0)
    assert {labels[1] for name in BACKEND for labels in series_of(metrics, name)} == {"stays"}
    recorder.attempt_finished(exchange(), attempt(stays))
    recorder.attempt_finished(exchange(), attempt(goes))  # an old connection that ends late
    assert {labels[1] for labels in series_of(metrics, BACKEND[0])} == {"stays", "goes"}


def test_an_instance_that_comes_back_is_not_forgotten(
    recorder: Recorder, directory: Directory, metrics: Metrics
) -> None:
    one = instance()
    recorder.attempt_finished(exchange(), attempt(one))
    directory.known["orders"] = []
    recorder.forget_gone(0.0)
    directory.known["orders"] = [one]
    recorder.forget_gone(200.0)
    directory.known["orders"] = []
    recorder.forget_gone(400.0)
    recorder.forget_gone(600.0)
    assert series_of(metrics, BACKEND[0])


def test_an_instance_that_took_the_name_of_another_keeps_its_series(
    recorder: Recorder, directory: Directory, metrics: Metrics
) -> None:
    recorder.attempt_finished(exchange(), attempt(instance("web-0", 1)))
    directory.known["orders"] = [instance("web-0", 2)]
    recorder.forget_gone(0.0)
    recorder.forget_gone(300.0)
    assert [labels[1] for labels in series_of(metrics, BACKEND[0])] == ["web-0"]


def test_an_instance_that_was_asked_in_strange_ways_only_is_forgotten_too(
    recorder: Recorder, directory: Directory, metrics: Metrics
) -> None:
    recorder.attempt_finished(exchange("BREW"), attempt(instance("web-0", 1)))
    directory.known["orders"] = []
    recorder.forget_gone(0.0)
    recorder.forget_gone(300.0)
    assert not series_of(metrics, BACKEND[0])


def test_what_strangers_choose_is_not_kept(recorder: Recorder) -> None:
    one = instance()
    for number in range(1000):
        made = exchange(f"M{number}", status=number)
        recorder.exchange_started(made)
        recorder.attempt_finished(made, attempt(one, number))
        recorder.exchange_finished(made)
    assert not recorder._exchanges
    assert not recorder._active
    assert not recorder._attempts


@pytest.mark.parametrize(
    ("error", "label"),
    [
        (GatewayError(ErrorType.UPSTREAM_TIMEOUT, "slow"), "upstream_timeout"),
        (GatewayError(ErrorType.BAD_GATEWAY, "down"), "bad_gateway"),
        (RuntimeError("bug"), "internal"),
    ],
)
def test_errors_are_told_apart(recorder: Recorder, metrics: Metrics, error: Exception, label: str) -> None:
    recorder.attempt_finished(exchange(), attempt(instance(), None, error))
    assert series_of(metrics, "gateway_backend_errors_total") == [("orders", "one", label)]


def test_connections_that_were_upgraded_are_no_durations(recorder: Recorder, metrics: Metrics) -> None:
    """They live for hours, and would drown the requests."""
    recorder.exchange_finished(exchange(status=101))
    snapshot = {family.name: family for family in metrics.snapshot()}
    (value,) = snapshot["gateway_http_request_duration_seconds"].series.values()
    assert sum(value.counts) == 0  # type: ignore[union-attr]  # of a histogram
    assert list(snapshot["gateway_http_requests_total"].series.values()) == [1.0]
