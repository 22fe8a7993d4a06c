"""``mode: shadow``: what decides is asked, what it would have done is recorded, and the request passes all the same.

So a new limit or a new authenticator can be watched under real traffic before it refuses anybody.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from gateway.errors import GatewayError
from gateway.headers import Headers
from gateway.interfaces import SHADOW_STATE
from gateway.messages import Response

if TYPE_CHECKING:
    from gateway.exchange import Exchange, Handler
    from gateway.interfaces import Policy, Route
    from gateway.metrics import Metrics

__all__ = ["SHADOW_STATE", "ShadowRecord", "shadow"]

logger = logging.getLogger("gateway.shadow")


class ShadowRecord:
    """Records what would have been done: in a metric, in the log, and on the exchange.

    Args:
        metrics: Where it counts.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._decisions = metrics.counter(
            "gateway_shadow_decisions_total",
            "What plugins in shadow mode would have done.",
            ("route", "plugin", "decision"),
        )

    def note(self, exchange: Exchange, plugin: str, decision: str, why: str = "") -> None:
        """Record a decision.

        Args:
            exchange: What it was about.
            plugin: The registration's name.
            decision: What would have been done: ``refuse 429``, ``answer 204``, ``retry``, ``fail``.
            why: More about it, for the log.
        """
        self._decisions.labels(exchange.route.id, plugin, decision).add()
        exchange.state.setdefault(SHADOW_STATE, []).append(f"{plugin}: {decision}")
        logger.info(
            "%s would %s%s",
            plugin,
            decision,
            f": {why}" if why else "",
            extra={"request_id": exchange.request.id, "route": exchange.route.id, "plugin": plugin},
        )

    def refusal(self, exchange: Exchange, plugin: str, error: Exception) -> None:
        """Record a refusal, or a failure."""
        if isinstance(error, GatewayError):
            self.note(exchange, plugin, f"refuse {error.type.status}", error.detail)
        else:
            self.note(exchange, plugin, "fail", repr(error))


def shadow(name: str, policy: Policy, handler: Handler, route: Route, record: ShadowRecord) -> Handler:
    """Wrap ``handler`` in ``policy`` so that it sees everything and changes nothing.

    Whatever it does, the request runs once, with the fields, path and principal it came with, and what comes back from
    further in is what is answered.
    """
    watched = _Watched(name, handler, record)
    wrapped = policy.wrap(watched.further_in, route)
    if wrapped == watched.further_in:
        return handler

    async def shadowed(exchange: Exchange) -> Response:
        return await watched.run(exchange, wrapped)

    return shadowed


class _Watched:
    """A policy that is only watched, and the handler further in.

    Args:
        name: The registration's name.
        handler: What is further in.
        record: Where is recorded what the policy would have done.
    """

    def __init__(self, name: str, handler: Handler, record: ShadowRecord) -> None:
        self._name = name
        self._handler = handler
        self._record = record
        self._key = f"gateway.shadow.{name}"

    async def further_in(self, exchange: Exchange) -> Response:
        """Stand in for the next handler: run it once, whatever the policy wants."""
        run: _Run = exchange.state[self._key]
        if run.has_begun:
            self._record.note(exchange, self._name, "retry")
        else:
            await run.begin(exchange, self._handler)
        return run.shown()

    async def run(self, exchange: Exchange, wrapped: Handler) -> Response:
        """Run the policy for the record, and return what comes from further in."""
        run = exchange.state[self._key] = _Run(exchange)
        try:
            response = await wrapped(exchange)
        except Exception as error:  # noqa: BLE001 - recorded, and not more
            if error is not run.error:
                self._record.refusal(exchange, self._name, error)
        else:
            if response is not run.copy:
                self._record.note(exchange, self._name, f"answer {response.status}")
                # Nobody will read it.
                response.discard()
        del exchange.state[self._key]
        if not run.has_begun:
            await run.begin(exchange, self._handler)
        return run.settle()


class _Run:
    """What the request was, and what became of it further in.

    Args:
        exchange: The exchange, as it was before the policy saw it.
    """

    def __init__(self, exchange: Exchange) -> None:
        self.has_begun = False
        self.copy: Response | None = None
        self.error: Exception | None = None
        self._response: Response | None = None
        self._before = _Before(exchange)

    async def begin(self, exchange: Exchange, handler: Handler) -> None:
        """Run the handler, as if there were no policy."""
        self.has_begun = True
        self._before.restore(exchange)
        try:
            self._response = await handler(exchange)
        except Exception as error:  # noqa: BLE001 - raised by settle()
            self.error = error

    def settle(self) -> Response:
        """Return or raise what it came to."""
        if self.error is not None:
            raise self.error
        assert self._response is not None  # noqa: S101 - one of the two was set
        return self._response

    def shown(self) -> Response:
        """Return a copy without its body for the policy, which may change or discard it, or raise what was raised."""
        response = self.settle()
        self.copy = Response(response.status, headers=Headers(list(response.headers.pairs)))
        return self.copy


class _Before:
    """What a policy may have changed of a request."""

    __slots__ = ("excluded", "pairs", "path", "principal", "query", "upstream_path")

    def __init__(self, exchange: Exchange) -> None:
        request = exchange.request
        self.pairs = list(request.headers.pairs)
        self.path = request.path
        self.query = request.query
        self.principal = exchange.principal
        self.excluded = exchange.excluded
        self.upstream_path = exchange.upstream_path

    def restore(self, exchange: Exchange) -> None:
        request = exchange.request
        request.headers.pairs[:] = self.pairs
        request.path = self.path
        request.query = self.query
        exchange.principal = self.principal
        exchange.excluded = self.excluded
        exchange.upstream_path = self.upstream_path
