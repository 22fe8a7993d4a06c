"""The policy around a handler that a test writes."""

from __future__ import annotations

import gc
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway import Endpoint, ErrorType, Exchange, GatewayError, Instance, Request
from gateway.metrics import Metrics
from gateway_retry.config import RetryConfig
from gateway_retry.failure import reason_to_retry
from gateway_retry.policy import Retry


def exchange():
    return Exchange(Request("GET", "/"), cast("Any", None))


class Context:
    """As much of the gateway as the policy looks at."""

    def __init__(self):
        self.metrics = Metrics()
        self.directory = SimpleNamespace(instances=lambda service: ())

    def keep(self, key, make):
        return make()


def retrying(handler, **settings):
    route = SimpleNamespace(id="route", service="service", protocol=settings.pop("protocol", "http"))
    return Retry(RetryConfig(**settings), cast("Any", Context())).wrap(handler, cast("Any", route))


async def never(exchange):
    raise AssertionError


@pytest.mark.parametrize(
    "settings",
    [{"max_attempts": 1}, {"max_attempts": 0}, *({"protocol": each} for each in ("websocket", "sse"))],
)
def test_where_there_is_nothing_to_do_it_is_free(settings):
    assert retrying(never, **settings) is never


@pytest.mark.anyio
async def test_a_plugins_bug_is_not_tried_again():
    calls = []

    async def broken(exchange):
        calls.append(exchange)
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        await retrying(broken)(exchange())
    assert len(calls) == 1


@pytest.mark.anyio
@pytest.mark.parametrize("settings", [{}, {"per_try_timeout": 5}, {"timeout": 5}])
async def test_nothing_is_left_to_the_garbage_collector(settings):
    error_count = [0]

    class Failure(GatewayError):
        def __init__(self):
            super().__init__(ErrorType.BAD_GATEWAY, "broken")
            error_count[0] += 1

        def __del__(self):
            error_count[0] -= 1

    async def failing(exchange):
        exchange.instance = Instance("service", Endpoint(address="a", port=1))
        raise Failure

    handler = retrying(failing, initial_delay=0, **settings)
    gc.collect()
    gc.disable()
    try:
        with pytest.raises(GatewayError):
            await handler(exchange())
        assert error_count == [0]
    finally:
        gc.enable()


def test_refusals_of_other_plugins_are_not_tried_again():
    config = RetryConfig(errors=frozenset({"unavailable", "connect", "bad_gateway", "upstream_timeout"}))
    for kind in ErrorType:
        assert reason_to_retry(GatewayError(kind, "no", plugin="circuitbreaker"), config) is None
    assert reason_to_retry(GatewayError(ErrorType.UNAVAILABLE, "no"), config) == "unavailable"
    assert reason_to_retry(GatewayError(ErrorType.BAD_REQUEST, "no"), config) is None
