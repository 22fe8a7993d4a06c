"""What a component is told of the connectors beside which it reaches services."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from gateway.runtime.context import ComponentContext


@pytest.fixture
def surroundings() -> Any:
    http = SimpleNamespace(name="http", config={"timeout": 1})
    return SimpleNamespace(
        directory=SimpleNamespace(heard_from=lambda name: None),
        configuration=SimpleNamespace(connectors=(http,)),
        **dict.fromkeys(("deadlines", "outbox", "serve", "refuse", "metrics")),
    )


@pytest.fixture
def context(surroundings: Any) -> ComponentContext:
    plugin: Any = SimpleNamespace(distribution="gateway-checks", name="checks")
    return ComponentContext("health checker", "checks", plugin, surroundings)


def is_current(context: ComponentContext) -> bool:
    return context.is_current


def test_it_is_that_of_the_connector_that_is_on(context: ComponentContext) -> None:
    assert context.connector_config("http") == {"timeout": 1}
    assert context.connector_config("http2") is None


def test_who_asked_is_not_current_any_more_when_it_changed(surroundings: Any, context: ComponentContext) -> None:
    (http,) = surroundings.configuration.connectors
    http.config = {"timeout": 2}
    assert is_current(context)
    context.connector_config("http")
    assert is_current(context)
    http.config = {"timeout": 3}
    assert not is_current(context)


def test_a_connector_that_comes_is_a_change(surroundings: Any, context: ComponentContext) -> None:
    context.connector_config("http2")
    assert is_current(context)
    surroundings.configuration.connectors += (SimpleNamespace(name="http2", config={}),)
    assert not is_current(context)


def test_a_component_that_is_built_for_no_configuration_knows_of_none(surroundings: Any, context: Any) -> None:
    surroundings.configuration = None
    assert context.connector_config("http") is None
    assert is_current(context)
