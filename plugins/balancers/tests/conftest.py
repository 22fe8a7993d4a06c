"""What the tests of every balancer need: instances, an exchange to choose for, and the core's counting."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any, cast

import pytest

from gateway import Endpoint, Exchange, Instance, Request

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(scope="session")
def pool() -> Callable[..., tuple[Instance, ...]]:
    """Make the instances of a service, one for each weight."""

    def make(*weights: int, service: str = "orders") -> tuple[Instance, ...]:
        return tuple(
            Instance(service, Endpoint(address=f"host-{number}", port=80, id=str(number), weight=weight))
            for number, weight in enumerate(weights)
        )

    return make


@pytest.fixture(scope="session")
def asking() -> Callable[..., Exchange]:
    """Make an exchange that avoids some instances."""

    def make(*excluded: Instance) -> Exchange:
        exchange = Exchange(Request("GET", "/"), cast("Any", None))
        exchange.excluded = excluded
        return exchange

    return make


@pytest.fixture(scope="session")
def release() -> Callable[[Instance], None]:
    """End an attempt, as the core does."""

    def end(instance: Instance) -> None:
        instance.in_flight -= 1
        for listener in instance.release_listeners:
            listener(instance)

    return end


@pytest.fixture(scope="session")
def seeded() -> Callable[[int], Random]:
    """Make chance that is the same in every run."""
    return Random
