"""What the tests of services need: endpoints, connectors and exchanges."""

from __future__ import annotations

from typing import Any

import pytest

from gateway import Endpoint, Exchange, Request, Response, Route


class Connector:
    """Answers as it is told, and notes whom it was to ask."""

    waits = False

    def __init__(self, answer: Any = None) -> None:
        self.asked: list[Any] = []
        self.answer = answer if answer is not None else Response

    async def open(self, instance: Any, exchange: Exchange) -> Any:
        self.asked.append(instance)
        return self.answer()


class First:
    """A balancer that takes the first."""

    def select(self, instances: Any, exchange: Exchange) -> Any:
        return instances[0]


@pytest.fixture(scope="session")
def endpoint():
    def make(port: int = 80, **options: Any) -> Endpoint:
        return Endpoint(address="192.0.2.1", port=port, **options)

    return make


@pytest.fixture(scope="session")
def connector():
    return Connector


@pytest.fixture(scope="session")
def first():
    return First()


@pytest.fixture(scope="session")
def new_exchange():
    def make(timeout_s: float | None = None) -> Exchange:
        made = Exchange(Request("GET", "/"), None)  # type: ignore[arg-type]  # never answered
        made.route = Route(id="r", path="/", service="orders", timeout_s=timeout_s)
        return made

    return make


@pytest.fixture
def exchange(new_exchange):
    return new_exchange()
