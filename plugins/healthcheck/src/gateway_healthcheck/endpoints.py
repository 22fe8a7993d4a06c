"""The policy: answers ``healthPath``, ``readyPath`` and ``livePath`` where clients ask; in every worker.

It answers from memory. Every second the control plane is asked what to answer, so that a flood of questions costs no
more than any other answer, and reaches neither the control plane nor what the gateway needs.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any

from gateway import AdminRequest, GatewayError, Headers, Response
from gateway_healthcheck.reports import timestamp

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway import BuildContext, Exchange, Handler, Route
    from gateway_healthcheck.config import HealthConfig

__all__ = ["HealthEndpoints"]

REFRESH_S = 1.0
REFRESH_TIMEOUT_S = 2.0
_METHODS = frozenset({"GET", "HEAD"})
_LITERAL = re.compile(r"/[A-Za-z0-9_/-]*")


class HealthEndpoints:
    """Implements ``gateway.interfaces.Policy``.

    Args:
        config: Where it answers.
        context: Of the policy.
    """

    waits = False

    def __init__(self, config: HealthConfig, context: BuildContext) -> None:
        self._context = context
        self._health: tuple[int, dict[str, Any]] = (503, {"status": "unhealthy"})
        self._is_ready = False
        answers = {
            config.health_path: self._answer_health,
            config.ready_path: self._answer_ready,
            config.live_path: self._answer_live,
        }
        self._answers: dict[str, Callable[[Exchange], Response]] = {
            path: answer for path, answer in answers.items() if path is not None
        }
        if config.health_path is not None or config.ready_path is not None:
            context.background.start("health endpoints", self._work)

    def wrap(self, next: Handler, route: Route) -> Handler:  # noqa: A002 - the interface's name
        """Stand before routes that could be asked for the paths; the others pay nothing."""
        if not any(_could_match(route.path, path) for path in self._answers):
            return next
        answers = self._answers

        def answer_or_go_on(exchange: Exchange) -> Any:  # noqa: ANN401 - the coroutine of whoever answers
            answer = answers.get(exchange.request.path)
            if answer is None or exchange.request.method not in _METHODS:
                return next(exchange)
            return _at_once(answer(exchange))

        return answer_or_go_on

    def drain(self) -> None:
        """Say no more that traffic is welcome: the gateway stops."""
        self._is_ready = False

    def _answer_health(self, exchange: Exchange) -> Response:
        status, body = self._health
        return _uncached({**body, "timestamp": body.get("timestamp", timestamp())}, status)

    def _answer_ready(self, exchange: Exchange) -> Response:
        return _uncached({"ready": self._is_ready, "timestamp": timestamp()}, 200 if self._is_ready else 503)

    def _answer_live(self, exchange: Exchange) -> Response:
        return _uncached({"status": "ok", "timestamp": timestamp()}, 200)

    async def _work(self) -> None:
        while True:
            await self.refresh()
            await asyncio.sleep(REFRESH_S)

    async def refresh(self) -> None:
        """Ask the control plane what to answer."""
        try:
            async with asyncio.timeout(REFRESH_TIMEOUT_S):
                ready = await self._context.ask_admin(AdminRequest(method="GET", path="/ready"))
                health = await self._context.ask_admin(AdminRequest(method="GET", path="/health/summary"))
        except (TimeoutError, GatewayError):
            self._health, self._is_ready = (503, {"status": "unhealthy"}), False
            return
        assert isinstance(health.body, bytes)  # noqa: S101 - admin answers are
        self._health = health.status, json.loads(health.body)
        self._is_ready = ready.status == health.status == 200


async def _at_once(response: Response) -> Response:
    return response


def _uncached(body: dict[str, Any], status: int) -> Response:
    response = Response.json(body, status=status)
    response.headers = Headers([*response.headers.pairs, (b"cache-control", b"no-store")])
    return response


def _could_match(pattern: str, path: str) -> bool:
    """Say whether a request for ``path`` could be for the route of ``pattern``, whatever kind of pattern it is."""
    match = _LITERAL.match(pattern)
    if match is None:
        return True
    literal = match[0]
    if literal == pattern:
        return path.startswith(literal) or literal.startswith(path)
    # What follows it may be about its last character, as in a regular expression.
    return path.startswith(literal[:-1])
