"""What the tests of the pipeline need: a client, a service and routes between them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from gateway import Exchange, Headers, Request, Response, Route, Stage
from gateway.metrics import Metrics
from gateway.pipeline import Containment, Observers, PlacedPolicy, RouteComponents, compile_route
from gateway.pipeline.shadow import ShadowRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Client:
    """A responder that notes what it is answered."""

    def __init__(self) -> None:
        self.response: Response | None = None

    def respond(self, exchange: Exchange, response: Response) -> None:
        assert self.response is None, "answered twice"
        self.response = response
        exchange.finish(len(response.body) if isinstance(response.body, bytes) else 0)

    def inform(self, exchange: Exchange, status: int, pairs: Sequence[tuple[bytes, bytes]]) -> None:
        raise AssertionError


class Service:
    """The innermost handler: notes who asked, and answers or fails as it is told."""

    def __init__(self) -> None:
        self.asked: list[Exchange] = []
        self.answer: Callable[[Exchange], Response] = lambda exchange: Response.text("from the service")

    async def __call__(self, exchange: Exchange) -> Response:
        self.asked.append(exchange)
        return self.answer(exchange)


class Gateway:
    """Compiles a route of policies and asks it."""

    def __init__(self) -> None:
        self.service = Service()
        self.route = Route(id="orders", path="/orders/*", service="orders")
        self.containment = Containment(lambda traceback: "culprit")
        self.finished = 0

    def compile(self, *policies: PlacedPolicy, observers: Sequence[Any] = (), **options: Any) -> Any:
        components = RouteComponents(
            route=self.route,
            policies=policies,
            terminal=options.pop("terminal", self.service),
            observers=self.observers(*observers),
            **options,
        )
        return compile_route(components, self.containment, on_finish=self._finish)

    def observers(self, *observers: Any) -> Observers:
        return Observers(observers, lambda traceback: "culprit")

    async def ask(
        self, *policies: PlacedPolicy, path: str = "/orders/1", headers: Sequence[tuple[str, str]] = (), **options: Any
    ) -> Exchange:
        """Return the exchange when it is answered."""
        compiled = options.pop("compiled", None) or self.compile(*policies, **options)
        exchange = Exchange(Request("GET", path, headers=Headers.of(headers), client="192.0.2.1", id="r-1"), Client())
        exchange.start(compiled)
        for _ in range(50):
            if exchange.response is not None:
                await asyncio.sleep(0)  # observers are told at the end of the turn
                return exchange
            await asyncio.sleep(0)
        raise AssertionError("no answer")

    def _finish(self) -> None:
        self.finished += 1


@pytest.fixture
def metrics():
    return Metrics()


@pytest.fixture
def shadow_record(metrics):
    return ShadowRecord(metrics)


@pytest.fixture
def gateway():
    """Compile routes of policies, and ask them."""
    return Gateway()


@pytest.fixture(scope="session")
def place():
    """Put a policy in its place."""

    def put(policy: Any, stage: Stage = Stage.TRANSFORM, **options: Any) -> PlacedPolicy:
        return PlacedPolicy(stage=stage, name=options.pop("name", "p"), policy=policy, **options)

    return put


@pytest.fixture(scope="session")
def policy_of():
    """Make a policy of a coroutine function that takes the exchange and the next handler."""

    class Policy:
        def __init__(self, function: Any, *, waits: bool | None = None) -> None:
            self._function = function
            if waits is not None:
                self.waits = waits

        def wrap(self, next: Any, route: Route) -> Any:  # noqa: A002 - the interface's name
            return lambda exchange: self._function(exchange, next)

    return Policy
