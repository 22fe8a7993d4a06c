"""``gateway explain``: runs the policies of a route on one request, with nobody behind them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.exchange import Exchange
from gateway.messages import Request, Response
from gateway.metrics import Metrics
from gateway.pipeline.explaining import Explanation
from gateway.runtime.components import ComponentStore
from gateway.runtime.context import Surroundings
from gateway.runtime.deadlines import DeadlineSweep
from gateway.runtime.generation import Generation
from gateway.runtime.outbox import Outbox
from gateway.runtime.supervision import Supervisor
from gateway.services.directory import ServiceDirectory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.config import Configuration, ConfiguredRule
    from gateway.errors import GatewayError
    from gateway.headers import Headers
    from gateway.interfaces import AdminRequest
    from gateway.pipeline.explaining import Step

__all__ = ["Outcome", "explain"]

ANSWER_TIMEOUT_S = 10.0
NOBODY = "192.0.2.1"
"""Who asks, as far as policies see: an address of nobody's (RFC 5737)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of the request.

    Attributes:
        steps: What each policy did, outermost first.
        status: What was answered.
        is_forwarded: Whether the service would have been asked.
    """

    steps: Sequence[Step]
    status: int
    is_forwarded: bool


class _Asker:
    """Who is answered."""

    def __init__(self) -> None:
        self.answered: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

    def respond(self, exchange: Exchange, response: Response) -> None:
        if not self.answered.done():
            self.answered.set_result(response)
        exchange.finish(0)

    def inform(self, exchange: Exchange, status: int, pairs: Sequence[tuple[bytes, bytes]]) -> None:
        """Interim responses are of no interest."""


async def explain(
    configuration: Configuration,
    rule: ConfiguredRule,
    *,
    method: str,
    host: str,
    path: str,
    query: str,
    headers: Headers,
    params: Mapping[str, str],
) -> Outcome:
    """Run the policies of ``rule`` on a request; a stub answers for the service with 200.

    Everything that serves is built and entered, but listens nowhere; discovery and health checks do not run.

    Raises:
        ConfigurationError: If something of it cannot be built or entered.
        TimeoutError: If there is no answer within ``ANSWER_TIMEOUT_S``.
    """
    directory, metrics, supervisor = ServiceDirectory(), Metrics(), Supervisor()
    store = ComponentStore(
        Surroundings(
            directory=directory,
            deadlines=DeadlineSweep(),
            outbox=Outbox(),
            supervisor=supervisor,
            serve=_serve,
            refuse=_refuse,
            metrics=metrics,
            folder=configuration.folder,
            configuration=configuration,
        )
    )
    services = {each.route.service: directory.service(each.route.service) for each in configuration.rules}
    generation = await asyncio.to_thread(Generation, configuration, store, services, _answer_admin, metrics)
    await generation.enter()
    is_forwarded = False

    async def stub(exchange: Exchange) -> Response:
        nonlocal is_forwarded
        is_forwarded = True
        return Response.text("nobody was asked")

    try:
        asker = _Asker()
        exchange = Exchange(
            Request(
                method,
                path,
                query=query,
                headers=headers,
                host=host,
                client=NOBODY,
                id="explain",
                upgrade=(headers.get("upgrade") or "").lower() or None,
            ),
            asker,
        )
        exchange.params = params
        generation.in_flight += 1
        exchange.start(generation.explained_route(rule, stub))
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            response = await asker.answered
    finally:
        await generation.leave()
        await supervisor.stop()
    return Outcome(steps=Explanation.of(exchange).steps, status=response.status, is_forwarded=is_forwarded)


def _serve(exchange: Exchange) -> None:
    """Serve nothing: nobody can connect."""


def _refuse(exchange: Exchange, error: GatewayError) -> None:
    """Refuse nothing: nobody can connect."""


async def _answer_admin(request: AdminRequest, authorization: str | None) -> Response:
    return Response(404)
