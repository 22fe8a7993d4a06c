"""One policy, around a service that a test writes."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

from gateway.body import Body
from gateway.exchange import Exchange
from gateway.interfaces import Endpoint, Instance, Route, Stage
from gateway.messages import Request, Response
from gateway.pipeline import Containment, Observers, PlacedPolicy, RouteComponents, compile_route
from gateway.registrations import PolicyRegistration
from gateway.testing.client import PATIENCE_S
from gateway.testing.contracts.bodies import Sink
from gateway.testing.workbench import Workbench

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from gateway.interfaces import Policy

    Service = Response | Exception | Callable[[Exchange], "Response | Awaitable[Response]"]

__all__ = ["PolicyRun", "run_policy"]

MAX_BODY_BYTES = 16 * 1024 * 1024


class PolicyRun:
    """What happened.

    Attributes:
        response: What the client is answered; an error as the response that it becomes.
        body: All of its body.
        error: What was raised, if anything was.
        exchange: The exchange.
        requests: What the service was asked, each time.
    """

    def __init__(self, exchange: Exchange, requests: Sequence[SeenRequest]) -> None:
        self.response = Response()
        self.body = b""
        self.exchange = exchange
        self.requests = requests

    @property
    def status(self) -> int:
        """The status of the response."""
        return self.response.status

    @property
    def error(self) -> BaseException | None:
        """What was raised, if anything was."""
        return self.exchange.error

    def __repr__(self) -> str:
        return f"<PolicyRun {self.response.status} {self.body[:80]!r} error={self.error!r} requests={self.requests}>"


class SeenRequest:
    """A request as the service saw it.

    Attributes:
        method: The method.
        path: The path that is forwarded.
        query: The query.
        headers: The fields.
        body: All of the body.
    """

    def __init__(self, exchange: Exchange, body: bytes) -> None:
        self.method = exchange.request.method
        self.path = exchange.upstream_path
        self.query = exchange.request.query
        self.headers = exchange.request.headers.copy()
        self.body = body

    def __repr__(self) -> str:
        return f"<SeenRequest {self.method} {self.path}>"


async def run_policy(
    policy: PolicyRegistration | Policy,
    request: Request | None = None,
    service: Service | None = None,
    *,
    config: Mapping[str, Any] | None = None,
    route: Route | None = None,
) -> PolicyRun:
    """Run one policy once, as a gateway does, and return what happened.

    Args:
        policy: The registration, such as ``@gateway.policy`` makes of a function; or a component.
        request: The request; ``None`` is ``GET /``.
        service: What the service answers: a response, an error to raise, or a function or coroutine function that is
            given the exchange; ``None`` answers ``ok``.
        config: Its configuration as it stands in the YAML, for a registration.
        route: The route; ``None`` is one for everything.
    """
    route = route or Route(id="route", path="/*", service="service")
    requests: list[SeenRequest] = []
    exchange = Exchange(request or Request("GET", "/", client="127.0.0.1", id="test"), recipient := _Recipient())
    run = PolicyRun(exchange, requests)
    async with Workbench() as bench:
        stage = policy.stage if isinstance(policy, PolicyRegistration) else Stage.TRANSFORM
        component = await bench.build(policy, config) if isinstance(policy, PolicyRegistration) else policy
        components = RouteComponents(
            route=route,
            policies=[PlacedPolicy(stage=stage, name="policy", policy=component)],
            terminal=_service(service, requests),
            observers=Observers((), lambda traceback: None),
        )
        exchange.start(compile_route(components, Containment(lambda traceback: None), on_finish=lambda: None))
        async with asyncio.timeout(PATIENCE_S):
            run.response = await recipient.answered
            sink = Sink(run.response.body)
            run.body = await sink.finished()
        exchange.finish(len(run.body), sink.error)
    return run


class _Recipient:
    """The client's side of the exchange."""

    def __init__(self) -> None:
        self.answered: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

    def respond(self, exchange: Exchange, response: Response) -> None:
        self.answered.set_result(response)

    def inform(self, exchange: Exchange, status: int, pairs: Sequence[tuple[bytes, bytes]]) -> None:
        """Interim responses are of no interest here."""


def _service(service: Service | None, requests: list[SeenRequest]) -> Callable[[Exchange], Any]:
    instance = Instance("service", Endpoint(address="127.0.0.1", port=80))

    async def answer(exchange: Exchange) -> Response:
        exchange.instance = instance
        exchange.attempts += 1
        body = exchange.request.body
        whole = await body.read(MAX_BODY_BYTES) if isinstance(body, Body) else body
        requests.append(SeenRequest(exchange, whole))
        made: Any = service(exchange) if callable(service) else service
        if inspect.isawaitable(made):
            made = await made
        if isinstance(made, Exception):
            raise made
        return Response.text("ok") if made is None else made

    return answer
