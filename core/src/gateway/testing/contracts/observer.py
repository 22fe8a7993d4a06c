"""What an observer promises."""

from __future__ import annotations

import inspect
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, cast

from gateway.errors import ErrorType, GatewayError
from gateway.exchange import Exchange
from gateway.headers import Headers
from gateway.interfaces import AttemptRecord, Endpoint, Instance, Route, Stage
from gateway.messages import Request, Response
from gateway.principal import Principal
from gateway.registrations import ObserverRegistration, Registration
from gateway.testing.contracts.bodies import Source
from gateway.testing.contracts.cancelling import expect_no_waiting
from gateway.testing.contracts.component import ComponentContract
from gateway.testing.contracts.expectation import expect
from gateway.testing.contracts.growth import expect_bounded
from gateway.testing.contracts.handlers import Scripted
from gateway.testing.contracts.standstill import fastest_s

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.interfaces import Observer

__all__ = ["ObserverContract"]

MAX_CALL_S = 0.002
"""How long one call may take: a hundred times what a good one takes, a tenth of what a disk takes."""

_TRACE_CONTEXT = (b"traceparent", b"tracestate", b"baggage")
"""W3C Trace Context and Baggage: each attempt is a span of its own, of which the service is told."""

_ROUTE = Route(id="route", path="/*", service="service")
_NOBODYS = Route(id="unmatched", path="")
_INSTANCE = Instance("service", Endpoint(address="10.9.9.9", port=80))


class ObserverContract(ComponentContract):
    """Extend it and name it ``Test...``; most have nothing more to say than which plugin it is.

    Attributes:
        remembered: How many clients, paths or requests it may remember.
    """

    kind: ClassVar[type[Registration]] = ObserverRegistration
    remembered: ClassVar[int] = 2000

    async def test_it_takes_note_of_everything_that_may_happen(self) -> None:
        """Answers, refusals, clients that left, what no route is for, fields in any bytes: it raises for none."""
        async with self.built() as observer:
            for what, exchange in _exchanges():
                for attempt in _attempts():
                    for name, tell in self._tellings(observer, exchange, attempt):
                        try:
                            returned = tell()
                        except Exception as error:
                            raise AssertionError(f"{name} raised {error!r} for {what}") from error
                        if inspect.iscoroutine(returned):
                            returned.close()
                        may_decline = name == "exchange_started" and isinstance(returned, bool)
                        expect(
                            returned is None or may_decline,
                            f"{name} returned {returned!r}; it is a synchronous function",
                        )

    async def test_it_changes_nothing(self) -> None:
        """What is observed goes on as it is; only the trace context may be added to the request."""
        async with self.built() as observer:
            exchange, source = _exchange(0), Source([b"data"])
            response = exchange.response = Response(200, body=source.body, headers=Headers.of([("x-a", "1")]))
            self._tell(observer, exchange, only="exchange_started")
            before = _state_of(exchange)
            self._tell(observer, exchange, only="finished")
            expect(_state_of(exchange) == before, f"the exchange was {before} and is {_state_of(exchange)}")
            expect(exchange.response is response, "the response was replaced")
            expect(not source.body.is_consumed, "the response's body was taken")

    async def test_it_is_quick(self) -> None:
        """It is called while every other exchange waits."""
        async with self.built() as observer:
            exchange = _exchange(0)
            for attempt in _attempts():
                for name, tell in self._tellings(observer, exchange, attempt):
                    took_s = fastest_s(tell)
                    expect(
                        took_s < MAX_CALL_S, f"{name} took {took_s * 1000:.1f} ms; do what takes long in the background"
                    )

    async def test_what_it_puts_around_policies_lets_them_be(self) -> None:
        """``around_policy``, if it has one, returns a handler that awaits nothing but the one it was given."""
        async with self.built() as observer:
            around = getattr(observer, "around_policy", None)
            if around is None:
                return
            response, service = Response.text("ok"), Scripted(lambda exchange: response)
            handler = around("policy", Stage.TRANSFORM, service, _ROUTE)
            expect(callable(handler), f"around_policy returned {handler!r}, no handler")
            exchange = _exchange(1)
            self._tell(observer, exchange, only="exchange_started")
            promised = type("Promised", (), {"waits": False})()
            await expect_no_waiting(promised, _same(handler(exchange), response), "what around_policy made")
            expect(service.calls == 1, f"the policy was run {service.calls} times")
            await self._expect_failures_pass(around)

    async def test_clients_and_paths_do_not_fill_the_memory(self) -> None:
        """Strangers choose them: paths, methods, hosts, agents."""
        async with self.built() as observer:

            async def use(number: int) -> None:
                self._tell(observer, _exchange(number))

            await expect_bounded(use, self.remembered, "requests")

    # Underneath.

    async def _expect_failures_pass(self, around: Any) -> None:  # noqa: ANN401 - around_policy, which is optional
        failure = GatewayError(ErrorType.FORBIDDEN, "no")

        def refuse(exchange: Exchange) -> Response:
            raise failure

        try:
            await around("policy", Stage.TRANSFORM, Scripted(refuse), _ROUTE)(_exchange(2))
        except GatewayError as error:
            expect(error is failure, f"a policy's refusal became {error!r}")
        else:
            expect(is_so=False, why="a policy's refusal did not pass what around_policy made")

    def _tell(self, observer: Observer, exchange: Exchange, *, only: str = "") -> None:
        """Tell it everything of an exchange, or what has a name that ends so."""
        attempt = next(_attempts())
        for name, tell in self._tellings(observer, exchange, attempt):
            if name.endswith(only):
                tell()

    def _tellings(self, observer: Observer, exchange: Exchange, attempt: AttemptRecord) -> list[tuple[str, Any]]:
        optional: dict[str, tuple[object, ...]] = {
            "exchange_started": (exchange,),
            "attempt_finished": (exchange, attempt),
        }
        return [
            *(
                (name, partial(getattr(observer, name), *said))
                for name, said in optional.items()
                if hasattr(observer, name)
            ),
            ("exchange_finished", partial(observer.exchange_finished, exchange)),
            *(
                ("exchanges_finished", partial(_tell_together, tell, exchange))
                for tell in (getattr(observer, "exchanges_finished", None),)
                if tell is not None
            ),
        ]


def _tell_together(tell: Any, exchange: Exchange) -> object:  # noqa: ANN401 - exchanges_finished, which is optional
    exchanges = iter((exchange, exchange))
    returned: object = tell(exchanges)
    expect(next(exchanges, None) is None, "exchanges_finished left some of the exchanges")
    return returned


def _exchange(number: int) -> Exchange:
    headers = Headers.of([("host", f"h{number}.test"), ("user-agent", f"agent {number}")])
    request = Request(
        "GET",
        f"/things/{number}",
        query=f"a={number}",
        headers=headers,
        client=f"10.1.{number >> 8 & 255}.{number & 255}",
        host=f"h{number}.test",
        id=f"request-{number}",
    )
    exchange = Exchange(request, cast("Any", None))
    exchange.route = _ROUTE
    exchange.instance, exchange.attempts = _INSTANCE, 1
    exchange.response = Response.text("ok")
    exchange.sent_bytes = 2
    return exchange


def _exchanges() -> Iterator[tuple[str, Exchange]]:
    """Yield what an observer may meet, each with what it is called."""
    yield "an answer", _exchange(0)
    known = _exchange(1)
    known.principal = Principal(subject="somebody", provider="test", claims={"n": 1})
    yield "an answer to somebody who is known", known
    left = _exchange(2)
    left.response, left.instance, left.attempts, left.is_cancelled = None, None, 0, True
    yield "a client that left before there was a response", left
    refused = _exchange(3)
    refused.route, refused.instance, refused.attempts = _NOBODYS, None, 0
    refused.error = GatewayError(ErrorType.NOT_FOUND, "no route")
    refused.response = Response(404)
    yield "a request that no route is for", refused
    bare = _exchange(4)
    bare.request = Request("", "")
    yield "a request without anything", bare
    odd = _exchange(5)
    odd.request.headers = Headers([(b"user-agent", b"\xff\xfe\x00"), (b"host", b"\xc3\x28"), (b"referer", b"a" * 9000)])
    odd.request.method = "\xe4\xf6 \u20ac"
    odd.request.path, odd.request.query = "/%FF%00" + "a" * 9000, "\x00\ud800=\n"
    yield "a request in any bytes", odd
    broken = _exchange(6)
    broken.error = ConnectionResetError("the service is gone")
    broken.response = Response(999, headers=Headers([(b"content-type", b"\xff")]))
    yield "a response that broke off", broken


def _attempts() -> Iterator[AttemptRecord]:
    yield AttemptRecord(instance=_INSTANCE, status=200, error=None, duration_s=0.01)
    yield AttemptRecord(instance=_INSTANCE, status=None, error=ConnectionRefusedError("no"), duration_s=0.0)


def _state_of(exchange: Exchange) -> tuple[object, ...]:
    request, response = exchange.request, exchange.response
    answered = (response.status, list(response.headers.pairs)) if response is not None else None
    fields = [pair for pair in request.headers.pairs if pair[0] not in _TRACE_CONTEXT]
    return (request.method, request.path, request.query, fields, answered, exchange.principal)


async def _same(handled: Any, response: Response) -> None:  # noqa: ANN401 - a handler's coroutine
    found = await handled
    expect(found is response, f"the policy's response became {found!r}")
